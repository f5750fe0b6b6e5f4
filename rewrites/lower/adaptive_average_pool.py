"""AdaptiveAveragePool as standard ops.

    slice:      separable Slice, ReduceMean, Concat
    pool:       separable Slice, AveragePool, Concat; one AveragePool where the windows are equal
    matmul:     A_1ᵀ X A_2, a product with a constant averaging matrix A per axis
    flat matmul: one product of the flattened plane with a row of equal weights, to one window in
        front of channels
    kronecker:  one product of the flattened plane with the Kronecker product of the matrices
    dynamic matmul: matmul, with matrices that the graph computes (see dynamic.py), whatever the
        strategy; for the axes where the size of X or of Y is not known, the others as above

`auto`, by benchmarks/lowering.py (docs/performance.md): to one window, ReduceMean; equal windows of
at most 64 positions, or of 400 where X fits in caches, AveragePool; else matmul. `matmul` takes the
Kronecker form where its matrix is small, and to at most 16 windows of an X that is larger than
caches. Of such an X the last axis goes first: its rows are read as they lie in memory, which is up
to twice as fast; not where they are long. Where a last axis of channels is kept, matmul at all
sizes (benchmarks/layouts.py), unless two of those that are not pooled are open: there ONNX
Runtime's ReduceMean is up to 20 times slower in a batch of 1, and `pool`, which would take a pool
of one axis more, is `slice`.

A MatMul spreads an infinity or a NaN over its whole channel, where PyTorch keeps it in the windows
that see it; slice and pool do as PyTorch does. ONNX Runtime refuses an empty batch in the forms
matmul and dynamic matmul, whose matrix is the left factor, in no other.

There is no other form than dynamic matmul where sizes are not known: it spreads them too.

Halves (float16, bfloat16) are summed in float32 and rounded once, as PyTorch does. ONNX Runtime
has no float64 AveragePool: `pool` is `slice` there.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import DTypeLike

from onnxpool.ops.adaptive_average_pool import AdaptiveAveragePool
from onnxpool.ops.op import KEEP, MOST_SIZES, Array
from onnxpool.ops.windows import windows
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import is_half
from onnxpool.rewrites.lower.dynamic import average_axes, multiply, pool
from onnxpool.rewrites.lower.separable import (
    MEAN,
    by_pools,
    by_slices,
    channels_last,
    equal_windows,
    pooled_axes,
    to_one,
)

LARGEST_POOL_KERNEL, LARGEST_CACHED_POOL_KERNEL = 64, 400
CACHED = 5 * 2**18
"""Elements of X that the second-level caches and a share of the third hold."""
EXCEEDS_CACHES = 2**22
"""Elements of X from which on it is read from memory."""
LONG_ROW = 128
KRONECKER_PLANE, FEW_WINDOWS, LARGEST_KRONECKER, LARGEST_KRONECKER_OF_MANY = 2048, 16, 2**18, 12288
"""Positions, windows, and elements of the Kronecker product: at most, and of more windows."""


def lower_average_pool(
    b: Builder, op: AdaptiveAveragePool, inputs: Sequence[gs.Tensor], outputs: int, strategy: str
) -> tuple[list[gs.Tensor], str]:
    x = inputs[0]
    y, used = average(b, to_float(b, x), op.output_size, strategy)
    return [b.cast(y, x.dtype)], used


def to_float(b: Builder, x: gs.Tensor) -> gs.Tensor:
    """`x` in the type that its pooling is computed in: float32 for halves."""
    return b.cast(x, np.dtype(np.float32)) if is_half(x.dtype) else x


def average(
    b: Builder, x: gs.Tensor, output_size: Sequence[int], strategy: str
) -> tuple[gs.Tensor, str]:
    """The adaptive average of a float32 or float64 `x`, and the strategy that was used."""
    static = functools.partial(_static_average, strategy=strategy)
    return pool(b, x, output_size, static, average_axes, "dynamic matmul")


def _static_average(
    b: Builder, x: gs.Tensor, output_size: Sequence[int], strategy: str
) -> tuple[gs.Tensor, str]:
    form = choose(x, output_size, strategy)
    if form == "matmul":
        return by_matmul(b, x, output_size), form
    if form == "kronecker":
        return by_kronecker(b, x, output_size), form
    if form == "flat matmul":
        return by_flat_matmul(b, x, output_size), form
    spelling = by_pools if form == "pool" else by_slices
    return spelling(b, x, output_size, MEAN), form


def choose(x: gs.Tensor, output_size: Sequence[int], strategy: str) -> str:
    """Which of the forms in this module's docstring a strategy takes."""
    axes = pooled_axes(x.shape, output_size)
    if strategy == "auto":
        strategy = _fastest(x, axes)
    if strategy == "pool" and (
        x.dtype == np.float64 or channels_last(x.shape, axes) or len(output_size) > MOST_SIZES
    ):
        return "slice"
    if strategy != "matmul":
        return strategy
    if not all(isinstance(x.shape[axis], int) for axis in axes):
        return "slice"
    if channels_last(x.shape, axes):
        whole = len(axes) == len(x.shape) - 2
        return "flat matmul" if whole and to_one(axes) else "matmul"
    plane = x.shape[-len(output_size) :]
    if not all(isinstance(dim, int) for dim in plane):
        return "matmul"
    whole = len(axes) == len(output_size) > 1
    return "kronecker" if whole and _suits_kronecker(x, plane, output_size) else "matmul"


