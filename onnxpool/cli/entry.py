"""One thing that is to be said of a model."""

from __future__ import annotations

import dataclasses

from onnxpool.rewrites.lift.construct import Level

RULES = {
    "wrong-pooling": "Pooling that is wrong at some sizes, or runs nowhere",
    "doubtful-pooling": "Pooling that may be wrong at some sizes",
    "rewritable-pooling": "Pooling that onnxpool rewrite would write in a better form",
    "pooling": "Pooling, or what looks like it, that stays as it is",
    "target-refuses": "What the target does not take",
    "target-may-refuse": "What the target may not take",
    "note": "What kept onnxpool from looking closer",
    "unusable-model": "A model that cannot be used",
}
"""What can be said, by the name that programs know it by."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A sentence about a place in a model.

    Attributes:
        rule: one of RULES.
        model: the file.
        place: the graph and the tensor or node in it; empty: the whole model.
    """

    rule: str
    level: Level
    model: str
    place: str
    text: str
