"""Resize of axes that have one element, as Expand.

    Resize(X, sizes)  =  Expand(X, sizes)        where X has one element on every axis that changes

Whatever the mode interpolates between, there is one value. The exception is tf_crop_and_resize,
which has a value of its own outside of X.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.lower.builder import Builder
from onnxpool.rewrites.lower.standard import Replacement
from onnxpool.rewrites.lower.unsupported import Unsupported


def applies(node: gs.Node) -> bool:
    """Whether every axis that a Resize changes has one element."""
    x, y = node.inputs[0].shape, node.outputs[0].shape
    if x is None or y is None or len(x) != len(y):
        return False
    if node.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        return False
    changed = [a for a, b in zip(x, y, strict=True) if a is None or a != b]
    return bool(changed) and all(dim == 1 for dim in changed)


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    if not applies(node):
        raise Unsupported("an axis that it resizes has more than one element")
    x, y = node.inputs[0], node.outputs[0]
    kept = [dim == other for dim, other in zip(x.shape, y.shape, strict=True)]
    if not all(keep or isinstance(dim, int) for keep, dim in zip(kept, y.shape, strict=True)):
        raise Unsupported("it resizes to sizes that only the runtime knows")
    # A 1 keeps what X has there, a batch of any size too.
    sizes = [d if isinstance(d, int) else 1 for d in y.shape]
    return [b.node("Expand", [x, b.integers(sizes)], y.shape)]


UPSAMPLE_FROM_ONE = Replacement("Expand", emit)
