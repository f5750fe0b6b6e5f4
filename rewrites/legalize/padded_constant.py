"""A constant in a Concat, added to what is padded with zeros in its place.

Concat(c, X) = Pad(X, zeros where c is) + (c, then zeros)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.cut import needs_constants_alone
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.tensors import is_float, numpy_type, resized
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.full_rank import MOST_ELEMENTS
from onnxpool.rewrites.legalize.replacement import Replacement


def joins_constant_at_the_start(node: gs.Node) -> bool:
    """Whether constants and others are joined along the first axis that is longer than 1."""
    constant = [needs_constants_alone(tensor) for tensor in node.inputs]
    shape = node.outputs[0].shape
    if all(constant) or not any(constant) or not is_float(node.outputs[0].dtype):
        return False
    return shape is None or all(size == 1 for size in shape[: node.attrs["axis"] % len(shape)])


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    y = node.outputs[0]
    if y.shape is None or not is_float(y.dtype) or not all(isinstance(n, int) for n in y.shape):
        raise Unsupported("its sizes are known to the runtime alone, or it is not of floats")
    if math.prod(y.shape) > MOST_ELEMENTS:
        raise Unsupported(f"it would take a constant of more than {MOST_ELEMENTS} elements")
    axis = node.attrs["axis"] % len(y.shape)
    parts: list[gs.Tensor] = []
    pending: list[Array] = []
    for tensor in node.inputs:
        values = known_value(tensor, b.opset)
        if values is not None:
            pending.append(values)
            continue
        parts.append(_beside(b, tensor, pending, axis, at_the_end=False))
        pending = []
    if not parts:
        raise Unsupported("it joins constants alone")
    parts[-1] = _beside(b, parts[-1], pending, axis, at_the_end=True)
    return [b.concat(parts, axis)]


def _beside(
    b: Builder, x: gs.Tensor, values: Sequence[Array], axis: int, *, at_the_end: bool
) -> gs.Tensor:
    """The join of `x` and constants, which stand before or behind it."""
    if not values:
        return x
    constant = np.concatenate(values, axis)
    rank, count = len(x.shape), constant.shape[axis]
    pads = np.zeros((2, rank), np.int64)
    pads[int(at_the_end), axis] = count
    shape = resized(x.shape, {axis: x.shape[axis] + count})
    zero = b.scalar(0, np.dtype(numpy_type(x.dtype)))
    padded = b.node("Pad", [x, b.integers(pads.ravel().tolist()), zero], shape)
    zeros = np.zeros(x.shape, constant.dtype)
    whole = np.concatenate([zeros, constant] if at_the_end else [constant, zeros], axis)
    name = f"{x.name}_{'before' if at_the_end else 'behind'}_constant"
    return b.elementwise("Add", padded, b.constant(name, whole))


PADDED_CONSTANT = Replacement("Pad and Add", emit)
