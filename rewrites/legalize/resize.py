"""Resize as products with constant interpolation matrices, one per axis that it resizes.

    Y = W_1ᵀ X W_2        W[j, i]: the weight of input j in output i

Output i of an axis of length L, resized to O by the scale s, looks at the position x in X:

    half_pixel            (i + 1/2) / s - 1/2
    pytorch_half_pixel    the same; 0 where O = 1
    half_pixel_symmetric  the same, moved so that the middles meet: + L/2 · (1 - O / (s·L))
    asymmetric            i / s
    align_corners         i · (L - 1) / (O - 1); 0 where O = 1

    linear   the neighbours of x, by their distance
    cubic    the two on each side, by Keys' kernel with cubic_coeff_a
    nearest  the one that nearest_mode names

Positions outside of X count as the nearest one inside, or not at all (cubic, exclude_outside).
Source: the ONNX operator specification of Resize, its reference implementation, and, for cubic,
Keys: Cubic Convolution Interpolation for Digital Image Processing, 1981.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import DTypeLike

from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.tensors import is_float, numpy_type
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement
from onnxpool.rewrites.lower.adaptive_average_pool import multiply_axis, to_float

NEAREST: dict[str, Callable[[Fraction], int]] = {
    "round_prefer_floor": lambda x: math.ceil(x - Fraction(1, 2)),
    "round_prefer_ceil": lambda x: math.floor(x + Fraction(1, 2)),
    "floor": math.floor,
    "ceil": math.ceil,
}

COORDINATES = (
    "half_pixel",
    "pytorch_half_pixel",
    "half_pixel_symmetric",
    "asymmetric",
    "align_corners",
)


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, y = node.inputs[0], node.outputs[0]
    if not is_float(x.dtype):
        raise Unsupported("a product with weights is for floating-point tensors")
    if x.shape is None or y.shape is None or len(x.shape) != len(y.shape):
        raise Unsupported("the rank of its input is not known")
    check_attributes(node.attrs)
    resized: gs.Tensor = to_float(b, x)
    dtype = numpy_type(resized.dtype)
    for axis, (length, size, scale) in _resized_axes(node, b.opset).items():
        matrix = interpolation_matrix(length, size, scale, node.attrs, dtype)
        mode = node.attrs.get("mode", "nearest")
        resized = multiply_axis(b, resized, axis, matrix, f"{mode}_{length}_to_{size}")
    return [b.cast(resized, x.dtype)]


def interpolation_matrix(
    length: int, size: int, scale: Fraction, attributes: dict[str, Any], dtype: DTypeLike
) -> Array:
    """``(length, size)``: column i holds the weights of output i.

    Args:
        scale: size / length, or what the input `scales` says.
        attributes: of the Resize node.

    Raises:
        Unsupported: the rounding of float32 would decide between neighbours (nearest), or a
            fractional length would take part (align_corners).
    """
    mode = attributes.get("mode", "nearest")
    aligned = attributes.get("coordinate_transformation_mode") == "align_corners"
    if aligned and length * scale != size:
        raise Unsupported("its scales do not give whole sizes, and align_corners needs them")
    weights_at = {"nearest": _nearest, "linear": _linear, "cubic": _cubic}[mode]
    matrix = np.zeros((length, size), np.float64)
    for i in range(size):
        x = _position(i, length, size, scale, attributes)
        if mode == "nearest":
            _check_nearest(i, length, size, scale, attributes)
        for j, weight in weights_at(x, length, attributes).items():
            matrix[min(max(j, 0), length - 1), i] += weight
    return matrix.astype(dtype)


def _position(
    i: int, length: int, size: int, scale: Any, attributes: dict[str, Any], number: Any = Fraction
) -> Any:
    """Where output `i` of an axis lies in the input, computed in the type `number`."""
    mode = attributes.get("coordinate_transformation_mode", "half_pixel")
    half = number(1) / number(2)
    if mode == "align_corners":
        return number(i * (length - 1)) / number(size - 1) if size > 1 else number(0)
    if mode == "asymmetric":
        return number(i) / scale
    if mode == "pytorch_half_pixel" and size == 1:
        return number(0)
    x = (number(i) + half) / scale - half
    if mode == "half_pixel_symmetric":
        adjustment = number(size) / (scale * number(length))
        x += number(length) * half * (number(1) - adjustment)
    return x


def _nearest(x: Fraction, length: int, attributes: dict[str, Any]) -> dict[int, float]:
    return {NEAREST[attributes.get("nearest_mode", "round_prefer_floor")](x): 1.0}


def _check_nearest(i: int, length: int, size: int, scale: Fraction, attributes: Any) -> None:
    """Refuse a position where the arithmetic of a runtime decides which neighbour is nearer."""
    round_ = NEAREST[attributes.get("nearest_mode", "round_prefer_floor")]
    chosen = set()
    for number in (Fraction, np.float64, np.float32):
        x = _position(i, length, size, number(scale), attributes, number)
        chosen.add(min(max(round_(Fraction(float(x))), 0), length - 1))
    if len(chosen) > 1:
        raise Unsupported("rounding decides which of two neighbours is the nearest")


def _linear(x: Fraction, length: int, attributes: dict[str, Any]) -> dict[int, float]:
    below = math.floor(x)
    share = float(x - below)
    return {below: 1 - share, below + 1: share}


def _cubic(x: Fraction, length: int, attributes: dict[str, Any]) -> dict[int, float]:
    a, below = attributes.get("cubic_coeff_a", -0.75), math.floor(x)
    weights = {j: _keys(float(abs(x - j)), a) for j in range(below - 1, below + 3)}
    if attributes.get("exclude_outside", 0):
        weights = {j: weight for j, weight in weights.items() if 0 <= j < length}
        total = sum(weights.values())
        weights = {j: weight / total for j, weight in weights.items()}
    return weights


def _keys(distance: float, a: float) -> float:
    d = distance
    if d <= 1:
        return ((a + 2) * d - (a + 3)) * d * d + 1
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a if d < 2 else 0.0


def check_attributes(attributes: dict[str, Any]) -> None:
    mode = attributes.get("coordinate_transformation_mode", "half_pixel")
    if mode not in COORDINATES:
        raise Unsupported(f"coordinate_transformation_mode {mode} has no constant weights here")
    if attributes.get("antialias", 0):
        raise Unsupported("antialias has no constant weights here")
    policy = attributes.get("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        raise Unsupported(f"keep_aspect_ratio_policy {policy} has no constant weights here")


def _resized_axes(node: gs.Node, opset: int) -> dict[int, tuple[int, int, Fraction]]:
    """Per axis that changes its length, its size and its scale."""
    x, y = node.inputs[0], node.outputs[0]
    scales = _scales(node, len(x.shape), opset)
    axes = {}
    for axis, (length, size) in enumerate(zip(x.shape, y.shape, strict=True)):
        scale = scales.get(axis)
        if length == size and (scale == 1 or (scale is None and length is not None)):
            continue
        if not isinstance(length, int) or not isinstance(size, int):
            raise Unsupported("it resizes from or to sizes that only the runtime knows")
        axes[axis] = (length, size, scale or Fraction(size, length))
    return axes


def _scales(node: gs.Node, rank: int, opset: int) -> dict[int, Fraction]:
    """What the input `scales` says of each axis; nothing where it has sizes instead."""
    if len(node.inputs) < 3 or not node.inputs[2].name:
        return {}
    values = known_value(node.inputs[2], opset)
    if values is None:
        raise Unsupported("its scales are computed")
    axes = node.attrs.get("axes", range(rank))
    return {axis % rank: Fraction(float(scale)) for axis, scale in zip(axes, values, strict=False)}


RESIZE_BY_MATMUL = Replacement("MatMul with constant weights", emit)
