"""Pooling whose windows the graph computes of Shape: torch's dynamo export of dynamic sizes.

torch dynamo:  start = Floor(i·L / O), end = start + (L // O + 1 or 2), of Shape, Mul, Cast, Div,
               Abs, Floor, Sign, Range, Add, Min; GatherND; then ReduceMean (equal windows), or
               Where and an unrolled sum with as many terms as the traced windows had (unequal)
by hand:       Slice at computed bounds, MatMul with a matrix computed of Shape and Range

At chosen sizes all of this is constant, and the static rules judge it. torch's form takes windows
of one length, so it is right only at sizes whose windows are like those of the traced size. Yet it
says what it was: everywhere its windows start where adaptive windows start, and nothing else that
starts there is known to be adaptive pooling at some sizes. Both are seen by running it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool
from onnxpool.ops.op import KEEP
from onnxpool.ops.windows import windows
from onnxpool.rewrites.graph.run import RunError, evaluate
from onnxpool.rewrites.graph.tensors import is_integer
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.lift.needed_repair import Repair
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role
from onnxpool.rewrites.region.size import Plane, in_words, open_size
from onnxpool.rewrites.region.sweep import Run, Sweep, is_same, size_operands
from onnxpool.rewrites.region.trials import Trials

Rule = Callable[[Region, int], Construct | Declined | None]

_MOST_PROOFS = 40
_START_PLANES = (7, 9, 12, 16, 23, 33, 5, 3)


def judge(
    region: Region, trials: Trials, rules: Sequence[Rule], opset: int, *, thorough: bool = True
) -> Construct | Declined | None:
    """Judge a region whose nodes read tensors that depend on shapes.

    Args:
        region: bounded by what depends neither on constants nor on shapes alone.
        rules: the rules for static regions.
        thorough: whether to look for sizes at which it is right beyond the squares of `SWEEP`.

    Returns:
        A construct, with a `repair` where the region is not right at every size; or why not.
    """
    if not region.roles & (Role.SUM | Role.MAX) or is_integer(region.y.dtype):
        return None
    if not size_operands(region, trials):
        return None
    try:
        sweep = Sweep(region, trials, opset)
    except RunError:
        return None
    if not sweep.runs:
        return None
    size = open_size(sweep.k, [(r.x.shape, r.y.shape) for r in sweep.runs if r.y is not None])
    if size is None:
        return _of_a_size_that_follows(sweep)
    construct = _proven(sweep, size, rules, opset, thorough)
    if construct is None:
        return Declined(
            region,
            f"windows computed in the graph; at none of {len(sweep.runs)} sizes are they those "
            "of adaptive pooling",
        )
    if plane := _strange_start(sweep, size):
        return Declined(
            region,
            f"windows computed in the graph; at {in_words(plane)} they do not start where those of "
            "adaptive pooling start",
        )
    return dataclasses.replace(construct, repair=_repair(sweep, construct, opset))


def _of_a_size_that_follows(sweep: Sweep) -> Declined | None:
    """Windows gathered for an output size such as H // 3; other regions are no business of ours."""
    shapes = [(run.x.shape, run.y.shape) for run in sweep.runs if run.y is not None]
    pooled = all(len(x) == len(y) and x[: -sweep.k] == y[: -sweep.k] for x, y in shapes)
    if not shapes or not pooled or not any(n.op == "GatherND" for n in sweep.region.nodes):
        return None
    return Declined(
        sweep.region,
        "windows computed in the graph, for an output size that follows that of the input; this "
        "is right at some sizes only and not repaired: onnxpool export keeps it whole",
        level="warning",
    )


def _proven(
    sweep: Sweep, size: tuple[int, ...], rules: Sequence[Rule], opset: int, thorough: bool
) -> Construct | None:
    """What the static rules make of the region at the first size at which they know it."""
    tried = 0
    linear = not sweep.region.roles & (Role.MAX | Role.POWER)
    further = sweep.further_runs(size, _MOST_PROOFS) if linear and thorough else ()
    for run in itertools.chain(_telling_first(sweep.runs, size), further):
        if run.y is None or not _can_be_right(sweep.region, run, size):
            continue
        if tried == _MOST_PROOFS:
            return None
        tried += 1
        with sweep.specialised(run) as region:
            verdicts = (rule(region, opset) for rule in rules)
            verdict = next((v for v in verdicts if v is not None), None)
        if isinstance(verdict, Construct) and getattr(verdict.op, "output_size", None) == size:
            if run not in sweep.runs:
                sweep.runs.append(run)
            return dataclasses.replace(verdict, regions=_in_graph(verdict, sweep.whole_region()))
    return None


def _in_graph(construct: Construct, region: Region) -> tuple[Region | None, ...]:
    return tuple(region if found is not None else None for found in construct.regions)


def _telling_first(runs: Sequence[Run], size: tuple[int, ...]) -> list[Run]:
    """Sizes with windows that overlap or differ say most."""

    def says_little(run: Run) -> bool:
        return all(length % abs(bins) == 0 for length, bins in zip(run.plane, size, strict=True))

    return sorted(runs, key=says_little)


def _can_be_right(region: Region, run: Run, size: tuple[int, ...]) -> bool:
    """Whether a proof is worth its time: an axis must not look kept, and sums must be equal."""
    if any(length == bins for length, bins in zip(run.plane, size, strict=True)):
        return False
    if Role.POWER in region.roles or run.y is None:
        return True
    op = AdaptiveMaxPool(size) if Role.MAX in region.roles else AdaptiveAveragePool(size)
    return is_same(run.y, op.reference(run.x.astype(np.float64))[0])


def _strange_start(sweep: Sweep, size: tuple[int, ...]) -> Plane | None:
    """A plane at which a window does not start where adaptive windows do; None if there is none."""
    for length in _START_PLANES:
        plane = sweep.plane(length)
        for axis, bins in enumerate(size):
            wanted = [w.start for w in windows(plane[axis], plane[axis] if bins == KEEP else bins)]
            found = sweep.starts(plane, axis, size)
            if found is not None and found != wanted:
                return plane
    return None


def _repair(sweep: Sweep, construct: Construct, opset: int) -> Repair | None:
    """Where the region is not what `construct` says."""
    parameters = [evaluate(p, opset).astype(np.float64) for p in construct.parameters]
    right, wrong, failing = [], [], []
    for run in sweep.runs:
        if run.y is None:
            failing.append(run.plane)
        elif is_same(run.y, construct.op.reference(run.x.astype(np.float64), *parameters)[0]):
            right.append(run.plane)
        else:
            wrong.append(run.plane)
    return Repair(tuple(right), tuple(wrong), tuple(failing)) if wrong or failing else None
