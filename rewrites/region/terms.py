"""What the elements of a tensor are, in terms of the elements of X.

A tensor inside a region is a table of rows and, for each of its elements, the number of its row:
whatever only moves elements changes the numbers alone. Three kinds of rows are enough for pooling:

    Sums         (Σ w·clamp(X[t])^power + offset)^root       averages, powers, generalised means
    Candidates   max(X[t], …), or where that element stood    maxima and their indices
    Logarithms   factor · Log(a Sums)                         powers that are spelled by Exp

Batch, channels and kept axes are *carried*: the tables hold one slice of them, of which all others
are copies, because nothing in the region treats them differently. What does raises `NotCarried`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnxpool.ops.op import Array

if TYPE_CHECKING:
    from typing import Self  # not there in Python 3.10

Ids = NDArray[np.int64]
Labels = tuple[int, ...]
"""Axes of X that an axis of a tensor holds, the outer one first."""

NOTHING = -1
MOST_TERMS = 1 << 22
"""Elements of a table: some hundred megabytes."""


class NotUnderstood(Exception):
    """What a node computes is no part of pooling that is known; the message says of which."""


class TooLarge(NotUnderstood):
    """A table would take too much memory."""


class Impossible(NotUnderstood):
    """A node cannot run at these sizes, or has nothing there of which it could make a number."""


class NotCarried(Exception):
    """A node treats the slices of a carried axis differently."""

    def __init__(self, label: int) -> None:
        super().__init__(label)
        self.label = label


def check_size(elements: int, most: int | None = None) -> None:
    """Raises:
    TooLarge: these are more terms, or windows of an axis, than are tried.
    """
    most = MOST_TERMS if most is None else most
    if elements > most:
        raise TooLarge(f"too large to try: {elements:,} terms, at most {most:,}")


def uniform(shape: int | tuple[int, ...], value: Any) -> Array:
    """An array of one value, which takes the memory of one element."""
    return np.broadcast_to(np.asarray(value), shape)


def is_uniform(array: Array) -> bool:
    return bool(array.size) and not any(array.strides)


def picked(array: Array, ids: Ids) -> Array:
    """`array[ids]`, uniform where the array is."""
    if is_uniform(array):
        return uniform((*ids.shape, *array.shape[1:]), array.flat[0])
    return np.asarray(array[ids])


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """A table; each field is an array whose first axis counts the rows."""

    def __len__(self) -> int:
        return len(self._fields()[0])

    def take(self, ids: Ids) -> Self:
        """The rows of these numbers, ``(m,)``."""
        check_size(len(ids) * max((f[:1].size for f in self._fields()), default=1))
        return type(self)(*(picked(field, ids) for field in self._fields()))

    def _fields(self) -> list[Any]:
        return [getattr(self, field.name) for field in dataclasses.fields(self)]


@dataclasses.dataclass(frozen=True, eq=False)
class Sums(Rows):
    """Rows (Σ weights · min(max(X[terms], low), high)^power + offset)^root.

    Attributes:
        terms: ``(n, T)``, positions in X, `NOTHING` where there is none.
        weights: ``(n, T)``, 0 where there is no term.
        offset, low, high, power, root: ``(n,)``.
        summed: ``(n,)``, whether it is behind a sum, though it may be of one term.
    """

    terms: Ids
    weights: Array
    offset: Array
    low: Array
    high: Array
    power: Array
    root: Array
    summed: NDArray[np.bool_]

    @classmethod
    def of_input(cls, count: int) -> Sums:
        terms = np.arange(count, dtype=np.int64)[:, None]
        return cls._linear(terms, uniform((count, 1), 1.0), uniform(count, 0.0))

    @classmethod
    def of_constants(cls, values: Array) -> Sums:
        """One row of no terms for each of ``(n,)`` values."""
        n = len(values)
        terms = uniform((n, 1), np.int64(NOTHING))
        return cls._linear(terms, uniform((n, 1), 0.0), values.astype(np.float64))

    @classmethod
    def _linear(cls, terms: Ids, weights: Array, offset: Array) -> Sums:
        """Rows without clamps and powers, behind no sum."""
        n, one = len(terms), uniform(len(terms), 1.0)
        bounds = uniform(n, -np.inf), uniform(n, np.inf)
        return cls(terms, weights, offset, *bounds, one, one, uniform(n, np.bool_(False)))

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Which rows have no terms."""
        return np.asarray((self.terms == NOTHING).all(axis=1))

    @property
    def atomic(self) -> NDArray[np.bool_]:
        """Which rows are a function of one element of X, and behind no sum."""
        single = (self.terms != NOTHING).sum(axis=1) == 1
        return np.asarray(single & ~self.summed & (self.offset == 0) & (self.root == 1))

    @property
    def plain(self) -> NDArray[np.bool_]:
        """Which rows are one element of X as it is."""
        weights = np.where(self.terms == NOTHING, 1.0, self.weights)
        return np.asarray(self.atomic & self.is_linear & (weights == 1).all(axis=1))

    @property
    def is_linear(self) -> NDArray[np.bool_]:
        """Which rows have neither clamp nor power."""
        unclamped = np.isneginf(self.low) & np.isposinf(self.high)
        return np.asarray(unclamped & (self.power == 1) & (self.root == 1))

    def least(self) -> Array:
        """What no value of a row is below, ``(n,)``; -inf where that is not known."""
        base = np.where((self.low >= 0) & (self.power > 0), self.low, np.nan)
        with np.errstate(all="ignore"):
            atoms = base**self.power
            sums = self.weights.sum(axis=1) * atoms + self.offset
            known = (self.weights >= 0).all(axis=1) & (self.offset >= 0) & (self.root > 0)
            least = np.where(self.constant, self.offset, sums) ** self.root
        return np.where(known & ~np.isnan(least), least, -np.inf)

    def scaled(self, factor: Array) -> Sums:
        """Each row times a factor, ``(n,)``; under a root the factor goes inside."""
        rooted = self.root != 1
        if np.any(rooted & ~(factor > 0)):
            raise NotUnderstood("a factor that is not positive behind a root")
        with np.errstate(all="ignore"):
            inside = np.where(rooted, np.abs(factor) ** (1 / self.root), factor)
        weights = self.weights * inside[:, None]
        return dataclasses.replace(self, weights=weights, offset=self.offset * inside)


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates(Rows):
    """Rows that pick the greatest of several elements of X; the first of equal ones.

    Attributes:
        terms: ``(n, T)``, positions in X in the order of precedence, `NOTHING` where there is none.
        floor: ``(n,)``, a constant that competes with them; -inf is none.
        payload: ``(n, T)``, the integer that stands for each, where the tensor is of indices.
    """

    terms: Ids
    floor: Array
    payload: Ids | None = None

    def _fields(self) -> list[Any]:
        fields = [self.terms, self.floor]
        return fields if self.payload is None else [*fields, self.payload]


