"""Prove by running: a region computes what an op of the dialect computes.

The roles of its nodes bound what a region can be (see roles.py), and the inputs are chosen so that
no other computation within these bounds gives the same outputs:

- average: the region is affine in X. Equal outputs for random X and for -X exclude every other
  affine map, up to rounding.
- max: each output picks one of a set of inputs. Every position is the greatest of its window in
  some trial, with greater and with smaller peaks in the windows around, so neither a missing nor an
  additional position goes unseen; all values are very negative in one half of the trials.
- generalised mean: the exponent is a constant of the region; values around 1, at both sides of
  the clamp, and at several scales exclude other exponents and clamps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import KEEP, Array, Shape
from onnxpool.ops.windows import windows
from onnxpool.rewrites.graph.cut import cut
from onnxpool.rewrites.graph.run import RunError, Runner
from onnxpool.rewrites.graph.tensors import numpy_type
from onnxpool.rewrites.region.region import Region

_MOST_ELEMENTS = 1 << 30
_LEADING_SIZES = (2, 3)
_PLANE_SIZES = (7, 13, 1, 4)
_UNIT = float(np.finfo(np.float32).eps) / 2


def prove(
    region: Region,
    reference: Callable[[Array], Array],
    inputs: Iterator[Array],
    opset: int,
    *,
    tolerance: float = 0.0,
) -> str | None:
    """Run `region` on every one of `inputs` and compare with `reference` in float64.

    Args:
        tolerance: greatest difference allowed, relative to the greatest value of the output.

    Returns:
        None if all are equal; else, in words, what differs.
    """
    try:
        run = _runner(region, opset)
        for x in inputs:
            wanted = reference(x.astype(np.float64))
            if difference := _difference(run(x), wanted, tolerance):
                return difference
    except RunError as error:
        return f"onnxruntime does not run it: {error}"
    return None


def _runner(region: Region, opset: int) -> Callable[[Array], Array]:
    """What runs a region; a pool in it is computed by its definition."""
    if region.pool is None:
        return _piece(region.x, region.y, opset)
    node, op = region.pool.node, region.pool.op
    before = _piece(region.x, node.inputs[0], opset)
    after = _piece(node.outputs[0], region.y, opset)
    return lambda x: after(op.reference(before(x))[0])


def _piece(x: gs.Variable, y: gs.Variable, opset: int) -> Callable[[Array], Array]:
    if x is y:
        return lambda values: values
    runner = Runner(cut((x,), (y,), opset, promote=True))
    return lambda values: runner({x.name: values})[0]


def _difference(found: Array, wanted: Array, tolerance: float) -> str | None:
    if found.size != wanted.size:
        return f"shape {list(found.shape)} instead of {list(wanted.shape)}"
    # Y may come without its pooled axes.
    wanted = wanted.reshape(found.shape)
    if not np.array_equal(np.isnan(found), np.isnan(wanted)):
        return "NaN appears elsewhere"
    numbers = ~np.isnan(wanted)
    bound = tolerance * float(np.max(np.abs(wanted), where=numbers, initial=0.0))
    with np.errstate(invalid="ignore"):
        off = float(np.max(np.abs(found - wanted), where=numbers, initial=0.0))
    return None if off <= bound else f"its output differs by up to {off:.2g}"


def concrete_shapes(x: Shape) -> Iterator[tuple[int, ...]]:
    """Shapes to run at: `x`; where sizes are not fixed, several with other numbers for them."""
    names = [dim if isinstance(dim, str) else axis for axis, dim in enumerate(x)]
    symbols = list(
        dict.fromkeys(n for n, d in zip(names, x, strict=True) if not isinstance(d, int))
    )
    sizes = _PLANE_SIZES if any(not isinstance(dim, int) for dim in x[2:]) else _LEADING_SIZES
    for i in range(len(sizes) if symbols else 1):
        number = {name: sizes[(i + j) % len(sizes)] for j, name in enumerate(symbols)}
        yield tuple(d if isinstance(d, int) else number[n] for n, d in zip(names, x, strict=True))


def run_type(region: Region) -> np.dtype[np.generic]:
    """The dtype in which a region is run: half precision is promoted."""
    dtype = numpy_type(region.x.dtype)
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def random_inputs(region: Region, shape: Shape) -> Iterator[Array]:
    rng = np.random.default_rng(0)
    for concrete in concrete_shapes(shape):
        x = rng.standard_normal(concrete).astype(run_type(region))
        yield x
        yield -x


def average_tolerance(shape: Shape, size: tuple[int, ...]) -> float:
    """A few times the rounding of a float32 sum over the largest window, as a random walk."""
    return 32 * _UNIT * math.sqrt(math.prod(_longest_windows(shape, size)))


def peaks(region: Region, shape: Shape, size: tuple[int, ...]) -> Iterator[Array]:
    """Inputs in which every position is the greatest of its window once; see the module's text."""
    lowest = float(np.finfo(numpy_type(region.x.dtype)).min)
    for concrete in concrete_shapes(shape):
        longest = _longest_windows(concrete, size)
        trials = list(itertools.product(itertools.product(*map(range, longest)), (False, True)))
        plane, planes = concrete[-len(size) :], math.prod(concrete[: -len(size)])
        for first in range(0, len(trials), planes):
            chosen = (trials[(first + i) % len(trials)] for i in range(planes))
            stacked = [_trial(plane, longest, offset, low, lowest) for offset, low in chosen]
            yield np.stack(stacked).reshape(concrete).astype(run_type(region))


def _trial(
    plane: tuple[int, ...],
    spacing: tuple[int, ...],
    offset: tuple[int, ...],
    low: bool,
    lowest: float,
) -> Array:
    """A plane of distinct values with peaks at `offset` and every `spacing` from there.

    Peaks rise along the plane; where `low` they fall, and all values are near the lowest number.
    """
    rising = np.linspace(0, 1, math.prod(plane)).reshape(plane)
    values = 1 - rising if low else rising
    values[tuple(slice(o, None, step) for o, step in zip(offset, spacing, strict=True))] += 2
    return lowest / 8 * (4 - values) if low else values


def too_large_to_prove(shape: Shape, size: tuple[int, ...]) -> bool:
    plane = math.prod(d for d in shape[-len(size) :] if isinstance(d, int))
    return 2 * math.prod(_longest_windows(shape, size)) * plane > _MOST_ELEMENTS


def _longest_windows(shape: Shape, size: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(
        1
        if bins == KEEP or not isinstance(length, int)
        else max(w.length for w in windows(length, bins))
        for length, bins in zip(shape[-len(size) :], size, strict=True)
    )
