"""AdaptiveAveragePool as standard ops.

    slice:      separable Slice, ReduceMean, Concat
    pool:       separable Slice, AveragePool, Concat; one AveragePool where the windows are equal
    matmul:     A_1ᵀ X A_2, a product with a constant averaging matrix A per axis
    flat matmul: one product of the flattened plane with a row of equal weights, to one window in
        front of channels
    gemm:       A_2ᵀ Xᵀ as one product of all rows of X, the other axes in turn as the last one
    kronecker:  one product of the flattened plane with the Kronecker product of the matrices
    dynamic matmul: matmul, with matrices that the graph computes (see dynamic.py), whatever the
        strategy; for the axes where the size of X or of Y is not known, the others as above

`auto`, by benchmarks/lowering.py (docs/performance.md): to one window, ReduceMean; equal windows of
at most 225 positions of an X that fits in caches, or of 16 where they are many, AveragePool; else
products. Those are, of whole planes, kronecker where its matrix is small, and to at most 16 windows
of an X that is larger than caches, which it passes once; gemm where X fits in caches, or its rows
are long; and the two of matmul otherwise, of few planes, and in an open batch. Of an X larger than
caches they begin with the last axis: its rows are read as they lie in memory, which is up to twice
as fast; not where rows are long, nor where the other axes lose much more. Rows of a multiple of 128
elements share lines of a cache: no gemm. Where a last axis of channels is kept, matmul at all sizes
(benchmarks/layouts.py), unless two of those that are not pooled are open: there ONNX Runtime's
ReduceMean is up to 20 times slower in a batch of 1, and `pool`, which would take a pool of one axis
more, is `slice`.

A MatMul spreads an infinity or a NaN over its whole channel, where PyTorch keeps it in the windows
that see it; slice and pool do as PyTorch does. ONNX Runtime refuses an empty batch in the form
matmul, whose matrix is the left factor, in no other.

There is no other form than dynamic matmul where sizes are not known: it spreads them too.

Halves (float16, bfloat16) are summed in float32 and rounded once, as PyTorch does. ONNX Runtime
has no float64 AveragePool: `pool` is `slice` there.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence

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
from onnxpool.rewrites.lower.turned import Turned

CACHED, EXCEEDS_CACHES, IN_MEMORY = 2**20, 2**21, 6 * 2**20
"""Elements of X: that the caches of a core hold; from which on they do not; and none do."""
LARGEST_POOL_KERNEL, LARGEST_CACHED_POOL_KERNEL = 16, 225
SHORT_ROW, LONG_ROW, ALIASING_ROW = 32, 112, 128
"""Elements: fewer are slow to multiply one by one; so many take a product two passes; and rows of
a multiple of so many share lines of a cache."""
FEW_WINDOWS, FEW_PLANES = 16, 16
"""Windows that are one step of a product; planes that two MatMuls take as long for as gemm."""
SMALL_KRONECKER, LARGE_PLANE, LARGEST_PLANE = 2**11, 2**12, 2**14
"""Elements of the Kronecker product; positions, fewer of which are too short a stretch of memory,
and more too many rows of a matrix."""
KRONECKER_PLANE, LARGEST_KRONECKER, LARGEST_KRONECKER_OF_MANY = 2**11, 2**18, 12288
"""Of two MatMuls or one: positions, and elements of the Kronecker product, at most, and for more
than few windows."""


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
    if form in _PRODUCTS:
        return _PRODUCTS[form](b, x, output_size), form
    spelling = by_pools if form == "pool" else by_slices
    return spelling(b, x, output_size, MEAN), form


def choose(x: gs.Tensor, output_size: Sequence[int], strategy: str) -> str:
    """Which of the forms in this module's docstring a strategy takes."""
    axes = pooled_axes(x.shape, output_size)
    fastest = strategy == "auto"
    if fastest:
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
    if not len(axes) == len(output_size) > 1:
        return "matmul"
    return fastest_product(x, output_size) if fastest else _product(x, output_size)


def _product(x: gs.Tensor, output_size: Sequence[int]) -> str:
    """One or two MatMuls, whatever is faster in most runtimes."""
    positions, bins = math.prod(x.shape[-len(output_size) :]), math.prod(output_size)
    few = positions <= KRONECKER_PLANE or exceeds_caches(x)
    most = LARGEST_KRONECKER if bins <= FEW_WINDOWS else LARGEST_KRONECKER_OF_MANY
    return "kronecker" if few and positions * bins <= most else "matmul"


def fastest_product(x: gs.Tensor, output_size: Sequence[int]) -> str:
    """Which product of whole planes `auto` takes."""
    k = len(output_size)
    lead, plane = x.shape[:-k], x.shape[-k:]
    positions, bins, large = math.prod(plane), math.prod(output_size), exceeds_caches(x)
    one_pass = positions >= LARGE_PLANE or _known_elements(x) < IN_MEMORY
    # Shape inference loses an open batch in the rows of X.
    if not all(isinstance(dim, int) for dim in lead) or math.prod(lead) <= FEW_PLANES:
        return _product(x, output_size)
    if output_size[-1] == 1:
        return "gemm"
    if positions * bins <= SMALL_KRONECKER:
        return "kronecker"
    if large and bins <= FEW_WINDOWS and positions < LARGEST_PLANE and one_pass:
        return "kronecker"
    if plane[-1] % ALIASING_ROW == 0 or _others_lose_more(plane, output_size):
        return "matmul"
    return "matmul" if large and plane[-1] < LONG_ROW else "gemm"


