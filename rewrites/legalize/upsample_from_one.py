"""Resize of axes that have one element, as Expand.

    Resize(X, sizes)  =  Expand(X, sizes)        where X has one element on every axis that changes

Whatever the mode interpolates between, there is one value. The exception is tf_crop_and_resize,
which has a value of its own outside of X. Sizes may be computed.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.ops.op import Dim
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement


def applies(node: gs.Node) -> bool:
    """Whether every axis that a Resize changes has one element."""
    x, y = node.inputs[0].shape, node.outputs[0].shape
    if x is None or y is None or len(x) != len(y):
        return False
    if node.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        return False
    plane = list(zip(x, y, strict=True))[2:]
    return any(a != b for a, b in plane) and all(a == 1 or _is_kept(a, b) for a, b in plane)


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    if not applies(node):
        raise Unsupported("an axis that it resizes has more than one element")
    x, y = node.inputs[0], node.outputs[0]
    if all(_is_kept(before, after) or isinstance(after, int) for before, after in _pairs(node)):
        # A 1 keeps what X has there, a batch of any size too.
        sizes: gs.Tensor = b.integers([d if isinstance(d, int) else 1 for d in y.shape])
    elif len(node.inputs) > 3 and node.inputs[3].name and "axes" not in node.attrs:
        sizes = node.inputs[3]
    else:
        raise Unsupported("its scales give sizes that only the runtime knows")
    return [b.node("Expand", [x, sizes], y.shape)]


def _pairs(node: gs.Node) -> list[tuple[Dim, Dim]]:
    return list(zip(node.inputs[0].shape, node.outputs[0].shape, strict=True))


def _is_kept(before: Dim, after: Dim) -> bool:
    return before == after and before is not None


UPSAMPLE_FROM_ONE = Replacement("Expand", emit)
