"""Where the axes of an op of the dialect stand in the X and the Y of a region.

An op pools the last axes of its X, (N, C, D1, …, Dk). A graph may pool others, and leave those out
of Y that it pools to 1. What its X is to the op, by the least that leads there:

    as it stands    (N, H, W, C) is an X of three axes to pool, the last of which is kept; of
                    (N, D, H, W, C) there are four
    an axis more    (T, N, C) is (1, T, N, C)
    transposed      (N, H, W, C) is (N, C, H, W), where indices are wanted, which count the
                    positions of a plane, or there is an exponent per channel

Y has its axes in the order of those of X, or channels first.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from onnxpool.ops.op import KEEP, Array, Dim, Shape
from onnxpool.rewrites.region.size import size_of_axis
from onnxpool.rewrites.region.terms import NotUnderstood, Value

D = TypeVar("D", int, Dim)
Size = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Attributes:
    x: per axis of the op's X, the axis of the region's X; None for one of size 1 that it lacks.
    y: the same of Y.
    """

    x: tuple[int | None, ...]
    y: tuple[int | None, ...]

    def of_x(self, shape: Sequence[D]) -> tuple[D, ...]:
        """The shape of the op's X, for a region's X of this shape."""
        return tuple(1 if axis is None else shape[axis] for axis in self.x)

    def of_y(self, shape: Sequence[D]) -> tuple[D, ...]:
        return tuple(1 if axis is None else shape[axis] for axis in self.y)

    @property
    def keeps_x(self) -> bool:
        """Whether the op takes the region's X as it is."""
        return self.x == tuple(range(len(self.x)))

    def is_sensible(self, size: Size, x: Shape) -> bool:
        """Whether a first axis that is no batch is pooled, and more than what may be channels.

        Equal windows over axis 1 alone, of four or more, are rather channels: a norm, groups. With
        all axes where they are and the first of them kept, it is a reading of the op's own.

        Args:
            x: the shape of the region's X.
        """
        if self.x == self.y == tuple(range(len(self.x))) and size[0] == KEEP:
            return False
        plane = self.x[len(self.x) - len(size) :]
        pooled = {axis: bins for axis, bins in zip(plane, size, strict=True) if bins != KEEP}
        rank = sum(axis is not None for axis in self.x)
        alone = rank >= 4 and set(pooled) == {1}
        length = x[1] if alone else None
        equal = not isinstance(length, int) or length % pooled[1] == 0
        return (0 not in plane or 0 in pooled) and not (alone and equal)

    def region_x(self, x: Array) -> Array:
        """The region's X, made of the op's."""
        lacking = tuple(i for i, axis in enumerate(self.x) if axis is None)
        order = [axis for axis in self.x if axis is not None]
        return np.squeeze(x, lacking).transpose(np.argsort(order))

    def op_y(self, y: Array) -> Array:
        """The op's Y, made of the region's."""
        lacking = tuple(i for i, axis in enumerate(self.y) if axis is None)
        return np.expand_dims(y.transpose([a for a in self.y if a is not None]), lacking)


def laid_out(x: Value, layout: Layout) -> Value:
    """The region's X, made of the op's."""
    axes = {layout.x[axis]: labels for axis, labels in x.carried.items()}
    carried = {axis: labels for axis, labels in axes.items() if axis is not None}
    return x.moved(layout.region_x(x.ids), carried)


def taken_back(y: Value, layout: Layout) -> Value:
    """The op's Y, made of the region's.

    Raises:
        NotUnderstood: it has another number of axes.
    """
    if y.ids.ndim != sum(axis is not None for axis in layout.y):
        raise NotUnderstood("its axes are not those of its input")
    carried = {
        axis: y.carried[own]
        for axis, own in enumerate(layout.y)
        if own is not None and own in y.carried
    }
    return y.moved(layout.op_y(y.ids), carried)


@dataclasses.dataclass(frozen=True)
class _Order:
    """Attributes:
    x: as in `Layout`.
    lead: how many axes of the op's X are in front of those that it pools or keeps.
    pooled: the axes of the op's X that may be pooled.
    """

    x: tuple[int | None, ...]
    lead: int
    pooled: tuple[int, ...]

    @property
    def orders_of_y(self) -> list[tuple[int, ...]]:
        """The axes of the op's Y as they stand in a region's."""
        axes = range(len(self.x))
        as_x = tuple(sorted(axes, key=lambda i: -1 if (a := self.x[i]) is None else a))
        channels_first = (*(i for i in axes if i not in self.pooled), *self.pooled)
        return list(dict.fromkeys((as_x, channels_first)))


