"""AdaptiveMaxPool as standard ops.

    slice:  separable Slice, ReduceMax, Concat
    pool:   separable Slice, MaxPool, Concat; one MaxPool where the windows are equal
    dynamic gather: separable Gather of the windows that the graph computes (see dynamic.py),
        ReduceMax, whatever the strategy; for the axes where the size of X or of Y is not known

`auto`, by benchmarks/lowering.py on ONNX Runtime 1.31 (CPU, 1 and 4 threads): to one window,
ReduceMax; equal windows, or a plane of at most 256 positions, pool; else slice. A maximum is no
product: `matmul` means `auto`.

Indices come from ArgMax along one axis after the other, and the values from GatherElements then,
whatever the strategy.

PyTorch lets a NaN win. ONNX Runtime's ReduceMax, MaxPool and ArgMax pass over NaNs, and its
MaxPool gives the lowest finite float32 for a window that is -inf throughout.

ONNX Runtime has no bfloat16 kernels: bfloat16 is compared in float32, which is exact. It has no
float64 GlobalMaxPool, nor MaxPool before opset 8: there, `pool` is `slice`, and so it is of
(N, D, H, W, C), whose channels would be a fourth axis.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxpool.ops.adaptive_max_pool import AdaptiveMaxPool
from onnxpool.ops.op import MOST_SIZES, Array
from onnxpool.ops.windows import windows
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import onnx_type
from onnxpool.rewrites.lower.dynamic import (
    Bins,
    along,
    maximum_axes,
    pool,
    position_of_maximum,
    split,
    stride,
)
from onnxpool.rewrites.lower.separable import (
    MAX,
    by_pools,
    by_slices,
    equal_windows,
    pooled_axes,
    to_one,
)

LARGEST_SMALL_PLANE = 256


def lower_max_pool(
    b: Builder, op: AdaptiveMaxPool, inputs: Sequence[gs.Tensor], outputs: int, strategy: str
) -> tuple[list[gs.Tensor], str]:
    x = inputs[0]
    comparable = to_comparable(b, x)
    if outputs > 1:
        y, indices, used = maximum_and_indices(b, comparable, op.output_size)
        return [b.cast(y, x.dtype), indices], used
    y, used = maximum(b, comparable, op.output_size, strategy)
    return [b.cast(y, x.dtype)], used


def to_comparable(b: Builder, x: gs.Tensor) -> gs.Tensor:
    """`x` in a type that runtimes compare in."""
    bfloat16 = onnx_type(x.dtype) == onnx.TensorProto.BFLOAT16
    return b.cast(x, np.dtype(np.float32)) if bfloat16 else x


def maximum(
    b: Builder, x: gs.Tensor, output_size: Sequence[int], strategy: str
) -> tuple[gs.Tensor, str]:
    """The adaptive maximum of `x`, and the strategy that was used."""
    static = functools.partial(_static_maximum, strategy=strategy)
    return pool(b, x, output_size, static, maximum_axes, "dynamic gather")


def _static_maximum(
    b: Builder, x: gs.Tensor, output_size: Sequence[int], strategy: str
) -> tuple[gs.Tensor, str]:
    axes = pooled_axes(x.shape, output_size)
    if strategy not in ("slice", "pool"):
        strategy = _fastest(x, output_size, axes)
    no_float64 = x.dtype == np.float64 and (to_one(axes) or b.opset < 8)
    if strategy == "pool" and (no_float64 or len(output_size) > MOST_SIZES):
        strategy = "slice"
    spelling = by_pools if strategy == "pool" else by_slices
    return spelling(b, x, output_size, MAX), strategy


def _fastest(x: gs.Tensor, output_size: Sequence[int], axes: dict[int, int]) -> str:
    if not axes or to_one(axes):
        return "slice"
    plane = x.shape[-len(output_size) :]
    small = math.prod(d if isinstance(d, int) else math.inf for d in plane) <= LARGEST_SMALL_PLANE
    equal = all(equal_windows(x.shape[axis], size) for axis, size in axes.items())
    return "pool" if equal or small else "slice"


def maximum_and_indices(
    b: Builder, x: gs.Tensor, output_size: Sequence[int]
) -> tuple[gs.Tensor, gs.Tensor, str]:
    """The adaptive maximum of `x`, its first position in the flattened plane, int64, and how."""
    k, rank = len(output_size), len(x.shape)
    static, dynamic = split(b, x.shape, output_size)
    known = pooled_axes(x.shape, static)
    if len(known) == k and to_one(known):
        return b.reduce(MAX.reduce, x, list(known)), _position_in_plane(b, x, k), "slice"
    plane = range(rank - k, rank)
    axes: dict[int, int | Bins] = {**known, **dynamic}
    if not axes:
        last = x.shape[-1]
        axes = {rank - 1: last if isinstance(last, int) else b.length(rank - 1)}
    strides = {axis: stride(b, x, axis) for axis in plane}
    indices: gs.Tensor | None = None
    # From the last axis to the first: the first row that holds the maximum, and in it the first
    # position, is the first in the flattened plane.
    for axis in sorted(axes, reverse=True):
        position = _position_on_axis(b, x, axis, axes[axis])
        x = _gather_elements(b, x, position, axis)
        offset = position
        if axis < rank - 1:
            offset = b.elementwise("Mul", position, strides[axis])
        if indices is not None:
            inner = _gather_elements(b, indices, position, axis)
            offset = b.elementwise("Add", offset, inner)
        indices = offset
    for axis in plane:
        if axis not in axes:
            indices = b.elementwise("Add", indices, _offsets(b, x, axis, strides[axis]))
    used = ["slice"] * bool(known) + ["dynamic gather"] * bool(dynamic)
    return x, indices, ", ".join(used) or "slice"


def _position_in_plane(b: Builder, x: gs.Tensor, k: int) -> gs.Tensor:
    lead, plane = x.shape[:-k], x.shape[-k:]
    positions = math.prod(plane) if all(isinstance(dim, int) for dim in plane) else None
    flat = b.reshape(x, (*lead, positions), leading=len(lead))
    return b.reshape(b.arg_max(flat, len(lead)), (*lead, *(1,) * k), leading=len(lead))


def _position_on_axis(b: Builder, x: gs.Tensor, axis: int, size: int | Bins) -> gs.Tensor:
    if not isinstance(size, int):
        return position_of_maximum(b, x, axis, size)
    if size == 1:
        return b.arg_max(x, axis)
    bins = windows(x.shape[axis], size)
    first = {w: b.arg_max(b.slice(x, axis, w.start, w.end), axis) for w in dict.fromkeys(bins)}
    in_window = b.concat([first[window] for window in bins], axis)
    starts = _along(np.array([window.start for window in bins]), axis, len(x.shape))
    name = f"starts_{x.shape[axis]}_to_{size}_axis_{axis}"
    return b.elementwise("Add", in_window, b.constant(name, starts))


def _offsets(b: Builder, x: gs.Tensor, axis: int, stride: gs.Tensor) -> gs.Tensor:
    """How far from the first position in the flattened plane each position on an axis is."""
    length = x.shape[axis]
    if not isinstance(length, int) or not isinstance(stride, gs.Constant):
        offsets = b.shared("Mul", [b.range(b.length(axis)), stride], (length,))
        return along(b, offsets, axis, x)
    name = f"positions_{length}_by_{stride.values[0]}"
    return b.constant(name, _along(np.arange(length) * stride.values, axis, len(x.shape)))


def _along(values: Array, axis: int, rank: int) -> Array:
    """A vector shaped so that it broadcasts along `axis` of a tensor of `rank` axes."""
    return values.astype(np.int64).reshape(-1, *(1,) * (rank - axis - 1))


def _gather_elements(b: Builder, x: gs.Tensor, at: gs.Tensor, axis: int) -> gs.Variable:
    return b.node("GatherElements", [x, at], at.shape, x.dtype, axis=axis)
