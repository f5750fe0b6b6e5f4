"""A tensor whose axes stand in another order while it is pooled.

ONNX Runtime multiplies the last axis of all of X by a matrix at once, and gathers whole rows along
the first; along an axis in between it goes plane by plane, or element by element.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder


class Turned:
    """The tensor, and the order of its axes.

    Attributes:
        x: the tensor, in the order that it has now.
    """

    def __init__(self, b: Builder, x: gs.Tensor, order: Sequence[int] | None = None) -> None:
        """Start from `x`.

        Args:
            order: the axes of `x` in the order that they have, numbered as `back` is to put them.
        """
        self._b = b
        self._order = list(range(len(x.shape)) if order is None else order)
        self.x = x

    def at(self, axis: int) -> int:
        """Where an axis is now."""
        return self._order.index(axis)

    def behind(self, axis: int) -> list[int]:
        """The axes that stand behind it now."""
        return self._order[self.at(axis) + 1 :]

    def move_to_front(self, axes: Sequence[int]) -> None:
        self._reorder([*axes, *(axis for axis in self._order if axis not in axes)])

    def back(self) -> gs.Tensor:
        """The tensor, its axes in order again."""
        self._reorder(sorted(self._order))
        return self.x

    def _reorder(self, order: list[int]) -> None:
        if order != self._order:
            self.x = self._b.transpose(self.x, [self.at(axis) for axis in order])
            self._order = order
