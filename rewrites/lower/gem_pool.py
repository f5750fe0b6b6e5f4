"""GeMPool as standard ops: clamp to epsilon, power, average, root.

    products:  X·X·…·X, where p is a constant from 4 to 8
    exp-log:   Exp(p·Log(X)), where epsilon is positive, and X is too, then
    pow:       Pow(X, p)
    scaled:    m·mean((X/m)^p)^(1/p), m the greatest magnitude in the window

`auto`, by benchmarks/lowering.py on ONNX Runtime 1.31: pow for a constant p of 1, 2 or 3, which
its Pow multiplies out; else products, exp-log or pow, the first that is possible. The first two
are 1.5 to 3 times faster than Pow. The other strategies take pow, which every runtime has.

Halves (float16, bfloat16) are computed in float32. That holds x^p for every float16 x up to
|p| = 5; beyond, and where p is not known, a float16 GeMPool is `scaled`, window by window. Where
the graph computes the windows, `scaled` gathers their positions, and the mean is a weighted sum
of them: a position that fills up a short window has no weight.

ONNX Runtime's Clip makes +inf the greatest finite number; the power makes it +inf again, but not
for p up to 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxpool.ops.gem_pool import GeMPool
from onnxpool.ops.op import Array
from onnxpool.ops.windows import windows
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import numpy_type, onnx_type
from onnxpool.rewrites.lower.adaptive_average_pool import average, to_float
from onnxpool.rewrites.lower.dynamic import (
    Bins,
    along,
    average_axes,
    gather_windows,
    split,
    window_weights,
)
from onnxpool.rewrites.lower.power import exp_log, product
from onnxpool.rewrites.lower.separable import MAX, MEAN, pooled_axes

EXPONENTS_OF_POW = (1, 2, 3)
EXPONENTS_OF_PRODUCTS = (4, 5, 6, 7, 8)
GREATEST_EXPONENT_IN_FLOAT32 = 5
FLOAT16_MAX = 65504.0
TINY = 1e-30
"""Less than any positive float16, and far from the least float32."""


@dataclasses.dataclass(frozen=True)
class Exponent:
    """p and 1/p, which broadcast to ``(C, 1, …, 1)``; `values` are those of a constant p."""

    p: gs.Tensor
    reciprocal: gs.Tensor
    values: Array | None

    @property
    def value(self) -> float | None:
        """p where that is one known number."""
        return float(self.values) if self.values is not None and self.values.size == 1 else None


def lower_gem_pool(
    b: Builder, op: GeMPool, inputs: Sequence[gs.Tensor], outputs: int, strategy: str
) -> tuple[list[gs.Tensor], str]:
    x, p = inputs
    base = to_float(b, x)
    if onnx_type(x.dtype) == onnx.TensorProto.FLOAT16 and not _fits_float32(p):
        y, used = _scaled(b, base, p, op)
    else:
        exponent = _exponent(b, p, numpy_type(base.dtype), len(op.output_size))
        if op.epsilon is not None:
            base = b.at_least(base, op.epsilon)
        form = _form(op, exponent) if strategy == "auto" else "pow"
        mean, averaged = average(b, _power(b, base, exponent, form), op.output_size, strategy)
        y, used = b.elementwise("Pow", mean, exponent.reciprocal), f"{form}/{averaged}"
    return [b.cast(y, x.dtype)], used


def gem_of_computed_size(
    b: Builder, x: gs.Tensor, size: gs.Tensor, p: gs.Tensor, epsilon: gs.Tensor | None = None
) -> gs.Tensor:
    """The generalised mean of ``(N, C, D1, D2, D3)``, whatever p and epsilon turn out to be.

    Args:
        size: int64, ``(3,)``.
        p: as GeMPool takes it.
        epsilon: a float32 scalar; None for no clamp.
    """
    base = to_float(b, x)
    if epsilon is not None:
        base = b.elementwise("Max", base, b.cast(epsilon, base.dtype))
    axes: dict[int, Bins] = {2 + index: b.element(size, index) for index in range(3)}
    dtype = numpy_type(base.dtype)
    if onnx_type(x.dtype) == onnx.TensorProto.FLOAT16:
        exponent = _exponent(b, p, dtype, 2 * len(axes))
        return b.cast(_scaled_by_gather(b, base, exponent, axes), x.dtype)
    exponent = _exponent(b, p, dtype, len(axes))
    mean = average_axes(b, _power(b, base, exponent, "pow"), axes)
    return b.cast(b.elementwise("Pow", mean, exponent.reciprocal), x.dtype)


def _fits_float32(p: gs.Tensor) -> bool:
    """Whether float32 holds x^p for every float16 x."""
    if not isinstance(p, gs.Constant):
        return False
    return bool(np.abs(p.values).max() <= GREATEST_EXPONENT_IN_FLOAT32)


def _exponent(b: Builder, p: gs.Tensor, dtype: np.dtype[Any], k: int) -> Exponent:
    """p for tensors of k axes behind the channels."""
    if not isinstance(p, gs.Constant):
        column = b.node("Reshape", [b.cast(p, dtype), b.integers([-1, *(1,) * k])], None)
        return Exponent(column, b.elementwise("Reciprocal", column), None)
    values = p.values.astype(np.float64).reshape(-1, *(1,) * k)
    if (values == values[0]).all():
        values = np.asarray(values.flat[0])
    with np.errstate(divide="ignore"):
        reciprocal = b.constant("1_over_p", np.asarray(1 / values, dtype))
    return Exponent(b.constant("p", values.astype(dtype)), reciprocal, values)


def _form(op: GeMPool, exponent: Exponent) -> str:
    if exponent.value in EXPONENTS_OF_POW:
        return "pow"
    if exponent.value in EXPONENTS_OF_PRODUCTS:
        return "products"
    return "exp-log" if op.epsilon else "pow"


def _power(b: Builder, x: gs.Tensor, exponent: Exponent, form: str) -> gs.Tensor:
    if form == "products":
        return product(b, x, int(exponent.value or 0))
    if form == "exp-log":
        return exp_log(b, x, exponent.p)
    return b.elementwise("Pow", x, exponent.p)


def _scaled(b: Builder, x: gs.Tensor, p: gs.Tensor, op: GeMPool) -> tuple[gs.Tensor, str]:
    k = len(op.output_size)
    if op.epsilon is not None:
        x = b.elementwise("Max", x, b.scalar(op.epsilon, x.dtype))
    static, dynamic = split(b, x.shape, op.output_size)
    if not dynamic:
        exponent = _exponent(b, p, numpy_type(x.dtype), k)
        return _scaled_by_slices(b, x, exponent, pooled_axes(x.shape, static)), "scaled/slice"
    axes: dict[int, Bins] = {axis: (n,) for axis, n in pooled_axes(x.shape, static).items()}
    axes.update(dynamic)
    exponent = _exponent(b, p, numpy_type(x.dtype), k + len(axes))
    return _scaled_by_gather(b, x, exponent, axes), "scaled/dynamic gather"


def _scaled_by_slices(
    b: Builder, x: gs.Tensor, exponent: Exponent, axes: dict[int, int]
) -> gs.Tensor:
    def each_window(part: gs.Tensor, sliced: list[int]) -> gs.Tensor:
        if not sliced:
            return _scaled_mean(b, part, exponent, list(axes))
        axis, *rest = sliced
        bins = windows(part.shape[axis], axes[axis])
        slices = (b.slice(part, axis, window.start, window.end) for window in bins)
        return b.concat([each_window(each, rest) for each in slices], axis)

    return each_window(x, [axis for axis, size in axes.items() if size > 1])


def _scaled_mean(b: Builder, x: gs.Tensor, exponent: Exponent, axes: list[int]) -> gs.Tensor:
    """The generalised mean of `x` over `axes`, without a power that overflows or vanishes."""
    greatest = _greatest_magnitude(b, x, axes)
    power = b.elementwise("Pow", b.elementwise("Div", x, greatest), exponent.p)
    root = b.elementwise("Pow", b.reduce(MEAN.reduce, power, axes), exponent.reciprocal)
    return b.elementwise("Mul", root, greatest)


def _scaled_by_gather(
    b: Builder, x: gs.Tensor, exponent: Exponent, axes: dict[int, Bins]
) -> gs.Tensor:
    """`_scaled_mean` of all windows at once: behind each axis of windows one of their positions."""
    windows_at: list[int] = []
    weights = []
    for axis in sorted(axes, reverse=True):
        x = gather_windows(b, x, axis, axes[axis])
        windows_at = [axis, *(at + 1 for at in windows_at)]
        weights.append(window_weights(b, axis, axes[axis], x.dtype))
    positions_at = [at + 1 for at in windows_at]
    greatest = _greatest_magnitude(b, x, positions_at)
    power = b.elementwise("Pow", b.elementwise("Div", x, greatest), exponent.p)
    for at, weight in zip(windows_at, reversed(weights), strict=True):
        power = b.elementwise("Mul", power, along(b, weight, at + 1, x))
    mean = b.reduce("ReduceSum", power, positions_at)
    root = b.elementwise("Pow", mean, exponent.reciprocal)
    y: gs.Tensor = b.elementwise("Mul", root, greatest)
    for at in reversed(positions_at):
        y = b.squeeze(y, at)
    return y


def _greatest_magnitude(b: Builder, x: gs.Tensor, axes: Sequence[int]) -> gs.Tensor:
    greatest = b.reduce(MAX.reduce, b.elementwise("Abs", x), axes)
    for op, bound in (("Max", TINY), ("Min", FLOAT16_MAX)):
        greatest = b.elementwise(op, greatest, b.scalar(bound, x.dtype))
    return greatest
