"""Pooling axis by axis: a window is a product of ranges, so its mean or maximum separates.

    by_slices:  Concat(Reduce(Slice(X, start, end)) for each window)
    by_pools:   Concat(Pool(Slice(X), kernel, stride) for each run of equal windows)

Both keep an infinity inside the windows that see it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import onnx_graphsurgeon as gs

from onnxpool.ops.op import Dim, Shape, kept
from onnxpool.ops.windows import Window, windows
from onnxpool.rewrites.graph.builder import Builder


@dataclasses.dataclass(frozen=True)
class Reduction:
    """A reduction and its ONNX ops."""

    reduce: str
    pool: str
    global_pool: str


MEAN = Reduction("ReduceMean", "AveragePool", "GlobalAveragePool")
MAX = Reduction("ReduceMax", "MaxPool", "GlobalMaxPool")


class Run(NamedTuple):
    """Windows of length `kernel`, `stride` apart, from `start` to `end`."""

    start: int
    end: int
    kernel: int
    stride: int


def pooled_axes(shape: Shape, output_size: Sequence[int]) -> dict[int, int]:
    """The output size of each axis that is not kept."""
    first = len(shape) - len(output_size)
    return {
        axis: size
        for axis, size in enumerate(output_size, start=first)
        if not kept(size, shape[axis])
    }


def to_one(axes: dict[int, int]) -> bool:
    """Whether one window covers every pooled axis."""
    return set(axes.values()) == {1}


def channels_last(shape: Shape, axes: dict[int, int]) -> bool:
    """Whether these axes of a tensor stand between a first axis and a kept last one."""
    return bool(axes) and 1 in axes and len(shape) - 1 not in axes


def runs(distinct: Sequence[Window]) -> list[Run]:
    """Group windows, none of them twice, into maximal runs."""
    found: list[Run] = []
    for window in distinct:
        single = Run(window.start, window.end, window.length, 0)
        last = found[-1] if found else single
        stride = window.start - (last.end - last.kernel)
        if stride > 0 and window.length == last.kernel and last.stride in (0, stride):
            found[-1] = last._replace(end=window.end, stride=stride)
        else:
            found.append(single)
    return [run._replace(stride=run.stride or 1) for run in found]


def equal_windows(length: Dim, size: int) -> Run | None:
    """The windows of an axis as one run, if they are equal and equally far apart."""
    if not isinstance(length, int) or size > length:
        return None
    found = runs(windows(length, size))
    return found[0] if len(found) == 1 else None


def by_slices(
    b: Builder, x: gs.Tensor, output_size: Sequence[int], reduction: Reduction
) -> gs.Tensor:
    axes = pooled_axes(x.shape, output_size)
    slow = _slow_axis(x.shape, axes, reduction)
    if whole := [axis for axis, size in axes.items() if size == 1 and axis != slow]:
        x = b.reduce(reduction.reduce, x, whole)
    # The second last axis before the last one: reducing whole rows is what runtimes do best.
    for axis in sorted(axes, key=lambda axis: axis == slow):
        if axis not in whole:
            x = _slice_axis(b, x, axis, axes[axis], reduction)
    return x


def _slow_axis(shape: Shape, axes: dict[int, int], reduction: Reduction) -> int | None:
    """The axis that is reduced last, since ONNX Runtime's ReduceMax behind a batch of 1 is slow."""
    last_of_all = reduction is MAX and channels_last(shape, axes) and shape[0] == 1
    return 1 if last_of_all and not to_one(axes) else None


def by_pools(
    b: Builder, x: gs.Tensor, output_size: Sequence[int], reduction: Reduction
) -> gs.Tensor:
    k = len(output_size)
    axes = pooled_axes(x.shape, output_size)
    if not axes:
        return x
    everything = len(axes) == k and to_one(axes)
    dynamic = [axis for axis in axes if not isinstance(x.shape[axis], int)]
    if dynamic and not everything:
        return by_pools(b, b.reduce(reduction.reduce, x, dynamic), output_size, reduction)
    if len(x.shape) == k + 1:
        return b.squeeze(by_pools(b, b.unsqueeze(x, 0), output_size, reduction), 0)
    if everything:
        return b.node(reduction.global_pool, [x], (*x.shape[:2], *output_size))
    equal = {axis: equal_windows(x.shape[axis], size) for axis, size in axes.items()}
    if together := {axis: run for axis, run in equal.items() if run}:
        x = _pool(b, x, together, reduction)
    for axis, size in axes.items():
        if axis not in together:
            x = _pool_axis(b, x, axis, size, reduction)
    return x


def _slice_axis(b: Builder, x: gs.Tensor, axis: int, size: int, reduction: Reduction) -> gs.Tensor:
    bins = windows(x.shape[axis], size)
    parts = {}
    for window in dict.fromkeys(bins):
        part = b.slice(x, axis, window.start, window.end)
        parts[window] = b.reduce(reduction.reduce, part, [axis])
    return b.concat([parts[window] for window in bins], axis)


def _pool_axis(b: Builder, x: gs.Tensor, axis: int, size: int, reduction: Reduction) -> gs.Tensor:
    bins = windows(x.shape[axis], size)
    distinct = list(dict.fromkeys(bins))
    parts = []
    for run in runs(distinct):
        part = b.slice(x, axis, run.start, run.end)
        parts.append(_pool(b, part, {axis: run}, reduction) if run.kernel > 1 else part)
    pooled = b.concat(parts, axis)
    if len(distinct) == size:
        return pooled
    return b.gather(pooled, axis, [distinct.index(window) for window in bins])


def _pool(b: Builder, x: gs.Tensor, axis_runs: dict[int, Run], reduction: Reduction) -> gs.Variable:
    kernel, strides = [1] * (len(x.shape) - 2), [1] * (len(x.shape) - 2)
    for axis, run in axis_runs.items():
        kernel[axis - 2], strides[axis - 2] = run.kernel, run.stride
    return b.pool(reduction.pool, x, kernel, strides)
