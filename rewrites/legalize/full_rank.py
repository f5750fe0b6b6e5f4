"""A constant with as many axes as the tensor that it is combined with, or all of its elements.

Op(X, c) = Op(X, Reshape(c, {1, …, 1, shape of c}))        Add, Mul, Pow, Max, …
Op(X, c) = Op(X, Expand(c, shape of Op))                   where c differs along the plane
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

MOST_ELEMENTS = 1 << 20
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


def differs_along_plane(node: gs.Node) -> bool:
    """Whether a constant has every axis, and several elements along the plane but not by channel.

    Where its channels are spread out too, there is nothing left to broadcast.
    """
    shape = node.outputs[0].shape
    return shape is not None and any(_is_plane(t, len(shape)) for t in node.inputs)


def _is_plane(tensor: gs.Tensor, rank: int) -> bool:
    return (
        isinstance(tensor, gs.Constant)
        and len(tensor.shape) == rank > 2
        and tensor.shape[1] == 1
        and any(size != 1 for size in tensor.shape[2:])
    )


def emit_full_shape(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    shape = node.outputs[0].shape
    if not differs_along_plane(node):
        raise Unsupported("its constants do not differ along the plane alone")
    if not all(isinstance(size, int) for size in shape) or math.prod(shape) > MOST_ELEMENTS:
        raise Unsupported(f"it would take a constant of more than {MOST_ELEMENTS} elements")
    inputs = [_with_shape(b, t, shape) if _is_plane(t, len(shape)) else t for t in node.inputs]
    return b.outputs(node.op, inputs, node.outputs, **node.attrs)


def _with_shape(b: Builder, tensor: gs.Constant, shape: Sequence[int]) -> gs.Constant:
    sizes = "x".join(map(str, shape))
    values = np.broadcast_to(tensor.values, (1, *shape[1:]))
    return b.constant(f"{tensor.name}_{sizes}", np.ascontiguousarray(values))


CONSTANT_OF_FULL_RANK = Replacement("a constant with every axis", emit)
CONSTANT_OF_FULL_SHAPE = Replacement("a constant with every element", emit_full_shape)
