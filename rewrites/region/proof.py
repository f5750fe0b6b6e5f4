"""Prove that a region is what an op of the dialect says, element by element.

`computation` says of each element of Y which elements of X it is made of, and how: that is all
that there is to know of it, so nothing is sampled and no tolerance hides anything.

- average: the elements of each window and no others, each with the weight 1/n, and nothing added.
  A weight may be off by as much as the rounding of the constants that it is made of.
- maximum: the elements of each window and no others, and no constant that competes with them. For
  indices, the positions in order, so that the first of equal ones is taken.
- generalised mean: an average, of what is clamped from below and raised to p, under the root of p.

docs/design.md says why this is enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import ml_dtypes
import numpy as np

from onnxpool.ops.op import KEEP, Array
from onnxpool.ops.windows import MOST_WINDOWS, windows
from onnxpool.rewrites.graph.tensors import is_float, numpy_type
from onnxpool.rewrites.region.casts import has_casts
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.semantics.windows import adaptive, gathered
from onnxpool.rewrites.region.terms import (
    NOTHING,
    Candidates,
    Ids,
    NotUnderstood,
    Sums,
    Value,
    check_size,
)

_ROUNDINGS = 4
"""Of constants that one weight is made of: a product of two rounded matrices has two."""


def unit(region: Region) -> float:
    """The greatest relative error of rounding a constant once: to the dtype of X, or to float32
    where the region computes in that.

    Raises:
        NotUnderstood: it is no floating-point type, or not known.
    """
    if not has_casts(region) and not is_float(region.x.dtype):
        raise NotUnderstood("of values whose type is not known")
    dtype = np.dtype(np.float32) if has_casts(region) else numpy_type(region.x.dtype)
    eps = ml_dtypes.finfo(dtype).eps  # type: ignore[no-untyped-call]
    return float(eps) / 2


def misplaced(value: Value, dims: Sequence[int | None], size: Sequence[int]) -> str | None:
    """Why the carried axes of Y, or its number of elements, are not those of pooling."""
    k = len(size)
    wanted = {
        axis: (axis,)
        for axis in range(len(dims))
        if axis in value.sizes and (axis < len(dims) - k or size[axis - len(dims)] == KEEP)
    }
    if dict(value.carried) != wanted:
        return "its axes are not those of its input"
    return None


def windows_of(value: Value, dims: Sequence[int | None], size: Sequence[int]) -> Ids:
    """``(m, K)``: per element of Y the positions of its window in X, in order.

    Of carried axes one slice is there, in X and in Y.

    Raises:
        TooLarge: the size, which a file may declare as it likes, asks for too many.
    """
    k = len(size)
    shape = [1 if axis in value.sizes else int(n or 0) for axis, n in enumerate(dims)]
    plane = shape[-k:]
    bins = [n if b == KEEP else b for b, n in zip(size, plane, strict=True)]
    check_size(
        max((b for b, n in zip(bins, plane, strict=True) if b != n), default=0), MOST_WINDOWS
    )
    longest = _longest(plane, bins)
    check_size(math.prod(bins) * longest)
    ids = np.arange(int(np.prod(shape))).reshape(shape)
    read = gathered(ids, adaptive(plane, bins)).reshape(-1, longest)
    return np.sort(np.where(read == NOTHING, np.iinfo(np.int64).max, read), axis=1)


def _longest(plane: Sequence[int], bins: Sequence[int]) -> int:
    pairs = zip(plane, bins, strict=True)
    return math.prod(max((w.length for w in windows(n, b)), default=0) for n, b in pairs)


def average_differs(rows: Sums, wanted: Ids, unit: float) -> str | None:
    """What is different from the mean of each window; None where nothing is.

    Args:
        rows: one per window; clamps and powers are another matter.
        wanted: ``(m, K)``, padded with the greatest integer.
        unit: of the rounding of the region's constants.
    """
    if len(rows) != len(wanted):
        return f"it has {len(rows)} elements instead of {len(wanted)}"
    if np.any(rows.offset != 0):
        return f"{_most(rows.offset):.3g} is added"
    found = np.where(rows.terms == NOTHING, np.iinfo(np.int64).max, rows.terms)
    order = np.argsort(found, axis=1, kind="stable")
    found = np.take_along_axis(found, order, axis=1)
    if reason := _positions_differ(found, wanted):
        return reason
    there = wanted != np.iinfo(np.int64).max
    count = there.sum(axis=1, keepdims=True)
    weights = np.take_along_axis(rows.weights, order, axis=1)[:, : wanted.shape[1]]
    off = np.abs(weights * count - 1)
    wrong = there & ~(off <= _ROUNDINGS * unit)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        return (
            f"an element has weight {weights[row, column]:.9g} in a window of {int(count[row, 0])}"
        )
    return None


def _most(values: Array) -> float:
    return float(values[np.abs(values).argmax()])


def _positions_differ(found: Ids, wanted: Ids) -> str | None:
    width = max(found.shape[1], wanted.shape[1])
    pad = np.iinfo(np.int64).max
    found, wanted = (
        np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=pad) for a in (found, wanted)
    )
    different = (found != wanted).any(axis=1)
    if not different.any():
        return None
    row = int(different.argmax())
    missing = set(wanted[row]) - set(found[row]) - {pad}
    more = set(found[row]) - set(wanted[row]) - {pad}
    said = [f"lacks {len(missing)}"] * bool(missing) + [f"has {len(more)} more"] * bool(more)
    return f"window {row} {' and '.join(said) or 'has other'} elements"


def maximum_differs(rows: Candidates, wanted: Ids) -> str | None:
    """What is different from the maximum of each window; None where nothing is."""
    if len(rows) != len(wanted):
        return f"it has {len(rows)} elements instead of {len(wanted)}"
    if np.any(rows.floor != -np.inf):
        return f"{_most(np.where(np.isneginf(rows.floor), 0, rows.floor)):.3g} competes"
    pad = np.iinfo(np.int64).max
    found = np.sort(np.where(rows.terms == NOTHING, pad, rows.terms), axis=1)
    # Twice the same element is that element once.
    found[:, 1:][found[:, 1:] == found[:, :-1]] = pad
    return _positions_differ(np.sort(found, axis=1), wanted)


def indices_differ(rows: Candidates, wanted: Ids, plane: int) -> str | None:
    """What is different from the position of the first maximum; None where nothing is.

    Args:
        plane: how many positions a plane has; X holds whole planes behind each other.
    """
    if reason := maximum_differs(rows, wanted):
        return reason
    assert rows.payload is not None
    there = rows.terms != NOTHING
    if np.any(there & (rows.payload != rows.terms % plane)):
        return "an index is not the position in its plane"
    last = np.full(len(rows), -1)
    for column in range(rows.terms.shape[1]):
        here = there[:, column]
        if np.any(here & (rows.terms[:, column] <= last)):
            return "of equal elements it is not the first that is taken"
        last = np.where(here, rows.terms[:, column], last)
    return None