def _others_lose_more(plane: Sequence[int], output_size: Sequence[int]) -> bool:
    """Whether most is gone of X once the axes before the last one are pooled."""
    *others, last = output_size
    before = math.prod(others)
    return before == 1 or (2 * before < last and plane[-1] >= SHORT_ROW)


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
    if _known_elements(x) <= CACHED:
        return "pool" if kernel <= LARGEST_CACHED_POOL_KERNEL else "matmul"
    few = max(axes.values()) <= FEW_WINDOWS
    return "pool" if kernel <= LARGEST_POOL_KERNEL and not few else "matmul"


def by_matmul(b: Builder, x: gs.Tensor, output_size: Sequence[int]) -> gs.Tensor:
    """One product per axis: from the right on the last axis, from the left on the others."""
    axes = pooled_axes(x.shape, output_size)
    for axis, size in sorted(axes.items(), reverse=_last_axis_first(x, output_size, axes)):
        x = average_axis(b, x, axis, (size,))
    return x


def _last_axis_first(x: gs.Tensor, output_size: Sequence[int], axes: Mapping[int, int]) -> bool:
    plane = x.shape[-len(output_size) :]
    if len(x.shape) - 1 not in axes or not all(isinstance(dim, int) for dim in plane):
        return False
    if _others_lose_more(plane, output_size):
        return False
    tall = plane[-1] < SHORT_ROW and math.prod(plane[:-1]) > 2 * plane[-1]
    return plane[-1] < LONG_ROW and exceeds_caches(x) and not tall


def by_gemm(b: Builder, x: gs.Tensor, output_size: Sequence[int]) -> gs.Tensor:
    first = len(x.shape) - len(output_size)
    return multiply_rows(b, x, {first + i: (size,) for i, size in enumerate(output_size)})


def multiply_rows(b: Builder, x: gs.Tensor, axes: Mapping[int, Sequence[int]]) -> gs.Tensor:
    """Average all of the last axes of X, whose sizes are all known: the last one as one product of
    a matrix with all rows of X.

    That leaves its windows in front, and the axis before it as the last one.

    Args:
        axes: per axis, the numbers of windows; the averages of several stand side by side.
    """
    *shape, length = x.shape
    last = len(shape)
    name, matrix = averaging_matrices(length, axes[last], x.dtype)
    left = b.constant(f"{name}_transposed", np.ascontiguousarray(matrix.T))
    rows = b.node("Reshape", [x, b.integers([-1, length])], (math.prod(shape), length))
    # The batch is left to the runtime.
    target = b.integers([len(matrix.T), -1, *shape[1:]])
    y = b.node("Reshape", [b.gemm_of_rows(left, rows), target], (len(matrix.T), *shape))
    turned = Turned(b, y, [last, *range(last)])
    for axis in range(last - 1, min(axes) - 1, -1):
        turned.move_to_front(turned.behind(axis))
        name, matrix = averaging_matrices(x.shape[axis], axes[axis], x.dtype)
        turned.x = b.matmul(turned.x, b.constant(name, matrix))
    return turned.back()


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


def average_axis(b: Builder, x: gs.Tensor, axis: int, bins: Sequence[int]) -> gs.Tensor:
    """The averages along one axis over several numbers of windows, one after the other."""
    name, matrix = averaging_matrices(x.shape[axis], bins, x.dtype)
    return multiply_axis(b, x, axis, matrix, name)


def multiply_axis(b: Builder, x: gs.Tensor, axis: int, matrix: Array, name: str) -> gs.Tensor:
    """The product along one axis of `x` with a matrix ``(length, size)``."""
    if axis == len(x.shape) - 1:
        return multiply(b, x, axis, b.constant(name, matrix))
    left = b.constant(f"{name}_transposed", np.ascontiguousarray(matrix.T))
    return multiply(b, x, axis, left)


def averaging_matrices(length: int, bins: Sequence[int], dtype: DTypeLike) -> tuple[str, Array]:
    """A name, and the matrices for several numbers of windows, side by side."""
    matrix = np.concatenate([averaging_matrix(length, each, dtype) for each in bins], axis=1)
    return f"average_{length}_to_{'_'.join(map(str, bins))}", matrix


def averaging_matrix(length: int, size: int, dtype: DTypeLike) -> Array:
    """``(length, size)``: column i holds 1 / (end - start) in the rows that window i sees."""
    matrix = np.zeros((length, size), dtype)
    for column, window in enumerate(windows(length, size)):
        matrix[window.start : window.end, column] = 1 / window.length
    return matrix


_PRODUCTS: dict[str, Callable[[Builder, gs.Tensor, Sequence[int]], gs.Tensor]] = {
    "matmul": by_matmul,
    "gemm": by_gemm,
    "kronecker": by_kronecker,
    "flat matmul": by_flat_matmul,
}


def _sizes(plane: Sequence[int], output_size: Sequence[int]) -> list[int]:
    return [dim if size == KEEP else size for dim, size in zip(plane, output_size, strict=True)]
