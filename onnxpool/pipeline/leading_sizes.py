"""The sizes in front of a plane at which the check runs a region: batch and channels.

A slot is a channel of one element of the batch, and holds a plane of its own. Where a region runs
on a part of the slots, that is what it is run on, with as many as there are planes to try; then on
some other numbers of them where that is open; and once on all that are declared, in case it treats
them differently after all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from onnxpool.inputs import critical_sizes
from onnxpool.ops.op import Dim, Shape

_CHANNELS = 3
"""Where their number is open, and the least part."""

_MOST_ELEMENTS = 1 << 23
"""Of an X with all its slots, or with more than there are planes to try."""


def cropped(lead: Shape) -> Shape:
    """The least part of what is declared."""
    return tuple(min(dim, _CHANNELS) if isinstance(dim, int) else dim for dim in lead)


def with_room(
    lead: Shape, symbols: Mapping[Dim, int], count: int, *, crop: bool
) -> tuple[int, ...]:
    """Sizes with room for `count` planes, where the batch is open or the slots are cropped.

    Args:
        symbols: the sizes that symbols have in the plane.
        crop: whether a part of what is declared is enough.
    """
    sizes = _sizes(cropped(lead) if crop else lead, symbols)
    if lead and not isinstance(lead[0], int) and lead[0] not in symbols:
        sizes[0] = math.ceil(count / math.prod(sizes[1:]))
    elif crop:
        axis, most = max((a, dim) for a, dim in enumerate(lead) if isinstance(dim, int))
        room = math.ceil(count * sizes[axis] / math.prod(sizes))
        sizes[axis] = max(sizes[axis], min(most, room))
    return tuple(sizes)


def whole(lead: Shape, symbols: Mapping[Dim, int], plane: Sequence[int]) -> tuple[int, ...]:
    """All slots that are declared, or as many as X may have."""
    sizes = _sizes(lead, symbols)
    positions = math.prod(plane)
    while math.prod(sizes) * positions > _MOST_ELEMENTS and max(sizes) > 1:
        axis = sizes.index(max(sizes))
        others = math.prod(sizes) // sizes[axis]
        sizes[axis] = max(1, _MOST_ELEMENTS // (positions * others))
    return tuple(sizes)


def further(
    lead: Shape, numbers: Sequence[int], plane: Sequence[int], most: int
) -> list[tuple[int, ...]]:
    """Up to `most` sizes around the numbers of the graph, as far as X has not too many elements.

    Args:
        numbers: as `critical_sizes.lengths` takes them.
    """
    found = critical_sizes.planes(lead, (), numbers, most + 1)[1:]
    return [sizes for sizes in found if math.prod((*sizes, *plane)) <= _MOST_ELEMENTS]


def _sizes(lead: Shape, symbols: Mapping[Dim, int]) -> list[int]:
    return [dim if isinstance(dim, int) else symbols.get(dim, _CHANNELS) for dim in lead]
