"""Every construct as a toolchain gets it in each of its states, at an opset that all of them take.

Written here and in words side by side, "exported → default → rewritten".
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import onnx

from tests.runtimes.constructs import (
    NotMade,
    exported,
    exported_whole,
    rewritten,
    source_of,
)
from tests.runtimes.jobs import DEFAULT

OPSET = 18
"""The least that torch's exporter writes."""
NOT_MADE = "–"
ARROW = " → "


def in_words(
    builder: str, target: str, word: Callable[[onnx.ModelProto], str], strategy: str = "auto"
) -> str:
    """A word on each of the models, or one where all are the same.

    Args:
        strategy: of what is rewritten for the target; "auto": the target's own.
    """
    models = (
        _exported(builder),
        _rewritten(builder, DEFAULT),
        _rewritten(builder, target, strategy),
    )
    words = [NOT_MADE if model is None else word(model) for model in models]
    return words[0] if len(set(words)) == 1 else ARROW.join(words)


@functools.cache
def _exported(builder: str) -> onnx.ModelProto | None:
    try:
        return exported(source_of(builder), "static", OPSET)
    except NotMade:
        return None


@functools.cache
def _rewritten(builder: str, target: str, strategy: str = "auto") -> onnx.ModelProto | None:
    try:
        source = _exported(builder) or exported_whole(source_of(builder), "static", OPSET)
        return rewritten(source, target, None, strategy)
    except NotMade:
        return None
