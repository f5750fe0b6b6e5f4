"""Ops that put elements elsewhere: Y[i] = X[some position], or a constant."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from onnxpool.ops.op import Array
from onnxpool.rewrites.region.combine import as_value, broadcast, constant_like, join
from onnxpool.rewrites.region.semantics.call import Call, on_axes, on_axis
from onnxpool.rewrites.region.terms import (
    Ids,
    Impossible,
    Labels,
    NotCarried,
    NotUnderstood,
    Sums,
    Value,
    check_size,
)

_TO_THE_END = 1 << 31
_GREATEST = ((1 << 31) - 1, (1 << 63) - 1)


def identity(call: Call) -> Sequence[Value]:
    return [call.value()]


def dropout(call: Call) -> Sequence[Value]:
    """What it reads, but in training; its mask is not followed."""
    trains = call.optional(2)
    if trains is not None and np.any(trains):
        raise NotUnderstood("Dropout in training, which is random")
    return [call.value()]


def transpose(call: Call) -> Sequence[Value]:
    x = call.value()
    perm = list(call.attributes.get("perm", range(x.ids.ndim)[::-1]))
    if sorted(perm) != list(range(x.ids.ndim)):
        raise Impossible(f"perm {perm} of a tensor of rank {x.ids.ndim}")
    return [transposed(x, perm)]


def transposed(x: Value, perm: Sequence[int]) -> Value:
    carried = {perm.index(axis): labels for axis, labels in x.carried.items()}
    return x.moved(x.ids.transpose(perm), carried)


def reshape(call: Call) -> Sequence[Value]:
    x, target = call.value(), call.integers("shape", 1)
    if target is None:
        raise NotUnderstood("Reshape without a shape")
    zero_copies = not call.attributes.get("allowzero", 0)
    shape = x.shape
    dims = [
        shape[axis] if n == 0 and zero_copies and axis < len(shape) else n
        for axis, n in enumerate(target)
    ]
    if dims.count(-1) == 1:
        rest = math.prod(n for n in dims if n != -1)
        dims = [math.prod(shape) // rest if n == -1 and rest else n for n in dims]
    return [reshaped(x, dims)]


def squeeze(call: Call) -> Sequence[Value]:
    x = call.value()
    axes = call.integers("axes", 1)
    if axes is None:
        x.need_all([axis for axis in x.carried if x.carried_size(axis) != 1])
        gone = [axis for axis, size in enumerate(x.shape) if size == 1]
    else:
        gone = on_axes(axes, x.ids.ndim)
        if not gone:
            raise NotUnderstood("Squeeze of an empty list of axes, which runtimes take for all")
    if any(x.shape[axis] != 1 for axis in gone):
        raise Impossible("Squeeze of an axis that is not of size 1")
    return [reshaped(x, [size for axis, size in enumerate(x.shape) if axis not in gone])]


def unsqueeze(call: Call) -> Sequence[Value]:
    x, axes = call.value(), call.integers("axes", 1)
    if axes is None:
        raise NotUnderstood("Unsqueeze without axes")
    new = on_axes(axes, x.ids.ndim + len(axes))
    old = iter(x.shape)
    return [reshaped(x, [1 if axis in new else next(old) for axis in range(x.ids.ndim + len(new))])]


def flatten(call: Call) -> Sequence[Value]:
    x = call.value()
    axis = int(call.attributes.get("axis", 1))
    front = x.shape[: axis if axis >= 0 else axis + x.ids.ndim]
    size = math.prod(front)
    return [reshaped(x, [size, math.prod(x.shape[len(front) :])])]


def reshaped(x: Value, dims: Sequence[int]) -> Value:
    """Another shape of the same elements; axes that are carried stay together.

    Raises:
        NotCarried: a carried axis is split, or merged with one that is not carried.
    """
    if min(dims, default=1) < 0 or math.prod(dims) != math.prod(x.shape):
        raise Impossible(f"Reshape of {list(x.shape)} to {list(dims)}")
    if 0 in dims:
        x.need_all(range(x.ids.ndim))
        return x.moved(x.ids.reshape(dims))
    old = [part for axis in range(x.ids.ndim) for part in _parts(x, axis)]
    taken = [_taken(old, size) for size in dims]
    carried = {axis: labels for axis, labels in enumerate(taken) if labels}
    ids_shape = [1 if axis in carried else size for axis, size in enumerate(dims)]
    return x.moved(x.ids.reshape(ids_shape), carried)


_Part = tuple[int, int | None]
"""A size, or what is left of it, and the carried axis of X that it is."""


def _parts(x: Value, axis: int) -> list[_Part]:
    if axis in x.carried:
        return [(x.sizes[label], label) for label in x.carried[axis]]
    return [(x.ids.shape[axis], None)] if x.ids.shape[axis] != 1 else []


def _taken(old: list[_Part], size: int) -> Labels:
    """Take so much off the front of the old axes; return which carried ones that was.

    Raises:
        NotCarried: a carried axis is split, or meets another that is not carried.
    """
    labels: list[int] = []
    plain = False
    while size != 1:
        if not old:
            return ()
        left, label = old[0]
        common = left if label is not None else math.gcd(size, left)
        if (label is not None and (plain or size % left)) or (label is None and labels):
            raise NotCarried(labels[0] if labels else label or 0)
        if common == 1:
            return _mixed(old)
        size //= common
        if label is None:
            plain = True
            old[0] = (left // common, None)
        else:
            labels.append(label)
        if label is not None or left == common:
            del old[0]
    return tuple(labels)


def _mixed(old: list[_Part]) -> Labels:
    """Sizes that do not divide each other: what is left of the old axes is not told apart."""
    for _, label in old:
        if label is not None:
            raise NotCarried(label)
    old.clear()
    return ()


def gather(call: Call) -> Sequence[Value]:
    x, indices, axis = call.value(), call.constant(1), call.axis(0)
    x.need_all([axis])
    ids = np.take(x.ids, _positions(indices, x.ids.shape[axis]), axis)
    shift = indices.ndim - 1
    carried = {a + shift * (a > axis): labels for a, labels in x.carried.items()}
    return [x.moved(ids, carried)]


def gather_nd(call: Call) -> Sequence[Value]:
    x, indices = call.value(), call.constant(1)
    batch = int(call.attributes.get("batch_dims", 0))
    depth = indices.shape[-1]
    if not 0 <= batch <= batch + depth <= x.ids.ndim:
        raise Impossible("GatherND of more axes than its data has")
    x.need_all(range(batch + depth))
    if indices.shape[:batch] != x.ids.shape[:batch]:
        raise NotUnderstood("GatherND of other batches than its data has")
    grid = np.indices(indices.shape[:-1], sparse=True)[:batch]
    chosen = [_positions(indices[..., i], x.ids.shape[batch + i]) for i in range(depth)]
    ids = x.ids[(*grid, *chosen)]
    shift = indices.ndim - 1 - depth - batch
    return [x.moved(ids, {a + shift: labels for a, labels in x.carried.items()})]


def gather_elements(call: Call) -> Sequence[Value]:
    x, indices, axis = call.value(), call.constant(1), call.axis(0)
    x.need_all([axis])
    if indices.ndim != x.ids.ndim:
        raise Impossible("GatherElements with indices of another rank")
    for other, labels in x.carried.items():
        if indices.shape[other] != x.carried_size(other):
            raise NotCarried(labels[0])
    indices = constant_like(x, indices)
    sizes = list(indices.shape)
    sizes[axis] = x.ids.shape[axis]
    if any(m > n for n, m in zip(x.ids.shape, sizes, strict=True)):
        raise Impossible("GatherElements with more indices than there are elements")
    within = x.ids[tuple(map(slice, sizes))]
    ids = np.take_along_axis(within, _positions(indices, x.ids.shape[axis]), axis)
    return [x.moved(ids)]


def _positions(indices: Array, size: int) -> Ids:
    if indices.size and not (-size <= indices.min() and indices.max() < size):
        raise Impossible("an index beyond the end of an axis")
    return np.where(indices < 0, indices + size, indices).astype(np.int64)


def slice_(call: Call) -> Sequence[Value]:
    x = call.value()
    starts, ends = call.integers("starts", 1), call.integers("ends", 2)
    if starts is None or ends is None:
        raise NotUnderstood("Slice without starts or ends")
    axes = call.integers("axes", 3) or list(range(len(starts)))
    steps = call.integers("steps", 4) or [1] * len(starts)
    ids = x.ids
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = on_axis(axis, ids.ndim)
        if axis in x.carried:
            if (start, step) != (0, 1) or end < _TO_THE_END:
                raise NotCarried(x.carried[axis][0])
            continue
        ids = ids[(slice(None),) * axis + (_range(start, end, step, ids.shape[axis]),)]
    return [x.moved(ids)]


def _range(start: int, end: int, step: int, size: int) -> slice:
    """ONNX's bounds, which are clamped, as Python's, where -1 would be the last position."""
    if step == 0:
        raise Impossible("a step of 0")
    if step < 0 and end in _GREATEST:
        raise NotUnderstood("Slice backwards to the greatest integer, where runtimes differ")
    start, end = (n + size if n < 0 else n for n in (start, end))
    if step > 0:
        return slice(max(start, 0), max(end, 0), step)
    start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
    return slice(start, None if end < 0 else end, step) if size else slice(0, 0)


def split(call: Call) -> Sequence[Value]:
    x, axis = call.value(), call.axis(0)
    x.need_all([axis])
    size = x.ids.shape[axis]
    sizes = call.integers("split", 1)
    if sizes is None:
        each = -(-size // call.outputs)
        sizes = [min(each, size - i * each) for i in range(call.outputs)]
    if sum(sizes) != size or len(sizes) != call.outputs or min(sizes, default=0) < 0:
        raise Impossible(f"Split of {size} into {sizes}")
    ends = np.cumsum(sizes)[:-1]
    return [x.moved(ids) for ids in np.split(x.ids, ends, axis)]


def concat(call: Call) -> Sequence[Value]:
    like, axis = call.value_anywhere(), call.axis()
    parts = [p if isinstance(p, Value) else as_value(like, p) for p in call.inputs if p is not None]
    if any(part.ids.ndim != like.ids.ndim for part in parts):
        raise Impossible("Concat of different ranks")
    like.need_all([axis])
    for part in parts:
        if part.carried != like.carried:
            raise NotCarried(next(iter((part.carried or like.carried).values()))[0])
    others = [tuple(np.delete(part.ids.shape, axis)) for part in parts]
    if len(set(others)) > 1:
        raise Impossible("Concat of different shapes")
    return [_stacked(parts, lambda ids: np.concatenate(ids, axis))]


def where(call: Call) -> Sequence[Value]:
    like, condition = call.value_anywhere(), call.constant(0)
    a, b = (_operand(call, index, like) for index in (1, 2))
    mask = constant_like(like, condition)
    ids = np.arange(mask.size).reshape(mask.shape)
    chooser = like.with_rows(Sums.of_constants(mask.reshape(-1)), ids)
    _, a, b = broadcast([_carried_like(chooser, like), a, b])
    chosen = np.broadcast_to(
        mask.reshape((1,) * (a.ids.ndim - mask.ndim) + mask.shape), a.ids.shape
    )
    return [_stacked([a, b], lambda ids: np.where(chosen, *ids))]


def _carried_like(value: Value, like: Value) -> Value:
    shift = like.ids.ndim - value.ids.ndim
    carried = {a - shift: labels for a, labels in like.carried.items() if a >= shift}
    return value.moved(value.ids, carried)


def _operand(call: Call, index: int, like: Value) -> Value:
    operand = call.operand(index)
    if isinstance(operand, Value):
        return operand
    return constant_beside(like, call.constant(index))


def constant_beside(like: Value, array: Array) -> Value:
    """A constant that broadcasts to `like`; it is carried where that has slices."""
    own = constant_like(like, array)
    value = like.with_rows(
        Sums.of_constants(own.reshape(-1)), np.arange(own.size).reshape(own.shape)
    )
    return _carried_like(value.moved(value.ids, {}), like)


def _stacked(parts: Sequence[Value], put: Callable[[Sequence[Ids]], Ids]) -> Value:
    rows, starts = join([part.rows for part in parts])
    ids = [part.ids + start for part, start in zip(parts, starts, strict=True)]
    steps = {tuple(sorted(part.steps.items())) for part in parts}
    if len(steps) > 1:
        raise NotUnderstood("indices of different tensors")
    return parts[0].with_rows(rows, put(ids))


def expand(call: Call) -> Sequence[Value]:
    x, target = call.value(), call.integers("shape", 1)
    if target is None:
        raise NotUnderstood("Expand without a shape")
    more = max(len(target) - x.ids.ndim, 0)
    carried = {axis + more: labels for axis, labels in x.carried.items()}
    shift = x.ids.ndim + more - len(target)
    for axis in carried:
        wanted = target[axis - shift] if axis >= shift else 1
        if wanted not in (1, x.carried_size(axis - more)):
            raise NotCarried(carried[axis][0])
    dims = [1 if axis + shift in carried else n for axis, n in enumerate(target)]
    ids = x.ids.reshape((1,) * more + x.ids.shape)
    try:
        shape = np.broadcast_shapes(ids.shape, tuple(dims))
    except ValueError:
        raise Impossible("Expand to a shape that does not fit") from None
    check_size(math.prod(shape))
    return [x.moved(np.broadcast_to(ids, shape), carried)]


def tile(call: Call) -> Sequence[Value]:
    x, repeats = call.value(), call.integers("repeats", 1)
    if repeats is None or len(repeats) != x.ids.ndim:
        raise NotUnderstood("Tile without a number of repeats for each axis")
    x.need_all([axis for axis, n in enumerate(repeats) if n != 1])
    check_size(x.ids.size * math.prod(repeats))
    return [x.moved(np.tile(x.ids, repeats))]


def pad(call: Call) -> Sequence[Value]:
    x = call.value()
    mode = call.attributes.get("mode", "constant")
    pads = call.integers("pads", 1) or call.integers("paddings", 1)
    axes = call.integers("axes", 3) or list(range(x.ids.ndim))
    if pads is None or len(pads) != 2 * len(axes):
        raise NotUnderstood("Pad without two numbers for each axis")
    around = [(0, 0)] * x.ids.ndim
    for index, axis in enumerate(axes):
        around[on_axis(axis, x.ids.ndim)] = (pads[index], pads[index + len(axes)])
    x.need_all([axis for axis, pair in enumerate(around) if pair != (0, 0)])
    if any(
        max(-before, 0) + max(-after, 0) > size
        for (before, after), size in zip(around, x.ids.shape, strict=True)
    ):
        raise NotUnderstood("Pad that takes off more than there is")
    inner = tuple(
        slice(max(-before, 0), size - max(-after, 0))
        for (before, after), size in zip(around, x.ids.shape, strict=True)
    )
    cropped = x.moved(x.ids[inner])
    outer = [(max(before, 0), max(after, 0)) for before, after in around]
    check_size(math.prod(n + sum(p) for n, p in zip(cropped.ids.shape, outer, strict=True)))
    if mode != "constant":
        names = {"edge": "edge", "reflect": "reflect", "wrap": "wrap"}
        if mode not in names or cropped.ids.size == 0:
            raise NotUnderstood(f"Pad of mode {mode}")
        return [cropped.moved(np.pad(cropped.ids, outer, mode=mode))]
    fill = call.attributes.get("value", call.optional(2))
    number = 0.0 if fill is None else float(np.asarray(fill).reshape(()))
    rows, (_, start) = join([cropped.rows, Sums.of_constants(np.array([number]))])
    return [cropped.with_rows(rows, np.pad(cropped.ids, outer, constant_values=start))]
