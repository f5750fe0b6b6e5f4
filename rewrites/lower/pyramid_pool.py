"""PyramidPool as standard ops, with the work that its levels share done once.

    nested:  a level whose windows are unions of a finer level's is pooled from that level; an
             average only where those are equal and disjoint (their number divides the axis)
    shared:  the averaging matrices of several levels, side by side, along the first pooled axis;
             each level takes its block of the product to its other axes
    dynamic:  where sizes of X are not known, the same with matrices that the graph computes, side
        by side on every axis; each level is its block of the product
    else each level is pooled on its own, by the strategy

`auto` and `matmul` share where a level on its own would take the form matmul. By
benchmarks/lowering.py on ONNX Runtime 1.31, the levels 1, 2, 3 and 6 of 65 x 65 are twice as fast
so as on their own, and three times as fast of 60 x 60, where they are nested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import KEEP, Shape
from onnxpool.ops.pyramid_pool import PyramidPool
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.lower.adaptive_average_pool import (
    average,
    averaging_matrix,
    by_matmul,
    choose,
    multiply_axis,
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
        levels.update(_shared_product(b, base, roots))
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
    static = all(isinstance(dim, int) for dim in x.shape[-len(sizes[0]) :])
    forms = [choose(x, size, strategy) for size in sizes]
    return static and len(sizes) > 1 and strategy in ("auto", "matmul") and "matmul" in forms


def _dynamic_levels(b: Builder, x: gs.Tensor, sizes: Sequence[Size]) -> list[Size]:
    """The levels that pool every axis, if one of them has windows that the graph computes."""
    whole = [size for size in dict.fromkeys(sizes) if len(pooled_axes(x.shape, size)) == len(size)]
    return whole if any(split(b, x.shape, size)[1] for size in whole) else []


def _dynamic_product(b: Builder, x: gs.Tensor, sizes: Sequence[Size]) -> dict[Size, gs.Tensor]:
    first = len(x.shape) - len(sizes[0])
    bins = {
        axis: tuple(dict.fromkeys(size[axis - first] for size in sizes))
        for axis in range(first, len(x.shape))
    }
    known = {axis for axis in bins if isinstance(x.shape[axis], int)}
    for axis in known:
        x = _side_by_side(b, x, axis, bins[axis])
    product = average_axes(b, x, {axis: n for axis, n in bins.items() if axis not in known})
    levels = {}
    for size in sizes:
        starts = {axis: sum(n[: n.index(size[axis - first])]) for axis, n in bins.items()}
        ends = {axis: start + size[axis - first] for axis, start in starts.items()}
        levels[size] = b.block(product, starts, ends)
    return levels


def _shared_product(b: Builder, x: gs.Tensor, sizes: Sequence[Size]) -> dict[Size, gs.Tensor]:
    axis = len(x.shape) - len(sizes[0])
    bins = tuple(dict.fromkeys(size[0] for size in sizes))
    product = _side_by_side(b, x, axis, bins)
    starts = dict(zip(bins, np.cumsum([0, *bins]).tolist(), strict=False))
    blocks = {each: b.slice(product, axis, starts[each], starts[each] + each) for each in bins}
    return {size: by_matmul(b, blocks[size[0]], size) for size in sizes}


def _side_by_side(b: Builder, x: gs.Tensor, axis: int, bins: Sequence[int]) -> gs.Tensor:
    """The averages over several numbers of windows, one after the other on the axis."""
    length = x.shape[axis]
    matrix = np.concatenate([averaging_matrix(length, each, x.dtype) for each in bins], axis=1)
    return multiply_axis(b, x, axis, matrix, f"average_{length}_to_{'_'.join(map(str, bins))}")
