"""Where the outputs of pooling may lie: the float64 definition, give or take the rounding.

u is half the distance from 1 to the next number of a type: of X's own type, and of the one that is
computed in, which is float32 for halves. Each bound holds for every order of summation and for
products with weights on each axis (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).

maximum, indices    0: they pick an element.

average             |y - ȳ| ≤ ((t + 8)·u + 4·u_x) · mean|x|
                    t: terms of the window that are not zero; 8 roundings: of a weight and a product
                    for each of three axes, and of a quotient; 4 of constants and of y itself in X's
                    type. Plus as many
                    times the least subnormal number, which is what rounding is worth down there.
                    With CumSum the sums run over the whole plane, and so do t and |x|.

generalised mean    m = mean(c^p), c = max(x, epsilon), y = m^(1/p). To first order c^p is off by
                    |c|^p · |p ln|c|| times the rounding of p or of p·ln c, hence
                    |m - m̄| ≤ ((t + 32)·u + 4·u_x)·mean|c|^p + (8·u + 4·u_x)·mean(|c|^p·|p ln|c||)
                    plus the least normal number, where a power vanishes. y lies between the roots
                    of both ends, with an exponent of 1/p·(1 ± 4·u_x) and 32 roundings of u and 4 of
                    u_x. Where the sum of the powers is beyond the type, y may be infinite; where
                    the lower end of m is negative, NaN.

Where a window holds an infinity or a NaN the definition has a value, but few forms promise it: see
check.py.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from onnxpool.ops import AdaptiveMaxPool, GeMPool, Op, PyramidPool
from onnxpool.ops.adaptive_average_pool import average
from onnxpool.ops.adaptive_pool import AdaptivePool
from onnxpool.ops.op import KEEP, Array
from onnxpool.ops.windows import Window, windows

_AT_ONCE = 1 << 19
"""Elements of X; in float64, and in the sums of its windows, they take many times their memory."""
_ROUNDINGS = 8
_OF_X = 4
_OF_POWERS = 32
_OF_LOGARITHM = 8


@dataclasses.dataclass(frozen=True)
class Range:
    """Where the elements of one output may lie; all arrays are of its shape.

    Attributes:
        wanted: the definition's value, float64 or int64.
        low, high: ends of the interval; infinite where a power may overflow.
        may_be_nan: where a power may be that of a negative number.
        beyond: where a sum may be beyond the type, or a power is none.
        touched: where the window holds what a sum makes no number of, or a maximum no order. The
            interval of a generalised mean is then that of a form whose clamp has no infinity and
            passes over NaN, as ONNX Runtime's Clip; others say nothing.
    """

    wanted: Array
    low: Array
    high: Array
    may_be_nan: Array
    beyond: Array
    touched: Array

    def of(self, slots: Array) -> Range:
        """The range of these slots, numbers along the first axis."""
        fields = (getattr(self, field.name) for field in dataclasses.fields(self))
        return Range(*(field[slots] for field in fields))

    @classmethod
    def joined(cls, parts: Sequence[Range]) -> Range:
        """The range of the slots of all parts."""
        if len(parts) == 1:
            return parts[0]
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def holds(self, found: Array) -> Array:
        """Whether each element lies in its interval."""
        with np.errstate(invalid="ignore"):
            inside = (self.low <= found) & (found <= self.high)
        return np.asarray(np.where(np.isnan(found), self.may_be_nan, inside))

    def is_wanted(self, found: Array) -> Array:
        """Whether each element is as the definition has it, where that is no finite number."""
        same = (found == self.wanted) | (np.isnan(found) & np.isnan(self.wanted))
        return np.asarray(np.where(np.isfinite(self.wanted), self.holds(found), same))


@dataclasses.dataclass(frozen=True)
class Precision:
    """The rounding of a type and of the one that it is computed in."""

    dtype: np.dtype[Any]

    @property
    def own(self) -> Any:
        return ml_dtypes.finfo(self.dtype)  # type: ignore[no-untyped-call]

    @property
    def computed(self) -> Any:
        return self.own if self.dtype.itemsize > 2 else np.finfo(np.float32)

    @property
    def u(self) -> float:
        # The float64 reference rounds as often as what it is compared with.
        return float(self.computed.eps) / (1 if self.dtype == np.float64 else 2)

    @property
    def u_x(self) -> float:
        return float(self.own.eps) / 2


def ranges(
    op: Op,
    x: Array,
    parameters: Sequence[Array],
    strange: Sequence[int],
    *,
    cumulative: bool = False,
) -> list[Range]:
    """The ranges of the outputs of `op`.

    Args:
        op: of the dialect.
        x: ``(slots, D1, …, Dk)``.
        parameters: its other inputs; exponents one per slot, or one.
        strange: the slots that hold anything; in the others no value is above 1.
        cumulative: whether sums may run over the whole plane.
    """
    count = max(1, _AT_ONCE // max(1, math.prod(x.shape[1:])))
    parts = []
    for first in range(0, len(x), count):
        part = slice(first, first + count)
        per_slot = isinstance(op, GeMPool) and parameters[0].size > 1
        own = [p.reshape(-1)[part] if per_slot else p for p in parameters]
        inside = [slot - first for slot in strange if first <= slot < first + count]
        parts.append(_ranges(op, x[part], own, inside, cumulative))
    return [Range.joined(outputs) for outputs in zip(*parts, strict=True)]


def _ranges(
    op: Op, x: Array, parameters: Sequence[Array], strange: Sequence[int], cumulative: bool
) -> list[Range]:
    wanted = op.reference(_double(x), *map(_double, parameters))
    return [
        _range(op, x, parameters, y, size, strange, cumulative)
        for y, size in zip(wanted, output_sizes(op, parameters, len(wanted)), strict=True)
    ]


def output_sizes(op: Op, parameters: Sequence[Array], outputs: int) -> list[tuple[int, ...]]:
    """The output size of each output, in numbers or `KEEP`."""
    if isinstance(op, PyramidPool):
        return list(op.sizes())
    if isinstance(op, AdaptivePool):
        return [op.sizes(parameters)] * outputs
    assert isinstance(op, GeMPool)
    return [op.output_size] * outputs


def is_max(op: Op) -> bool:
    return isinstance(op, AdaptiveMaxPool) or (isinstance(op, PyramidPool) and op.mode == "max")


def _range(
    op: Op,
    x: Array,
    parameters: Sequence[Array],
    wanted: Array,
    size: tuple[int, ...],
    strange: Sequence[int],
    cumulative: bool,
) -> Range:
    values = _double(x[strange])
    touched = np.zeros(wanted.shape, bool)
    unordered = np.isnan(values) if is_max(op) else ~np.isfinite(values)
    if unordered.any():
        touched[strange] = average(unordered.astype(np.float64), size) > 0
    if is_max(op):
        nowhere = np.zeros(wanted.shape, bool)
        return Range(wanted, wanted, wanted, nowhere, nowhere, touched)
    precision = Precision(x.dtype)
    if isinstance(op, GeMPool):
        greatest = float(precision.own.max)
        values = np.nan_to_num(_double(x), nan=0, posinf=greatest, neginf=-greatest)
        p = _double(parameters[0]).reshape(-1, *(1,) * len(size))
        return Range(wanted, *_generalised(op, values, p, precision), touched)
    each = _windows(x.shape[1:], size)
    counts = _outer([[float(w.length) for w in axis] for axis in each])
    total, terms = (np.broadcast_to(counts, wanted.shape).copy() for _ in range(2))
    if cumulative:
        total[:] = terms[:] = math.prod(x.shape[1:])
    total[strange], terms[strange] = _totals(np.where(unordered, 0, values), each, cumulative)
    beyond = total > float(precision.computed.max)
    off = np.where(beyond, np.inf, _off(total / counts, terms, precision))
    with np.errstate(invalid="ignore"):
        return Range(wanted, wanted - off, wanted + off, beyond, beyond, touched)


def _totals(x: Array, each: Sequence[Sequence[Window]], cumulative: bool) -> tuple[Array, Array]:
    """Per window the sum of magnitudes, and of how many numbers other than zero it is.

    Args:
        x: finite.
        each: the windows of each axis.
    """
    magnitude, nonzero = np.abs(x), (x != 0).astype(np.float64)
    if cumulative:
        axes = tuple(range(1, x.ndim))
        return magnitude.sum(axis=axes, keepdims=True), nonzero.sum(axis=axes, keepdims=True)
    return _sums(magnitude, each), _sums(nonzero, each)


def _off(magnitude: Array, terms: Array, precision: Precision) -> Array:
    """By how much averages may be off."""
    relative = (terms + _ROUNDINGS) * precision.u + _OF_X * precision.u_x
    least = (terms + _ROUNDINGS) * float(precision.computed.smallest_subnormal)
    least += _OF_X * float(precision.own.smallest_subnormal)
    return np.asarray(relative * magnitude + np.where(terms > 0, least, 0))


def _sums(x: Array, each: Sequence[Sequence[Window]]) -> Array:
    """The sums of the windows, of numbers that are finite and not negative."""
    for axis, bins in enumerate(each, start=1):
        if len(bins) == x.shape[axis]:
            continue  # Each window is one element.
        positions = np.arange(x.shape[axis])
        inside = np.array([(w.start <= positions) & (positions < w.end) for w in bins], np.float64)
        x = np.moveaxis(np.moveaxis(x, axis, -1) @ inside.T, -1, axis)
    return x


def _generalised(
    op: GeMPool, x: Array, p: Array, precision: Precision
) -> tuple[Array, Array, Array, Array]:
    """The last fields of a Range but one."""
    size = op.output_size
    counts = _outer([[float(w.length) for w in axis] for axis in _windows(x.shape[1:], size)])
    c = x if op.epsilon is None else np.maximum(x, op.epsilon)
    with np.errstate(all="ignore"):
        powers, powers_of_magnitude = c**p, np.abs(c) ** p
        steep = np.where(c == 0, 0, powers_of_magnitude * np.abs(p * np.log(np.abs(c))))
        m, magnitude = average(powers, size), average(powers_of_magnitude, size)
        terms = average((c != 0).astype(np.float64), size) * counts
        off = ((terms + _OF_POWERS) * precision.u + _OF_X * precision.u_x) * magnitude
        off += (_OF_LOGARITHM * precision.u + _OF_X * precision.u_x) * average(steep, size)
        off += np.where(terms > 0, float(precision.computed.tiny), 0)
        low, high = _roots(m - off, m + off, p, precision)
        least = _OF_X * float(precision.own.smallest_subnormal) * (terms > 0)
        low, high = low - least, high + least
        beyond = ~(magnitude * counts <= float(precision.computed.max))
        negative = average((c < 0).astype(np.float64), size) > 0
        low = np.where(beyond & negative, -np.inf, low)
        # Nor does float64 hold everything.
        low = np.where(~np.isfinite(m + off) & ~negative, 0, low)
        high = np.where(beyond | (high > float(precision.own.max)), np.inf, high)
        may_be_nan = np.where(beyond, negative, ~(m - off >= 0) & (p != 1))
    return low, high, may_be_nan, beyond | np.isnan(m)


def _roots(low: Array, high: Array, p: Array, precision: Precision) -> tuple[Array, Array]:
    """The ends of an interval to the power of 1/p; NaN where both are negative."""
    relative = _OF_POWERS * precision.u + _OF_X * precision.u_x
    signs = (-1, 1)
    roots = [
        np.maximum(end, 0) ** (1 / p * (1 + sign * _OF_X * precision.u_x))
        for end in (low, high)
        for sign in signs
    ]
    least = np.where(high < 0, np.nan, functools.reduce(np.minimum, roots)) * (1 - relative)
    greatest = functools.reduce(np.maximum, roots) * (1 + relative)
    # The root of 1 leaves a negative number what it is.
    return np.where(p == 1, low, least), np.where(p == 1, high, greatest)


def _outer(per_axis: Sequence[Sequence[float]]) -> Array:
    return np.asarray(functools.reduce(np.multiply.outer, map(np.asarray, per_axis)))


def longest_windows(plane: Sequence[int], sizes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Per axis the longest window of all levels."""
    levels = [[max(w.length for w in axis) for axis in _windows(plane, o)] for o in sizes]
    return tuple(map(max, zip(*levels, strict=True)))


def _windows(plane: Sequence[int], size: Sequence[int]) -> list[tuple[Window, ...]]:
    pairs = zip(plane, size, strict=True)
    return [windows(length, length if bins == KEEP else bins) for length, bins in pairs]


def _double(values: Array) -> Array:
    return values if np.issubdtype(values.dtype, np.integer) else values.astype(np.float64)
