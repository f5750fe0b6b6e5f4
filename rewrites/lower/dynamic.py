"""Windows that the graph computes, for sizes that only the runtime knows.

    start = i·L / O        end = ((i + 1)·L + O - 1) / O            i = 0, …, O - 1
    average: product with the matrix ([p < end] - [p < start]) / (end - start)    p = 0, …, L - 1
    maximum: of the positions min(start + k, end - 1)    k = 0, …, (longest window) - 1

All of it is int64: float32 puts bounds wrong where i·L passes 2^24. No maximum changes when the
last position of a short window is seen again. L is read from X as it came, never from what is
computed of it, so that all pools of a tensor share these nodes (see Builder.shared); so do pools
of tensors whose sizes have one name. To one window no bounds are needed: that is a reduction.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import COMPUTED, KEEP, Dim, Shape, kept
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import onnx_type, resized
from onnxpool.rewrites.lower.separable import MAX, pooled_axes
from onnxpool.rewrites.lower.turned import Turned

INT64 = np.dtype(np.int64)
MIN_TAKES_INTEGERS = 12
"""The opset; and MNN's Where does not broadcast."""

SHORT_ROW = 16
"""Elements of a kept axis that is moved with those that were pooled."""

Bins: TypeAlias = tuple[int, ...] | gs.Tensor
"""Numbers of windows, those of several pools one after the other; or one that the graph computes,
an int64 scalar."""
Static: TypeAlias = Callable[[Builder, gs.Tensor, Sequence[int]], tuple[gs.Tensor, str]]
"""Pools axes whose windows are known; returns the result and its form."""
Dynamic: TypeAlias = Callable[[Builder, gs.Tensor, Mapping[int, Bins]], gs.Tensor]
"""Pools the axes that are given, whose windows the graph computes."""


@dataclasses.dataclass(frozen=True)
class Windows:
    """The bounds of the windows on one axis, int64 vectors, and their count where it is known."""

    start: gs.Tensor
    end: gs.Tensor
    count: Dim


def pool(
    b: Builder,
    x: gs.Tensor,
    output_size: Sequence[int],
    static: Static,
    dynamic: Dynamic,
    form: str,
) -> tuple[gs.Tensor, str]:
    """Pool the axes of known windows by `static`, then the others by `dynamic`.

    Args:
        form: what `dynamic` is called.

    Returns:
        The result, and the forms that were used.
    """
    known, computed = split(b, x.shape, output_size)
    if not computed:
        return static(b, x, known)
    if pooled_axes(x.shape, known):
        x, used = static(b, x, known)
        form = f"{used}, {form}"
    return dynamic(b, x, computed), form


def split(
    b: Builder, shape: Shape, output_size: Sequence[int]
) -> tuple[tuple[int, ...], dict[int, Bins]]:
    """Part the pooled axes into those of known windows and the others.

    Returns:
        The output size with `KEEP` where windows are computed, and per such axis its bins.
    """
    static, dynamic = list(output_size), dict[int, Bins]()
    for index, size in enumerate(output_size):
        axis = len(shape) - len(output_size) + index
        if size == COMPUTED:
            dynamic[axis] = b.output_length(index)
        elif size != 1 and not kept(size, shape[axis]) and not isinstance(shape[axis], int):
            dynamic[axis] = (size,)
        else:
            continue
        static[index] = KEEP
    return tuple(static), dynamic


def average_axes(b: Builder, x: gs.Tensor, axes: Mapping[int, Bins]) -> gs.Tensor:
    """Products with matrices; the last axis first, whose rows are read as they lie in memory.

    The others follow as the last one too, one product for all of X: a product from the left is one
    for each row of planes, which is slow where those are small.
    """
    turned = Turned(b, x)
    for axis in sorted(axes, reverse=True):
        behind = turned.behind(axis)
        if all(other in axes or _is_short(x.shape[other]) for other in behind):
            turned.move_to_front(behind)
        at = turned.at(axis)
        right = at == len(x.shape) - 1
        matrix = averaging_matrix(b, axis, axes[axis], x.shape[axis], x.dtype, right=right)
        turned.x = multiply(b, turned.x, at, matrix)
    return turned.back()