@dataclasses.dataclass(frozen=True, eq=False)
class Logarithms(Rows):
    """Rows factor · Log(the row of `of`), factor ``(n,)``."""

    of: Sums
    factor: Array

    def __len__(self) -> int:
        return len(self.factor)

    def take(self, ids: Ids) -> Logarithms:
        return Logarithms(self.of.take(ids), self.factor[ids])


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A tensor: the row of each of its elements.

    Attributes:
        ids: a number per element; a carried axis has size 1.
        carried: per axis that is carried, which axes of X it holds.
        sizes: the whole size of each carried axis of X.
        steps: per carried axis of X, by how much indices grow with it; for indices alone.
    """

    rows: Rows
    ids: Ids
    carried: Mapping[int, Labels]
    sizes: Mapping[int, int]
    steps: Mapping[int, int] = dataclasses.field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """The whole shape."""
        return tuple(
            self.carried_size(axis) if axis in self.carried else size
            for axis, size in enumerate(self.ids.shape)
        )

    def carried_size(self, axis: int) -> int:
        return int(np.prod([self.sizes[label] for label in self.carried[axis]], dtype=object))

    def need_all(self, axes: Sequence[int]) -> None:
        """Refuse to go on where one of `axes` is carried: its slices are treated differently."""
        for axis in axes:
            if axis in self.carried:
                raise NotCarried(self.carried[axis][0])

    def moved(self, ids: Ids, carried: Mapping[int, Labels] | None = None) -> Value:
        """The same rows elsewhere."""
        check_size(ids.size)
        kept = self.carried if carried is None else carried
        return dataclasses.replace(self, ids=ids, carried=kept)

    def with_rows(self, rows: Rows, ids: Ids | None = None) -> Value:
        """Other rows, one per element unless `ids` says otherwise."""
        if ids is None:
            ids = np.arange(self.ids.size).reshape(self.ids.shape)
        return dataclasses.replace(self, rows=rows, ids=ids)

    def sums(self) -> Sums:
        """Its rows.

        Raises:
            NotUnderstood: they are not sums.
        """
        if not isinstance(self.rows, Sums):
            raise NotUnderstood("a sum or a power of maxima or logarithms")
        return self.rows

    def each(self) -> Sums:
        """One row per element.

        Raises:
            NotUnderstood: they are not sums.
        """
        return self.sums().take(self.ids.reshape(-1))
