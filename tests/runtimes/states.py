"""Every construct as a toolchain gets it in each of its states, at an opset that all of them take.

Written here and in words side by side, "exported → default → rewritten".
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

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


def in_words(builder: str, target: str, word: Callable[[onnx.ModelProto], str]) -> str:
    """A word on each of the models, or one where all are the same."""
    words = [NOT_MADE if model is None else word(model) for model in _models(builder, target)]
    return words[0] if len(set(words)) == 1 else ARROW.join(words)


def _models(builder: str, target: str) -> Iterator[onnx.ModelProto | None]:
    yield _exported(builder)
    for name in (DEFAULT, target):
        yield _rewritten(builder, name)


@functools.cache
def _exported(builder: str) -> onnx.ModelProto | None:
    try:
        return exported(source_of(builder), "static", OPSET)
    except NotMade:
        return None


@functools.cache
def _rewritten(builder: str, target: str) -> onnx.ModelProto | None:
    try:
        source = _exported(builder) or exported_whole(source_of(builder), "static", OPSET)
        return rewritten(source, target, None)
    except NotMade:
        return None
