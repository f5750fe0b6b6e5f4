"""ArgMax and ArgMin that take their axis away, as ones that keep it.

ArgMax<keepdims=0>(X) = Reshape(ArgMax<keepdims=1>(X))
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import resized
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

OPS = ("ArgMax", "ArgMin")


def gives_vector(node: gs.Node) -> bool:
    """Whether the positions have one axis, because the other was taken away."""
    y = node.outputs[0].shape
    return y is not None and len(y) == 1 and not node.attrs.get("keepdims", 1)


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, y = node.inputs[0], node.outputs[0]
    if node.attrs.get("keepdims", 1) or x.shape is None or y.shape is None:
        raise Unsupported("it keeps its axis, or its sizes are not known")
    if sum(not isinstance(size, int) for size in y.shape) > 1:
        raise Unsupported("its sizes are known to the runtime alone")
    axis = node.attrs.get("axis", 0) % len(x.shape)
    (kept,) = b.outputs(node.op, [x], node.outputs, **{**node.attrs, "keepdims": 1})
    kept.shape = resized(x.shape, {axis: 1})
    sizes = [size if isinstance(size, int) else -1 for size in y.shape]
    return [b.node("Reshape", [kept, b.integers(sizes)], y.shape)]


KEPT_ARGUMENT = Replacement("keepdims and Reshape", emit)
