"""PyramidPool as standard ops, with the work that its levels share done once.

    nested:  a level whose windows are unions of a finer level's is pooled from that level; an
             average only where those are equal and disjoint (their number divides the axis)
    shared:  the averaging matrices of several levels, side by side, on each axis that all of them
             pool; each level is its block of the product
    dynamic:  where sizes of X are not known, the same with matrices that the graph computes
    else each level is pooled on its own, by the strategy

`auto` and `matmul` share where a level on its own would take the form matmul, or kronecker of an X
that is larger than caches. By benchmarks/lowering.py, the levels 1, 2, 3 and 6 of 65 x 65 are four
times as fast so as on their own, and three times as fast of 60 x 60, where they are nested.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import onnx_graphsurgeon as gs

from onnxpool.ops.op import KEEP, Shape
from onnxpool.ops.pyramid_pool import PyramidPool
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.lower.adaptive_average_pool import (
    average,
    average_axis,
    by_matmul,
    choose,
    exceeds_caches,
    fastest_product,
    multiply_rows,
    to_float,
)
from onnxpool.rewrites.lower.adaptive_max_pool import maximum, to_comparable
from onnxpool.rewrites.lower.dynamic import average_axes, split
from onnxpool.rewrites.lower.separable import pooled_axes

Size = tuple[int, ...]
"""The output size of a level; a kept axis has its own size where that is known."""


def lower_pyramid_pool(
    b: Builder, op: PyramidPool, inputs: Sequence[gs.Tensor], outputs: int, strategy: str
) -> tuple[list[gs.Tensor], str]:
    x = inputs[0]
    averages = op.mode == "average"
    base = to_float(b, x) if averages else to_comparable(b, x)
    sizes = [_resolved(size, x.shape) for size in op.sizes()]
    levels: dict[Size, gs.Tensor] = {}
    used: list[str] = []
    parents = _parents(sizes, x.shape, averages)
    roots = [size for size, parent in parents.items() if parent is None]
    if averages and len(together := _dynamic_levels(b, base, sizes)) > 1:
        levels.update(_dynamic_product(b, base, together))
        used.append("dynamic matmul")
    elif averages and _shares(base, roots, strategy):
        levels.update(_shared_product(b, base, roots, strategy))
        used.append("shared matmul")
    pool = average if averages else maximum
    for size, parent in parents.items():
        if size not in levels:
            levels[size], form = pool(b, base if parent is None else levels[parent], size, strategy)
            used.append(form if parent is None else f"nested {form}")
    results = {size: b.cast(level, x.dtype) for size, level in levels.items()}
    return [results[size] for size in sizes], ", ".join(dict.fromkeys(used))


def _resolved(size: Size, shape: Shape) -> Size:
    plane = shape[-len(size) :]
    return tuple(
        dim if bins == KEEP and isinstance(dim, int) else bins
        for bins, dim in zip(size, plane, strict=True)
    )


def _parents(sizes: Sequence[Size], shape: Shape, averages: bool) -> dict[Size, Size | None]:
    """The levels, finer ones first, each with the coarsest that it can be pooled from."""
    parents: dict[Size, Size | None] = {}
    for size in sorted(set(sizes), key=lambda size: (-math.prod(map(abs, size)), size)):
        candidates = (finer for finer in reversed(parents) if _nests(size, finer, shape, averages))
        parents[size] = next(candidates, None)
    return parents


def _nests(size: Size, finer: Size, shape: Shape, averages: bool) -> bool:
    """Whether the windows of `size` are unions of those of `finer`, such as the mode needs."""
    plane = shape[-len(size) :]
    for length, coarse_bins, fine_bins in zip(plane, size, finer, strict=True):
        if coarse_bins == fine_bins:
            continue
        if KEEP in (coarse_bins, fine_bins) or fine_bins % coarse_bins:
            return False
        if averages and (not isinstance(length, int) or length % fine_bins):
            return False
    return True


def _shares(x: gs.Tensor, sizes: Sequence[Size], strategy: str) -> bool:
    if len(sizes) < 2 or strategy not in ("auto", "matmul"):
        return False
    static = all(isinstance(dim, int) for dim in x.shape[-len(sizes[0]) :])
    forms = {choose(x, size, strategy) for size in sizes}
    return static and bool(
        forms & {"matmul", "gemm"} or ("kronecker" in forms and exceeds_caches(x))
    )


def _dynamic_levels(b: Builder, x: gs.Tensor, sizes: Sequence[Size]) -> list[Size]:
    """The levels that pool every axis, if one of them has windows that the graph computes."""
    whole = [size for size in dict.fromkeys(sizes) if len(pooled_axes(x.shape, size)) == len(size)]
    return whole if any(split(b, x.shape, size)[1] for size in whole) else []


def _dynamic_product(b: Builder, x: gs.Tensor, sizes: Sequence[Size]) -> dict[Size, gs.Tensor]:
    first = len(x.shape) - len(sizes[0])
    bins = _bins(x, sizes, range(first, len(x.shape)))
    known = {axis for axis in bins if isinstance(x.shape[axis], int)}
    for axis in known:
        x = average_axis(b, x, axis, bins[axis])
    product = average_axes(b, x, {axis: n for axis, n in bins.items() if axis not in known})
    return _blocks(b, product, sizes, bins)


def _shared_product(
    b: Builder, x: gs.Tensor, sizes: Sequence[Size], strategy: str
) -> dict[Size, gs.Tensor]:
    axes = set.intersection(*(set(pooled_axes(x.shape, size)) for size in sizes))
    bins = _bins(x, sizes, sorted(axes))
    fastest = strategy == "auto" and len(axes) == len(sizes[0]) > 1
    if fastest and fastest_product(x, [sum(each) for each in bins.values()]) == "gemm":
        x = multiply_rows(b, x, bins)
    else:
        # Rows are multiplied as they lie in memory, unless they are channels.
        for axis in sorted(axes, reverse=len(x.shape) - 1 in axes):
            x = average_axis(b, x, axis, bins[axis])
    return {size: by_matmul(b, y, size) for size, y in _blocks(b, x, sizes, bins).items()}


def _bins(x: gs.Tensor, sizes: Sequence[Size], axes: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """Per axis, the numbers of windows that the levels have there."""
    first = len(x.shape) - len(sizes[0])
    return {axis: tuple(dict.fromkeys(size[axis - first] for size in sizes)) for axis in axes}


def _blocks(
    b: Builder, product: gs.Tensor, sizes: Sequence[Size], bins: Mapping[int, tuple[int, ...]]
) -> dict[Size, gs.Tensor]:
    """The level of each size in a product with matrices side by side."""
    first = len(product.shape) - len(sizes[0])
    levels = {}
    for size in sizes:
        starts = {axis: sum(n[: n.index(size[axis - first])]) for axis, n in bins.items()}
        ends = {axis: start + size[axis - first] for axis, start in starts.items()}
        levels[size] = b.block(product, starts, ends) if bins else product
    return levels
