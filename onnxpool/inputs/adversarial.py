"""Values on which a wrong form of pooling gives itself away, whatever it is wrong in.

Each is a plane ``(D1, …, Dk)``; a tensor X takes one per channel of its batch. Ordinary activations
hide an offset of 1e-6, a clamp at 1000 or the order of ties; each of these planes shows some:

    zeros, a constant                   an offset; a missing or an additional weight
    one value at a position             a scale, with the rounding of one term; a weight outside
    one value in each window            a weight, with the rounding of one term
    some of the positions               a missing weight, however large the window
    1e-30, 1e-6, 1e4, 1e30, subnormal   offsets, clamps, exponents
    mixed magnitudes                    sums in another order, cancellation
    around each constant of the graph   clamps, from both sides and far beyond
    ties, all negative                  the order of maxima; a maximum that starts from 0
    peaks                               a position that a maximum leaves out, or takes from outside
    ±inf, NaN                           what spreads where it should not
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from onnxpool.ops.op import Array

Lengths = tuple[int, ...]

_MOST_TERMS = 1000
"""Not zero in a window of `partial`: a thousand roundings of float32 are far below one term."""
_MOST_PARTS = 64
_MOST_CONSTANTS = 8
_NEAR = 2.0**-6
_AT_ONCE = 1 << 16
"""Elements that are drawn in float64 at a time."""


@dataclasses.dataclass(frozen=True)
class Plane:
    """Attributes:
    label: in words.
    values: of the type that was asked for.
    """

    label: str
    values: Array


@dataclasses.dataclass(frozen=True)
class Draw:
    """Where planes come from.

    Attributes:
        shape: of a plane.
        longest: the longest window on each axis.
        dtype: floating point.
        positive: whether most values are to be positive, as the base of a power is.
        least: of ordinary values, which are uniform up to 1.
    """

    shape: Lengths
    longest: Lengths
    dtype: np.dtype[Any]
    positive: bool = False
    least: float = -1.0
    rng: np.random.Generator = dataclasses.field(default_factory=lambda: np.random.default_rng(12))

    @property
    def limits(self) -> Any:
        return ml_dtypes.finfo(self.dtype)  # type: ignore[no-untyped-call]

    def plane(self, label: str, values: Any) -> Plane:
        """A plane of `values`, which broadcast; what is beyond the type becomes its greatest."""
        full = np.broadcast_to(np.asarray(values, np.float64), self.shape)
        greatest = float(self.limits.max)
        finite = np.where(np.isinf(full), full, np.clip(full, -greatest, greatest))
        return Plane(label, finite.astype(self.dtype))

    def ordinary(self, count: int = 1) -> Array:
        """`count` planes of ordinary values, ``(count, D1, …, Dk)``."""
        drawn = np.empty((count, *self.shape), self.dtype)
        at_once = max(1, _AT_ONCE // max(1, math.prod(self.shape)))
        for first in range(0, count, at_once):
            part = drawn[first : first + at_once]
            part[...] = self.rng.uniform(self.least, 1.0, part.shape)
        return drawn

    def signs(self, *, mixed: bool | None = None) -> Array:
        mixed = not self.positive if mixed is None else mixed
        return self.rng.choice([-1.0, 1.0], self.shape) if mixed else np.ones(self.shape)


def planes(draw: Draw, constants: Sequence[float], *, is_max: bool) -> Iterator[Plane]:
    """The planes, the most telling first: whoever has no time for all takes the first.

    Args:
        constants: those of the graph, as magnitudes.
        is_max: whether windows pick an element, not sum them up.
    """
    yield draw.plane("all zeros", 0.0)
    yield from _one_value(draw)
    yield from _around(draw, constants)
    yield from _scales(draw)
    yield draw.plane("a constant", 0.1)
    yield draw.plane("all negative", -1 - draw.rng.random(draw.shape))
    yield draw.plane("ties", draw.rng.integers(-2, 2, draw.shape))
    yield draw.plane("mixed magnitudes", _mixed(draw))
    yield from _not_finite(draw)
    yield from partial(draw)
    yield from peaks(draw) if is_max else single(draw)


def scaled(draw: Draw, count: int) -> list[Plane]:
    """`count` planes of large values and as many of small ones."""
    values = [draw.rng.uniform(0.5, 1.0, draw.shape) for _ in range(count)]
    return [draw.plane(f"values up to {top}", each * top) for top in (100, 0.01) for each in values]


def telling(draw: Draw) -> Iterator[Plane]:
    """A few, for sizes besides the first: what windows that are wrong there show."""
    yield draw.plane("ordinary values", draw.ordinary()[0])
    last = np.zeros(draw.shape)
    last[(-1,) * last.ndim] = 1.0
    yield draw.plane("one value at the last position", last)
    rising = 1 + np.arange(math.prod(draw.shape), dtype=np.float64).reshape(draw.shape) / 16
    yield draw.plane("rising values", rising)
    yield draw.plane("falling values", rising.reshape(-1)[::-1].reshape(draw.shape))
    yield next(partial(draw))


def _one_value(draw: Draw) -> Iterator[Plane]:
    count = math.prod(draw.shape)
    places = {"the first": 0, "the last": count - 1, "a middle": count // 2}
    places["some"] = int(draw.rng.integers(count))
    for name, place in places.items():
        values = np.zeros(count)
        values[place] = 1.0 if draw.positive or place else -3.7
        yield draw.plane(f"one value at {name} position", values.reshape(draw.shape))


def _around(draw: Draw, constants: Sequence[float]) -> Iterator[Plane]:
    """Where a clamp would bind: beyond each constant, on both sides of it, and below its negative.

    The least and the greatest constants come first.
    """
    usable = [c for c in constants if c <= float(draw.limits.max)]
    half = _MOST_CONSTANTS // 2
    chosen = usable if len(usable) <= 2 * half else [*usable[:half], *usable[-half:]]
    for c in chosen:
        neighbours = np.array([1 - _NEAR, 1.0, 1 + _NEAR, 2.0, 10.0, -1.0, -1 - _NEAR, -2.0]) * c
        yield draw.plane(f"beyond {c:.4g}", draw.rng.uniform(1.5, 4, draw.shape) * c)
        yield draw.plane(f"below -{c:.4g}", -draw.rng.uniform(1.5, 4, draw.shape) * c)
        yield draw.plane(f"around {c:.4g}", draw.rng.choice(neighbours, draw.shape))


def _scales(draw: Draw) -> Iterator[Plane]:
    ordinary = draw.rng.uniform(0.05 if draw.positive else -1.0, 1.0, draw.shape)
    for scale in scales(draw.dtype):
        yield draw.plane(f"ordinary values times {scale:g}", ordinary * scale)
        if draw.positive:
            yield draw.plane(f"both signs, times {scale:g}", ordinary * scale * _mixed_signs(draw))
    subnormal = float(draw.limits.smallest_subnormal)
    count = max(1, min(1 << 20, int(float(draw.limits.tiny) / subnormal)))
    yield draw.plane("subnormal values", draw.rng.integers(0, count, draw.shape) * subnormal)


def _mixed_signs(draw: Draw) -> Array:
    return draw.signs(mixed=True)


def scales(dtype: np.dtype[Any]) -> tuple[float, ...]:
    """Scales from near the least normal number of a type to near its greatest."""
    ends = {np.dtype(np.float16): (2e-4, 4e3), np.dtype(np.float64): (1e-300, 1e300)}
    least, greatest = ends.get(dtype, (1e-30, 1e30))
    return (least, greatest, 1e-6, 1e4, 1.0)


def _mixed(draw: Draw) -> Array:
    """Magnitudes from one end of the type's range to the other, in every window."""
    least, greatest, *_ = scales(draw.dtype)
    exponents = draw.rng.uniform(np.log10(least), np.log10(greatest) / 2, draw.shape)
    return np.asarray(10.0**exponents * draw.signs())


