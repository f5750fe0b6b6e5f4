"""A constant with as many axes as the tensor that it is combined with.

Op(X, c) = Op(X, Reshape(c, {1, …, 1, shape of c}))        Add, Mul, Pow, Max, …
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array
from onnxpool.rewrites.lower.builder import Builder
from onnxpool.rewrites.lower.standard import Replacement
from onnxpool.rewrites.lower.unsupported import Unsupported
from onnxpool.rewrites.run import known_value

OPS = ("Add", "Div", "Max", "Min", "Mul", "Pow", "Sub", "PRelu")


def applies(node: gs.Node) -> bool:
    """Whether a constant with more than one element has fewer axes than the output."""
    shape = node.outputs[0].shape
    return shape is not None and any(
        isinstance(tensor, gs.Constant)
        and tensor.shape
        and 0 < len(tensor.shape) < len(shape)
        and any(size != 1 for size in tensor.shape)
        for tensor in node.inputs
    )


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    if not applies(node):
        raise Unsupported("its constants have every axis")
    rank = len(node.outputs[0].shape)
    inputs = [_with_rank(b, tensor, rank) for tensor in node.inputs]
    return b.outputs(node.op, inputs, node.outputs, **node.attrs)


def _with_rank(b: Builder, tensor: gs.Tensor, rank: int) -> gs.Tensor:
    if not isinstance(tensor, gs.Constant):
        return tensor
    values: Array | None = known_value(tensor, b.opset)
    if values is None or not 0 < values.ndim < rank:
        return tensor
    return b.constant(
        f"{tensor.name}_{rank}d", values.reshape((1,) * (rank - values.ndim) + values.shape)
    )


CONSTANT_OF_FULL_RANK = Replacement("a constant with every axis", emit)