def maximum_axes(b: Builder, x: gs.Tensor, axes: Mapping[int, Bins]) -> gs.Tensor:
    """Maxima of gathered windows, the first axis first, whose positions are whole rows.

    The last axis goes to the front, where they are, too; and so do the others: what is left of X is
    small then.
    """
    turned = Turned(b, x)
    for axis, bins in axes.items():
        if turned.x is not x or not turned.behind(axis):
            turned.move_to_front([axis])
        at = turned.at(axis)
        gathered = gather_windows(b, turned.x, axis, bins, at=at)
        turned.x = b.reduce_away(MAX.reduce, gathered, [at + 1])
    return turned.back()


def _is_short(dim: Dim) -> bool:
    return isinstance(dim, int) and dim <= SHORT_ROW


def position_of_maximum(b: Builder, x: gs.Tensor, axis: int, bins: Bins) -> gs.Variable:
    """Per window on `axis`, where on the axis its first maximum is, int64."""
    gathered = gather_windows(b, x, axis, bins)
    shape = resized(x.shape, {axis: gathered.shape[axis]})
    in_window = b.node("ArgMax", [gathered], shape, INT64, axis=axis + 1, keepdims=0)
    start = _in_numbers(b, windows(b, axis, bins).start)
    return b.elementwise("Add", in_window, along(b, start, axis, x))


def multiply(b: Builder, x: gs.Tensor, axis: int, matrix: gs.Tensor) -> gs.Tensor:
    """The product along one axis with a matrix.

    Args:
        matrix: ``(length, size)`` for the last axis, ``(size, length)`` for the others.
    """
    after = tuple(x.shape[axis + 1 :])
    if not after:
        return b.matmul(x, matrix)
    if len(after) == 1:
        return b.matmul(matrix, x)
    known = [dim for dim in after if isinstance(dim, int)]
    if len(known) < len(after) - 1:
        second_last = len(x.shape) - 2
        product = b.matmul(matrix, b.swap(x, axis, second_last))
        return b.swap(product, axis, second_last)
    before, row = tuple(x.shape[:axis]), math.prod(known) if len(known) == len(after) else None
    flat = b.reshape(x, (*before, x.shape[axis], row), leading=axis + 1)
    product = b.matmul(matrix, flat)
    return b.reshape(product, (*before, matrix.shape[0], *after), leading=axis + 1)


def averaging_matrix(
    b: Builder, axis: int, bins: Bins, length: Dim, dtype: Any, *, right: bool
) -> gs.Tensor:
    """``(length, size)`` for a product from the right, else ``(size, length)``."""
    window, positions = windows(b, axis, bins), b.range(b.length(axis))
    start, end = window.start, window.end
    if right:
        shape: Shape = (length, window.count)
        positions = _column(b, positions)
    else:
        shape = (window.count, length)
        start, end = _column(b, start), _column(b, end)
    before_end, before_start = (
        _cast(b, b.shared("Less", [positions, bound], shape, np.dtype(bool)), dtype)
        for bound in (end, start)
    )
    inside = b.shared("Sub", [before_end, before_start], shape)
    positions_in_window = _cast(b, b.shared("Sub", [end, start], end.shape), dtype)
    return b.shared("Div", [inside, positions_in_window], shape)


def gather_windows(
    b: Builder, x: gs.Tensor, axis: int, bins: Bins, *, at: int | None = None
) -> gs.Variable:
    """`x` with ``(windows, positions in a window)`` for an axis; see `window_positions`.

    Args:
        at: where the axis is in `x`; `axis` where that is None.
    """
    at = axis if at is None else at
    positions = window_positions(b, axis, bins)
    shape = (*x.shape[:at], *positions.shape, *x.shape[at + 1 :])
    return b.node("Gather", [x, positions], shape, axis=at)


def window_positions(b: Builder, axis: int, bins: Bins) -> gs.Tensor:
    """``(windows, longest window)``, int64; short windows repeat their last position."""
    window = windows(b, axis, bins)
    column, end = _column(b, window.start), _column(b, window.end)
    last = b.shared("Sub", [end, _vector(b, 1)], end.shape)
    position = b.shared("Add", [column, _offsets(b, window)], (window.count, None))
    if b.opset >= MIN_TAKES_INTEGERS:
        return b.shared("Min", [position, last], position.shape)
    inside = b.shared("Less", [position, last], position.shape, np.dtype(bool))
    return b.shared("Where", [inside, position, last], position.shape, INT64)


