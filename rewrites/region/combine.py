"""Put rows together: several tensors in one table, and weighted sums of rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from onnxpool.ops.op import Array
from onnxpool.rewrites.region.terms import (
    NOTHING,
    Candidates,
    Ids,
    Labels,
    NotCarried,
    NotUnderstood,
    Rows,
    Sums,
    Value,
    check_size,
    is_uniform,
    picked,
    uniform,
)

_LEAST_FACTOR = 1e-8
"""No window has so many elements."""


def join(tables: Sequence[Rows]) -> tuple[Rows, list[int]]:
    """One table of all rows, and at which number those of each table begin.

    Raises:
        NotUnderstood: sums meet maxima, and are not single elements.
    """
    kinds = {type(table) for table in tables}
    if kinds == {Sums}:
        joined: Rows = _join_sums([t for t in tables if isinstance(t, Sums)])
    elif kinds <= {Sums, Candidates}:
        joined = _join_candidates([candidates(table) for table in tables])
    else:
        raise NotUnderstood("logarithms beside others")
    starts = np.cumsum([0, *(len(table) for table in tables[:-1])])
    return joined, [int(start) for start in starts]


def _join_sums(tables: Sequence[Sums]) -> Sums:
    width = max(table.terms.shape[1] for table in tables)
    check_size(width * sum(map(len, tables)))
    terms = np.concatenate([_widened(t.terms, width, NOTHING) for t in tables])
    weights = np.concatenate([_widened(t.weights, width, 0.0) for t in tables])
    return Sums(
        terms,
        weights,
        offset=_concatenated([t.offset for t in tables]),
        low=_concatenated([t.low for t in tables]),
        high=_concatenated([t.high for t in tables]),
        power=_concatenated([t.power for t in tables]),
        root=_concatenated([t.root for t in tables]),
        summed=_concatenated([t.summed for t in tables]),
    )


def _concatenated(arrays: Sequence[Array]) -> Array:
    arrays = [array for array in arrays if array.size] or list(arrays[:1])
    if all(map(is_uniform, arrays)) and len({array.flat[0] for array in arrays}) == 1:
        return uniform(sum(map(len, arrays)), arrays[0].flat[0])
    return np.concatenate(arrays)


def _join_candidates(tables: Sequence[Candidates]) -> Candidates:
    width = max(table.terms.shape[1] for table in tables)
    check_size(width * sum(map(len, tables)))
    terms = np.concatenate([_widened(t.terms, width, NOTHING) for t in tables])
    floor = np.concatenate([t.floor for t in tables])
    payloads = [t.payload for t in tables if t.payload is not None]
    if not payloads:
        return Candidates(terms, floor)
    if len(payloads) < len(tables):
        raise NotUnderstood("maxima beside indices")
    return Candidates(terms, floor, np.concatenate([_widened(p, width, 0) for p in payloads]))


def _widened(array: Array, width: int, fill: float) -> Array:
    more = width - array.shape[1]
    return np.asarray(np.pad(array, ((0, 0), (0, more)), constant_values=fill))


def candidates(rows: Rows) -> Candidates:
    """Single elements of X, and constants, as what a maximum picks from.

    Raises:
        NotUnderstood: a row is neither.
    """
    if isinstance(rows, Candidates):
        return rows
    if not isinstance(rows, Sums):
        raise NotUnderstood("a maximum of logarithms")
    constant = rows.constant
    if not np.all(constant | rows.plain):
        raise NotUnderstood("a maximum of sums or powers")
    position = (rows.terms != NOTHING).argmax(axis=1)[:, None]
    terms = np.take_along_axis(rows.terms, position, axis=1)
    return Candidates(terms, np.where(constant, rows.offset, -np.inf))


def combined(rows: Sums, ids: Ids, weights: Array) -> Sums:
    """Weighted sums of rows.

    Args:
        ids: ``(m, R)``, `NOTHING` where there is none.
        weights: broadcasts to ``(m, R)``.

    Raises:
        NotUnderstood: roots, or different powers or clamps, or infinite constants are added up.
    """
    count, each = ids.shape
    width = each * rows.terms.shape[1]
    check_size(count * width)
    there = ids != NOTHING
    weights = np.where(there, weights, 0.0)
    if count and each and np.any(rows.root != 1) and np.any((rows.root[ids] != 1) & there):
        raise NotUnderstood("a sum of roots")
    offsets = np.where(there, picked(rows.offset, ids), 0.0)
    if not (np.isfinite(offsets).all() and np.isfinite(weights).all()):
        raise NotUnderstood("a sum with an infinite constant")
    check_factors(weights)
    terms = np.where(there[..., None], rows.terms[ids], NOTHING).reshape(count, width)
    scaled = (picked(rows.weights, ids) * weights[..., None]).reshape(count, width)
    offset = (offsets * weights).sum(axis=1)
    return compressed(
        Sums(
            terms,
            scaled,
            offset,
            low=_common(rows.low, ids, there, rows),
            high=_common(rows.high, ids, there, rows),
            power=_common(rows.power, ids, there, rows),
            root=uniform(count, 1.0),
            summed=uniform(count, np.bool_(True)),
        )
    )


def check_factors(factors: Array) -> None:
    """Refuse factors by which values that the dtype holds could leave it.

    Raises:
        NotUnderstood: one of them is too small or too great.
    """
    magnitudes = np.abs(factors[factors != 0])
    extreme = magnitudes[(magnitudes < _LEAST_FACTOR) | (magnitudes > 1 / _LEAST_FACTOR)]
    if extreme.size:
        raise NotUnderstood(f"a factor of {extreme.flat[0]:.3g}, under which values are lost")


def _common(values: Array, ids: Ids, there: Array, rows: Sums) -> Array:
    """The value that all rows of a sum share; constant rows take any."""
    if len(values) and (is_uniform(values) or (values == values[0]).all()):
        return uniform(len(ids), values[0])
    telling = there & ~rows.constant[ids]
    picked = values[ids]
    least = np.where(telling, picked, np.inf).min(axis=1, initial=np.inf)
    most = np.where(telling, picked, -np.inf).max(axis=1, initial=-np.inf)
    if np.any((least != most) & telling.any(axis=1)):
        raise NotUnderstood("a sum of different powers or clamps")
    return np.asarray(np.where(telling.any(axis=1), least, values[0]))


def compressed(rows: Sums) -> Sums:
    """Each element of X once per row, in order; what cancels out exactly is gone."""
    if rows.terms.shape[1] <= 1:
        return rows
    order = np.argsort(np.where(rows.terms == NOTHING, np.iinfo(np.int64).max, rows.terms), axis=1)
    terms = np.take_along_axis(rows.terms, order, axis=1)
    weights = np.take_along_axis(rows.weights, order, axis=1)
    repeated = (terms[:, 1:] == terms[:, :-1]) & (terms[:, 1:] != NOTHING)
    if repeated.any():
        first = np.concatenate([np.ones((len(terms), 1), bool), ~repeated], axis=1)
        starts = np.flatnonzero(first.reshape(-1))
        totals = np.add.reduceat(weights.reshape(-1), starts)
        weights = np.zeros_like(weights)
        weights.reshape(-1)[starts] = totals
        terms = np.where(first, terms, NOTHING)
    kept = (terms != NOTHING) & (weights != 0)
    width = max(int(kept.sum(axis=1).max(initial=0)), 1)
    if kept.all() and width == terms.shape[1]:
        return dataclasses.replace(rows, terms=terms, weights=weights)
    front = np.argsort(~kept, axis=1, kind="stable")[:, :width]
    kept = np.take_along_axis(kept, front, axis=1)
    terms = np.where(kept, np.take_along_axis(terms, front, axis=1), NOTHING)
    weights = np.where(kept, np.take_along_axis(weights, front, axis=1), 0.0)
    return dataclasses.replace(rows, terms=terms, weights=weights)


def constant_like(value: Value, array: Array, rank: int | None = None) -> Array:
    """The slice of a constant that stands for all, as it broadcasts to the axes of `value`.

    Raises:
        NotCarried: it differs along a carried axis.
    """
    rank = value.ids.ndim if rank is None else rank
    shift = rank - array.ndim
    for axis, labels in value.carried.items():
        own = axis - shift
        if own < 0 or array.shape[own] == 1:
            continue
        first = array.take([0], axis=own) if array.shape[own] else array
        if array.shape[own] != value.carried_size(axis) or not np.array_equal(
            np.broadcast_to(first, array.shape), array
        ):
            raise NotCarried(labels[0])
        array = first
    return array


def as_value(like: Value, array: Array) -> Value:
    """A constant of its own rank as a tensor beside `like`, whose carried axes it has."""
    array = constant_like(like, array)
    rows = Sums.of_constants(array.reshape(-1))
    ids = np.arange(array.size).reshape(array.shape)
    return dataclasses.replace(like, rows=rows, ids=ids, steps={})


def broadcast(values: Sequence[Value]) -> list[Value]:
    """Give all of them one shape.

    Raises:
        NotCarried: an axis is carried in one of them and has several slices in another.
    """
    rank = max(value.ids.ndim for value in values)
    lifted = [with_rank(value, rank) for value in values]
    carried: dict[int, Labels] = {}
    for value in lifted:
        for axis, labels in value.carried.items():
            if carried.setdefault(axis, labels) != labels:
                raise NotCarried(labels[0])
    for value in lifted:
        for axis, labels in carried.items():
            if axis not in value.carried and value.ids.shape[axis] != 1:
                raise NotCarried(labels[0])
    try:
        shape = np.broadcast_shapes(*(value.ids.shape for value in lifted))
    except ValueError:
        raise NotUnderstood("shapes that do not broadcast") from None
    return [value.moved(np.broadcast_to(value.ids, shape), carried) for value in lifted]


def with_rank(value: Value, rank: int) -> Value:
    """The same with axes of size 1 in front."""
    more = rank - value.ids.ndim
    ids = value.ids.reshape((1,) * more + value.ids.shape)
    return value.moved(ids, {axis + more: labels for axis, labels in value.carried.items()})
