"""Sizes at which what a graph computes may change: around every whole number in it.

A crop, a limit of a divisor or a condition on a size is a number in the graph, so that what differs
at any size differs next to one of them, at twice one of them, or beyond all. A number may also be
compared with a product of sizes: it is tried as the one length that is not 1; or with the length of
a window: it is tried times the number of windows. A count that is rounded to a smaller type is
wrong from 2048 (float16) or 32768 (int16) on, where one large plane lies.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from onnxpool.ops.op import Shape

_LONGEST = 1 << 16
_MOST_POSITIONS = 1 << 16
"""Of a plane of two long axes."""
_LARGE = ((36_503,), (173, 211), (29, 31, 41), (29, 31, 41, 3))
"""Planes of more than 32768 positions; the fourth axis is one of channels."""


def lengths(numbers: Iterable[int], bins: Iterable[int]) -> list[int]:
    """Lengths of an axis, the most telling first.

    Args:
        numbers: the positive whole numbers of the graph.
        bins: the output sizes of the axis; those below 1 are no numbers and say nothing.
    """
    known = sorted({n for n in numbers if n < _LONGEST})
    pooled = sorted({o for o in bins if o > 0}) or [1]
    most = pooled[-1]
    found = [max(3 * most - 1, 7), max(2 * most + 1, 5), 2 * max([*known, 1]) * most + 3]
    for o in pooled:
        found += [3 * o - 1, 2 * o + 1, o, o + 1, o - 1, 2 * o, 4 * o + o // 2]
    found += [1, 2, 3]
    for number in reversed(known):
        found += [number + 1, 2 * number + 1, number, number - 1, 2 * number]
        found += [n for o in pooled if o > 1 for n in (number * o + 1, number * o - 1)]
    return [n for n in dict.fromkeys(found) if n > 0]


def planes(
    plane: Shape, sizes: Sequence[Sequence[int]], numbers: Sequence[int], most: int
) -> list[tuple[int, ...]]:
    """As many as `most` planes, the most telling first; the only one where no size is open.

    Args:
        plane: the last k axes of a tensor: numbers, symbols, None. Equal symbols get equal sizes.
        sizes: the output sizes that these axes are pooled to.
        numbers: as `lengths` takes them.
    """
    if all(isinstance(dim, int) for dim in plane):
        return [tuple(dim for dim in plane if isinstance(dim, int))]
    per_axis = [
        [dim] if isinstance(dim, int) else lengths(numbers, (size[axis] for size in sizes))
        for axis, dim in enumerate(plane)
    ]
    found: dict[tuple[int, ...], None] = {}
    large = _LARGE[len(plane) - 1]
    for index in range(max(map(len, per_axis))):
        # Not square: neighbours in the list, in both orders; then one long axis beside short ones.
        for step in (1, -1):
            chosen = [each[(index + step * axis) % len(each)] for axis, each in enumerate(per_axis)]
            if math.prod(chosen) <= _MOST_POSITIONS or len(plane) == 1:
                found.setdefault(_resolved(plane, chosen))
        for long, each in enumerate(per_axis):
            chosen = [min(other, key=lambda n: abs(n - 1 - index % 3)) for other in per_axis]
            chosen[long] = each[index % len(each)]
            found.setdefault(_resolved(plane, chosen))
    sides = [
        each[0] if len(each) == 1 else side for each, side in zip(per_axis, large, strict=True)
    ]
    return [*list(found)[: most - 1], _resolved(plane, sides)]


def _resolved(plane: Shape, chosen: Sequence[int]) -> tuple[int, ...]:
    symbols: dict[str, int] = {}
    return tuple(
        symbols.setdefault(dim, length) if isinstance(dim, str) else length
        for dim, length in zip(plane, chosen, strict=True)
    )