_ORDERS: dict[int, tuple[_Order, ...]] = {
    2: (_Order((None, 0, 1), 1, (1,)),),
    3: (
        _Order((0, 1, 2), 1, (1,)),
        _Order((None, 0, 1, 2), 1, (1,)),
        _Order((None, 0, 1, 2), 1, (1, 2)),
        _Order((0, 2, 1), 2, (2,)),
        _Order((1, 2, 0), 2, (2,)),
        _Order((2, 0, 1), 1, (1, 2)),
    ),
    4: (
        _Order((0, 1, 2, 3), 1, (1, 2)),
        _Order((0, 3, 1, 2), 2, (2, 3)),
        _Order((None, 0, 1, 2, 3), 1, (1, 2, 3)),
        _Order((3, 0, 1, 2), 1, (1, 2, 3)),
        _Order((2, 3, 0, 1), 2, (2, 3)),
    ),
    5: (
        _Order((0, 1, 2, 3, 4), 2, (2, 3)),
        _Order((0, 1, 2, 3, 4), 1, (1, 2, 3)),
        _Order((0, 4, 1, 2, 3), 2, (2, 3, 4)),
        _Order((3, 4, 0, 1, 2), 2, (2, 3, 4)),
    ),
}
"""By the rank of X. Where an op needs no Transpose of X comes first."""


def layouts(x_rank: int, y_rank: int) -> Iterator[tuple[Layout, tuple[int, ...], int]]:
    """The layouts of an X and a Y of these ranks, other than those that an op has itself.

    Yields:
        The layout, the axes of the op's X that may be pooled, and its number of leading axes.
    """
    for order in _ORDERS.get(x_rank, ()):
        new = [i for i, axis in enumerate(order.x) if axis is None]
        gone = len(order.x) - len(new) - y_rank
        if not 0 <= gone <= len(order.pooled):
            continue
        for axes, pooled in itertools.product(
            order.orders_of_y, itertools.combinations(order.pooled, gone)
        ):
            left = [i for i in axes if i not in (*new, *pooled)]
            y = tuple(left.index(i) if i in left else None for i in range(len(order.x)))
            yield Layout(order.x, y), order.pooled, order.lead


def may_pool(layout: Layout, pooled: Sequence[int], x: Shape, y: Shape) -> bool:
    """Whether shapes with open sizes let other axes than those of `pooled` be the same."""
    pairs = enumerate(zip(layout.of_x(x), layout.of_y(y), strict=True))
    others = (pair for axis, pair in pairs if axis not in pooled)
    return not any(a != b for a, b in others if isinstance(a, int) and isinstance(b, int))


def readings(x: Shape | None, y: Shape | None) -> tuple[tuple[Layout, Size], ...]:
    """In which layouts, and to which sizes, pooling makes a Y of this shape of an X of this one."""
    return () if x is None or y is None else _readings(tuple(x), tuple(y))


@functools.lru_cache
def _readings(x: Shape, y: Shape) -> tuple[tuple[Layout, Size], ...]:
    return tuple(_each_reading(x, y))


def _each_reading(x: Shape, y: Shape) -> Iterator[tuple[Layout, Size]]:
    for layout, pooled, lead in layouts(len(x), len(y)):
        size = _size(layout.of_x(x), layout.of_y(y), pooled)
        if size is None or set(size) == {KEEP}:
            continue
        if layout.is_sensible(size[lead:], x):
            yield layout, size[lead:]


def _size(x: Shape, y: Shape, pooled: Sequence[int]) -> Size | None:
    """Per axis to how many windows it is pooled; None where other axes differ, too."""
    sizes = [
        _size_of(before, after, axis in pooled)
        for axis, (before, after) in enumerate(zip(x, y, strict=True))
    ]
    return None if None in sizes else tuple(s for s in sizes if s is not None)


def _size_of(before: Dim, after: Dim, pooled: bool) -> int | None:
    if pooled:
        return size_of_axis(before, after)
    # What -1 of a Reshape makes of an open axis has no name; the proof sees whether it is that.
    is_open = after is None and not isinstance(before, int)
    return KEEP if before == after or is_open else None