def _suits_kronecker(x: gs.Tensor, plane: Sequence[int], output_size: Sequence[int]) -> bool:
    positions, bins = math.prod(plane), math.prod(_sizes(plane, output_size))
    if positions > KRONECKER_PLANE and not exceeds_caches(x):
        return False
    most = LARGEST_KRONECKER if bins <= FEW_WINDOWS else LARGEST_KRONECKER_OF_MANY
    return positions * bins <= most


def exceeds_caches(x: gs.Tensor) -> bool:
    """Whether `x` is too large for caches, by the sizes that are known."""
    return _known_elements(x) >= EXCEEDS_CACHES


def _known_elements(x: gs.Tensor) -> int:
    return math.prod(dim for dim in x.shape if isinstance(dim, int))


def _fastest(x: gs.Tensor, axes: dict[int, int]) -> str:
    open_axes = sum(not isinstance(dim, int) for dim in x.shape[1:])
    if channels_last(x.shape, axes) and open_axes <= 1:
        return "matmul"
    if not axes or to_one(axes):
        return "slice"
    equal = [equal_windows(x.shape[axis], size) for axis, size in axes.items()]
    kernel = math.prod(run.kernel if run else math.inf for run in equal)
    cached = _known_elements(x) <= CACHED
    largest = LARGEST_CACHED_POOL_KERNEL if cached else LARGEST_POOL_KERNEL
    return "pool" if kernel <= largest else "matmul"


def by_matmul(b: Builder, x: gs.Tensor, output_size: Sequence[int]) -> gs.Tensor:
    """One product per axis: from the right on the last axis, from the left on the others."""
    axes = pooled_axes(x.shape, output_size)
    width = x.shape[-1]
    rows_first = isinstance(width, int) and width < LONG_ROW and exceeds_caches(x)
    for axis, size in sorted(axes.items(), reverse=rows_first and len(x.shape) - 1 in axes):
        length = x.shape[axis]
        matrix = averaging_matrix(length, size, x.dtype)
        x = multiply_axis(b, x, axis, matrix, f"average_{length}_to_{size}")
    return x


def by_kronecker(b: Builder, x: gs.Tensor, output_size: Sequence[int]) -> gs.Tensor:
    k = len(output_size)
    lead, plane = tuple(x.shape[:-k]), x.shape[-k:]
    sizes = _sizes(plane, output_size)
    pairs = list(zip(plane, sizes, strict=True))
    matrix = functools.reduce(np.kron, (averaging_matrix(*pair, x.dtype) for pair in pairs))
    name = "average_" + "_".join(f"{length}_to_{size}" for length, size in pairs)
    flat = b.reshape(x, (*lead, math.prod(plane)), leading=len(lead))
    return b.reshape(b.matmul(flat, b.constant(name, matrix)), (*lead, *sizes), leading=len(lead))


def by_flat_matmul(b: Builder, x: gs.Tensor, output_size: Sequence[int]) -> gs.Tensor:
    """The mean over all axes but the first and the last one, as one product."""
    first, *plane, channels = x.shape
    count = math.prod(plane)
    flat = b.reshape(x, (first, count, channels), leading=1)
    mean = b.constant(f"average_{count}_to_1_transposed", np.full((1, count), 1 / count, x.dtype))
    return b.reshape(b.matmul(mean, flat), (first, *[1] * len(plane), channels), leading=1)


def multiply_axis(b: Builder, x: gs.Tensor, axis: int, matrix: Array, name: str) -> gs.Tensor:
    """The product along one axis of `x` with a matrix ``(length, size)``."""
    if axis == len(x.shape) - 1:
        return multiply(b, x, axis, b.constant(name, matrix))
    left = b.constant(f"{name}_transposed", np.ascontiguousarray(matrix.T))
    return multiply(b, x, axis, left)


def averaging_matrix(length: int, size: int, dtype: DTypeLike) -> Array:
    """``(length, size)``: column i holds 1 / (end - start) in the rows that window i sees."""
    matrix = np.zeros((length, size), dtype)
    for column, window in enumerate(windows(length, size)):
        matrix[window.start : window.end, column] = 1 / window.length
    return matrix


def _sizes(plane: Sequence[int], output_size: Sequence[int]) -> list[int]:
    return [dim if size == KEEP else size for dim, size in zip(plane, output_size, strict=True)]
