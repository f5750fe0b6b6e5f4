"""The output size that the shapes of X and Y suggest."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from onnxpool.ops.op import COMPUTED, KEEP, Dim, Shape

Plane = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Share:
    """An output size that follows its input: the length of the axis // `divisor`."""

    divisor: int

    def of(self, length: int) -> int:
        return length // self.divisor

    def fills(self, length: int, kernel: int) -> bool:
        """Whether windows of length `kernel`, side by side, are those of an axis of this length."""
        return length >= kernel and self.of(length) * kernel == length

    def makes(self, kernel: int) -> bool:
        """Whether they are at some length."""
        return self.fills(kernel, kernel)


def shares(length: int, kernel: int) -> list[Share]:
    """The shares of an axis of this length that windows of length `kernel` are, side by side."""
    found = map(Share, range(1, kernel + 1))
    return [share for share in found if share.fills(length, kernel)]


OutputSize = tuple[int | Share, ...]
"""A size per pooled axis; KEEP keeps one."""

SWEEP = range(1, 65)
"""Lengths of axes that are not fixed, at which it is seen whether a graph is right."""

_LEAST_LEADING = {2: 1, 3: 1, 4: 1, 5: 2}
"""By rank: how many leading axes are never pooled: (C, L), (C, H, W), (C, D, H, W), (N, C, …)."""


def output_size(x: Shape | None, y: Shape | None) -> tuple[int, ...] | None:
    """The output size that pools shape `x` to shape `y`; None where no pooling does.

    An unbatched reading, in which the second axis is pooled, is taken only when every axis behind
    it is pooled as well: ``(N, C, L)`` to ``(N, 1, L)`` is not pooling over positions.
    """
    if x is None or y is None or len(x) != len(y) or len(x) not in _LEAST_LEADING:
        return None
    changed = [
        axis for axis, (before, after) in enumerate(zip(x, y, strict=True)) if before != after
    ]
    if not changed or changed[0] < _LEAST_LEADING[len(x)]:
        return None
    first = changed[0]
    unbatched = len(x) > 2 and first == 1
    if unbatched and len(changed) != len(x) - 1:
        return None
    k = len(x) - 1 if unbatched or len(x) == 2 else len(x) - 2
    sizes = [size_of_axis(before, after) for before, after in zip(x[-k:], y[-k:], strict=True)]
    return None if None in sizes else tuple(s for s in sizes if s is not None)


def size_of_dropped_axes(x: Shape | None, y: Shape | None) -> tuple[int, ...] | None:
    """The output size 1x…x1 where `y` is `x` without its last axes; None where it is not."""
    if x is None or y is None or not 1 <= len(x) - len(y) <= 3 or x[: len(y)] != y:
        return None
    return (1,) * (len(x) - len(y)) if len(y) in (1, 2) else None


def in_words(size: Sequence[int | Share]) -> str:
    """A plane or an output size as it is written, such as "7x7", "3xNone" or "H/4xW/4"."""
    return "x".join(map(_in_words, size, axis_names(len(size))))


def axis_names(k: int) -> str:
    """A letter for each of the last k axes; more than three have no names."""
    return "DHW"[-k:] if 0 < k <= 3 else "?" * k


def _in_words(size: int | Share, axis: str) -> str:
    if isinstance(size, Share):
        return f"{axis}/{size.divisor}"
    return "None" if size == KEEP else str(size)


def as_attribute(size: OutputSize) -> tuple[int, ...]:
    """An output size as an op of the dialect has it: a share is computed in the graph."""
    return tuple(COMPUTED if isinstance(s, Share) else s for s in size)


def open_size(k: int, runs: Sequence[tuple[Plane, Plane]]) -> tuple[int, ...] | None:
    """The output size of `k` axes that explains the shapes of X and Y at several sizes of X.

    Y may come without its pooled axes. None where the size of Y follows X in another way.
    """
    if not runs:
        return None
    planes: list[tuple[Plane, Plane]] = []
    for x, y in runs:
        plane = (1,) * k if y == x[:-k] else y[len(x) - k :]
        if y[: len(x) - k] != x[:-k] or len(plane) != k:
            return None
        planes.append((x[-k:], plane))
    sizes = [_open_size([(x[i], y[i]) for x, y in planes]) for i in range(k)]
    found = tuple(size for size in sizes if size is not None)
    return found if len(found) == k and any(size != KEEP for size in found) else None


def _open_size(lengths: Sequence[tuple[int, int]]) -> int | None:
    if all(before == after for before, after in lengths):
        return KEEP
    bins = {after for _, after in lengths}
    return bins.pop() if len(bins) == 1 else None


def is_unknown(x: Shape | None, y: Shape | None) -> bool:
    """Whether a missing or symbolic size keeps `output_size` from judging."""
    if x is None or y is None:
        return True
    if len(x) != len(y) or len(x) not in _LEAST_LEADING:
        return False
    start = max(_LEAST_LEADING[len(x)], len(x) - 2 if len(x) > 3 else 1)
    pairs = zip(x[start:], y[start:], strict=True)
    return any(b != a and not (isinstance(b, int) and isinstance(a, int)) for b, a in pairs)


def size_of_axis(before: Dim, after: Dim) -> int | None:
    """To how many windows pooling makes one length of another; None where it does not."""
    if before == after:
        return KEEP
    if after == 1:
        return 1
    return after if isinstance(before, int) and isinstance(after, int) and after > 0 else None
