"""Linear Resize to sizes that the graph computes, as products with matrices that it computes too.

    Y = W_1ᵀ X W_2        W[j, i] = Relu(1 - |x_i - j|)        x_i: the position, cut to 0 … L - 1

    half_pixel          x_i = (i + 1/2) · L / O - 1/2
    pytorch_half_pixel  the same; 0 where O = 1
    asymmetric          x_i = i · L / O
    align_corners       x_i = i · (L - 1) / max(O - 1, 1)

Axes whose sizes are known get constant weights (see resize.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Shape
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import is_float, numpy_type, onnx_type
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement
from onnxpool.rewrites.legalize.resize import check_attributes, interpolation_matrix
from onnxpool.rewrites.lower.adaptive_average_pool import multiply_axis, to_float
from onnxpool.rewrites.lower.dynamic import multiply

FLOAT = np.dtype(np.float32)
COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, y = node.inputs[0], node.outputs[0]
    if node.attrs.get("mode", "nearest") != "linear":
        raise Unsupported("only linear interpolation is computed here")
    if not is_float(x.dtype) or x.shape is None or y.shape is None:
        raise Unsupported("the rank of its input is not known, or it is not of floats")
    if len(node.inputs) < 4 or not node.inputs[3].name or "axes" in node.attrs:
        raise Unsupported("it has no input that says the size of every axis")
    if node.attrs.get("coordinate_transformation_mode", "half_pixel") not in COORDINATES:
        raise Unsupported("its coordinate_transformation_mode is not computed here")
    check_attributes(node.attrs)
    resized: gs.Tensor = to_float(b, x)
    # The last axis first: then the sizes behind an axis are known where they can be.
    for axis in reversed(range(2, len(x.shape))):
        resized = _resize_axis(b, node, resized, axis)
    # What is computed has sizes of its own for TVM, which would not join it to another tensor.
    return [b.node("Reshape", [b.cast(resized, x.dtype), node.inputs[3]], y.shape)]


def _resize_axis(b: Builder, node: gs.Node, x: gs.Tensor, axis: int) -> gs.Tensor:
    length, size = node.inputs[0].shape[axis], node.outputs[0].shape[axis]
    if isinstance(length, int) and isinstance(size, int):
        scale = Fraction(size, length)
        matrix = interpolation_matrix(length, size, scale, node.attrs, numpy_type(x.dtype))
        return multiply_axis(b, x, axis, matrix, f"linear_{length}_to_{size}")
    return multiply(b, x, axis, _weights(b, node, x, axis))


def _weights(b: Builder, node: gs.Node, x: gs.Tensor, axis: int) -> gs.Tensor:
    """``(L, O)`` for the last axis, ``(O, L)`` for the others, as `multiply` takes them."""
    length, size = node.inputs[0].shape[axis], node.outputs[0].shape[axis]
    position, index = _positions(b, node, axis), _indices(b, axis, length)
    shape: Shape = (size, length)
    if axis == len(x.shape) - 1:
        shape, index = (length, size), _column(b, index)
    else:
        position = _column(b, position)
    distance = b.shared("Abs", [b.shared("Sub", [position, index], shape)], shape)
    weight = b.shared("Relu", [b.shared("Sub", [_number(b, 1), distance], shape)], shape)
    return b.cast(weight, x.dtype)


def _positions(b: Builder, node: gs.Node, axis: int) -> gs.Tensor:
    """Where each output lies in the input, ``(O,)``."""
    mode = node.attrs.get("coordinate_transformation_mode", "half_pixel")
    i = _float(b, b.range(b.element(node.inputs[3], axis)))
    size = _float(b, b.element_vector(node.inputs[3], axis))
    length = _float(b, b.length_vector(axis))
    last = b.shared("Sub", [length, _number(b, 1)], (1,))
    gaps = b.shared("Sub", [size, _number(b, 1)], (1,))
    if mode == "align_corners":
        steps = b.shared("Max", [gaps, _number(b, 1)], (1,))
        x = b.shared("Mul", [i, b.shared("Div", [last, steps], (1,))], i.shape)
    else:
        half = _number(b, 0 if mode == "asymmetric" else 0.5)
        scale = b.shared("Div", [length, size], (1,))
        x = b.shared("Mul", [b.shared("Add", [i, half], i.shape), scale], i.shape)
        x = b.shared("Sub", [x, half], i.shape)
        if mode == "pytorch_half_pixel":
            one_or_zero = b.shared("Min", [gaps, _number(b, 1)], (1,))
            x = b.shared("Mul", [x, one_or_zero], i.shape)
    x = b.shared("Max", [x, _number(b, 0)], i.shape)
    return b.shared("Min", [x, last], i.shape)


def _indices(b: Builder, axis: int, length: object) -> gs.Tensor:
    if isinstance(length, int):
        return b.constant(f"range_{length}", np.arange(length, dtype=FLOAT))
    return _float(b, b.range(b.length(axis)))


def _float(b: Builder, x: gs.Tensor) -> gs.Tensor:
    if isinstance(x, gs.Constant):
        return b.constant(f"float_{x.values.item()}", x.values.astype(FLOAT))
    return b.shared("Cast", [x], x.shape, FLOAT, to=onnx_type(FLOAT))


def _number(b: Builder, value: float) -> gs.Constant:
    return b.scalar(value, FLOAT)


def _column(b: Builder, vector: gs.Tensor) -> gs.Tensor:
    return b.shared("Reshape", [vector, b.integers([-1, 1])], (*vector.shape, 1))


COMPUTED_RESIZE = Replacement("MatMul with computed weights", emit)