def _not_finite(draw: Draw) -> Iterator[Plane]:
    count = math.prod(draw.shape)
    for name, values in (
        ("an infinity", [np.inf]),
        ("a negative infinity", [-np.inf]),
        ("a NaN", [np.nan]),
        ("infinities of both signs and a NaN", [np.inf, -np.inf, np.nan]),
    ):
        plane = draw.ordinary().astype(np.float64).reshape(-1)
        plane[draw.rng.choice(count, min(count, len(values)), replace=False)] = values[:count]
        yield draw.plane(name, plane.reshape(draw.shape))
    yield draw.plane("negative infinities", -np.inf)


def partial(draw: Draw) -> Iterator[Plane]:
    """Planes that are zero but for a part of their positions; every position is in one of them.

    A window sums few terms then, so that one too few or one twice is more than their rounding.
    """
    unit = float(draw.limits.eps) / 2
    terms = min(_MOST_TERMS, max(1, int(0.02 / unit)))
    parts = math.ceil(math.prod(draw.longest) / terms)
    part_of = draw.rng.permutation(math.prod(draw.shape)).reshape(draw.shape) % parts
    values = draw.rng.uniform(1, 2, draw.shape) * draw.signs()
    for part in range(min(parts, _MOST_PARTS)):
        yield draw.plane(f"part {part + 1} of {parts}", np.where(part_of == part, values, 0))


def single(draw: Draw) -> Iterator[Plane]:
    """Planes in which no window has more than one value that is not zero, for short windows.

    Every position has it once, so that a weight shows with the rounding of one term.
    """
    if math.prod(draw.longest) <= _MOST_PARTS:
        for offset in itertools.product(*map(range, draw.longest)):
            values = np.zeros(draw.shape)
            values[_apart(offset, draw.longest)] = 1.0
            yield draw.plane(f"one value in a window, from {offset} on", values)


def _apart(offset: Lengths, step: Lengths) -> tuple[slice, ...]:
    return tuple(slice(o, None, each) for o, each in zip(offset, step, strict=True))


def peaks(draw: Draw) -> Iterator[Plane]:
    """Planes in which every position is once the greatest of its window.

    Peaks stand one longest window apart. There are two planes for each place of theirs: in the
    second one the order of their heights is the opposite, and all values are very negative. So a
    peak from outside of a window is greater than the one inside in one of the two.
    """
    offsets = list(itertools.product(*map(range, draw.longest)))
    lowest = float(draw.limits.min)
    for index in draw.rng.permutation(len(offsets)):
        offset = offsets[index]
        at = _apart(offset, draw.longest)
        values, heights = draw.rng.random(draw.shape), draw.rng.random(draw.shape)
        for low in (False, True):
            plane = values.copy()
            plane[at] = 2 + (1 - heights if low else heights)[at]
            name = "negative peaks" if low else "peaks"
            yield draw.plane(f"{name} at {offset}", lowest / 8 * (4 - plane) if low else plane)