def window_weights(b: Builder, axis: int, bins: Bins, dtype: Any) -> gs.Tensor:
    """What each of `window_positions` counts in the mean of its window."""
    window = windows(b, axis, bins)
    length = _column(b, b.shared("Sub", [window.end, window.start], (window.count,)))
    shape = (window.count, None)
    inside = b.shared("Less", [_offsets(b, window), length], shape, np.dtype(bool))
    return b.shared("Div", [_cast(b, inside, dtype), _cast(b, length, dtype)], shape)


def windows(b: Builder, axis: int, bins: Bins) -> Windows:
    length = b.length_vector(axis)
    if isinstance(bins, gs.Tensor):
        size, index = _at_least_one(b, bins), b.range(bins)
        next_index = b.shared("Add", [index, _vector(b, 1)], (None,))
        round_up: gs.Tensor = b.shared("Sub", [size, _vector(b, 1)], (1,))
        count: Dim = None
    else:
        name, indices = "_".join(map(str, bins)), np.concatenate([np.arange(n) for n in bins])
        size = b.constant(f"bins_{name}", np.repeat(np.array(bins, np.int64), bins))
        index = b.constant(f"bins_{name}_index", indices)
        next_index = b.constant(f"bins_{name}_next_index", indices + 1)
        round_up = b.constant(f"bins_{name}_round_up", size.values - 1)
        count = len(indices)
    shape = (count,)
    start = b.shared("Div", [b.shared("Mul", [index, length], shape), size], shape)
    end = b.shared("Mul", [next_index, length], shape)
    end = b.shared("Div", [b.shared("Add", [end, round_up], shape), size], shape)
    return Windows(start, end, count)


def _at_least_one(b: Builder, bins: gs.Tensor) -> gs.Tensor:
    """What bounds are divided by: of a short axis a share may be no window at all."""
    if b.opset < MIN_TAKES_INTEGERS:
        return bins
    return b.shared("Max", [bins, _vector(b, 1)], (1,))


def along(b: Builder, values: gs.Tensor, axis: int, x: gs.Tensor) -> gs.Tensor:
    """`values` in a shape that broadcasts to `x`, with their last axis along `axis`."""
    behind = (1,) * (len(x.shape) - axis - 1)
    if not behind:
        return values
    target = b.integers([*[0] * len(values.shape), *behind])
    return b.shared("Reshape", [values, target], (*values.shape, *behind))


def stride(b: Builder, x: gs.Tensor, axis: int) -> gs.Tensor:
    """How far apart in the flattened plane two neighbours on an axis of X are, int64."""
    behind = x.shape[axis + 1 :]
    if all(isinstance(dim, int) for dim in behind):
        return b.integers([math.prod(behind)])
    lengths = [b.length_vector(other) for other in range(axis + 1, len(x.shape))]
    product = lengths[-1]
    for length in reversed(lengths[:-1]):
        product = b.shared("Mul", [length, product], (1,))
    return _in_numbers(b, product)


def _offsets(b: Builder, window: Windows) -> gs.Tensor:
    """0, …, (longest window) - 1."""
    length = b.shared("Sub", [window.end, window.start], (window.count,))
    return b.range(b.shared("ReduceMax", [length], (), keepdims=0))


def _column(b: Builder, vector: gs.Tensor) -> gs.Tensor:
    return b.shared("Reshape", [vector, b.integers([-1, 1])], (*vector.shape, 1))


def _vector(b: Builder, value: int) -> gs.Constant:
    return b.integers([value])


def _in_numbers(b: Builder, sizes: gs.Tensor) -> gs.Tensor:
    """The same: tract keeps what follows from sizes as formulas until it is cast."""
    return _cast(b, _cast(b, sizes, np.int32), np.int64)


def _cast(b: Builder, x: gs.Tensor, dtype: Any) -> gs.Tensor:
    return b.shared("Cast", [x], x.shape, dtype, to=onnx_type(dtype))
