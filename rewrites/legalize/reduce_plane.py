"""ReduceMean and ReduceMax over the whole plane as global pooling, and the other way round.

ReduceMean<axes: all but the first two>(X) = GlobalAveragePool(X)
ReduceMax<axes: all but the first two>(X)  = GlobalMaxPool(X)
and without keepdims a Reshape to ``(N, C)`` behind it
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.tensors import is_float
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

GLOBAL_POOL = {"ReduceMax": "GlobalMaxPool", "ReduceMean": "GlobalAveragePool"}


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x = node.inputs[0]
    if x.shape is None or not is_float(x.dtype):
        raise Unsupported("the rank of its input is not known, or it is not of floats")
    rank = len(x.shape)
    axes = reduced_axes(node, b.opset)
    if axes is None or sorted(axis % rank for axis in axes) != list(range(2, rank)) or rank < 3:
        raise Unsupported("it does not reduce exactly the plane")
    pooled = b.node(GLOBAL_POOL[node.op], [x], (*x.shape[:2], *[1] * (rank - 2)))
    if node.attrs.get("keepdims", 1):
        return [pooled]
    return [b.reshape(pooled, x.shape[:2], leading=2)]


def reduced_axes(node: gs.Node, opset: int) -> list[int] | None:
    """The axes of a reduction, from its attribute or its input; None where they are not known."""
    if "axes" in node.attrs:
        return list(node.attrs["axes"])
    if len(node.inputs) < 2 or not node.inputs[1].name:
        return None
    values = known_value(node.inputs[1], opset)
    return None if values is None else [int(axis) for axis in values]


def emit_reduction(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x = node.inputs[0]
    if x.shape is None:
        raise Unsupported("the rank of its input is not known")
    (op,) = (reduction for reduction, pool in GLOBAL_POOL.items() if pool == node.op)
    return [b.reduce(op, x, list(range(2, len(x.shape))))]


GLOBAL_POOLING = Replacement("global pooling", emit)
PLANE_REDUCTION = Replacement("a reduction of the plane", emit_reduction)
