"""Pooling whose windows the graph computes of Shape: torch's dynamo export of dynamic sizes.

torch dynamo:  start = Floor(i·L / O), end = start + (L // O + 1 or 2), of Shape, Mul, Cast, Div,
               Abs, Floor, Sign, Range, Add, Min; GatherND; then ReduceMean (equal windows), or
               Where and an unrolled sum with as many terms as the traced windows had (unequal)
by hand:       Slice at computed bounds, MatMul with a matrix computed of Shape and Range

At chosen sizes all of this is constant, and the static rules judge it. torch's form takes windows
of one length, so it is right only at sizes whose windows are like those of the traced size. Yet it
says what it was: everywhere its windows start where adaptive windows start and are one stretch of
one weight, and nothing else that does so is adaptive pooling at some sizes. Averages of averages
are that, too, but where windows overlap.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from onnxpool.ops.op import KEEP, MOST_SIZES, is_confirmed
from onnxpool.rewrites.graph.run import RunError
from onnxpool.rewrites.graph.tensors import is_float, shape_of
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.lift.needed_repair import Repair
from onnxpool.rewrites.lift.rule import Meaning, Rule
from onnxpool.rewrites.region.casts import rounding
from onnxpool.rewrites.region.computation import Constants
from onnxpool.rewrites.region.layout import layouts, may_pool
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role
from onnxpool.rewrites.region.size import in_words, open_size
from onnxpool.rewrites.region.sweep import (
    Run,
    Sweep,
    check_arithmetic,
    shapes_of,
    size_operands,
)
from onnxpool.rewrites.region.terms import NotUnderstood
from onnxpool.rewrites.region.trials import Trials

_MOST_PLANES = 40
_FAR_APART = (23, 40, 64)
_LENGTH = 23


def judge(
    region: Region,
    trials: Trials,
    rules: Sequence[Rule],
    constants: Constants,
    *,
    thorough: bool = True,
) -> Construct | Declined | None:
    """Judge a region whose nodes read tensors that depend on shapes.

    Args:
        region: bounded by what depends neither on constants nor on shapes alone.
        rules: the rules for static regions.
        thorough: whether to look for sizes at which it is right beyond the squares of `SWEEP`.

    Returns:
        A construct, with a `repair` where the region is not right at every size; or why not.
    """
    if not region.roles & (Role.SUM | Role.MAX) or not is_float(region.y.dtype):
        return None
    rule = next((rule for rule in rules if rule.applies(region)), None)
    if rule is None or _shapes_rule_out(region) or not size_operands(region, trials):
        return None
    if reason := rounding(region):
        return Declined(region, f"windows computed in the graph; {reason}")
    x, y = shape_of(region.x), shape_of(region.y)
    verdict = _judge(region, _fixed_axes(rule, region), None, trials, rule, constants, thorough)
    if isinstance(verdict, Construct) or x is None or y is None:
        return verdict
    for layout, pooled, lead in layouts(len(x), len(y)):
        if not may_pool(layout, pooled, x, y):
            continue
        reading, k = dataclasses.replace(region, layout=layout), len(layout.x) - lead
        found = _judge(reading, k, pooled, trials, rule, constants, thorough)
        if isinstance(found, Construct):
            return found
    return verdict


def _fixed_axes(rule: Rule, region: Region) -> int | None:
    """How many axes the plane has, where all sizes are fixed and say it."""
    is_fixed = all(isinstance(dim, int) for dim in shape_of(region.x) or (None,))
    size = rule.output_size(region) if is_fixed else None
    return None if size is None else len(size)


def _judge(
    region: Region,
    k: int | None,
    pooled: Sequence[int] | None,
    trials: Trials,
    rule: Rule,
    constants: Constants,
    thorough: bool,
) -> Construct | Declined | None:
    try:
        sweep = Sweep(region, trials, constants, k, pooled)
        if _has_no_size(region, trials, sweep):
            return None
        if trials.symbols and not _is_frozen_by_an_exporter(region):
            check_arithmetic(trials.producers(size_operands(region, trials)))
        if region.layout is not None and _is_elsewhere(region, rule, sweep):
            return None
        return _judged(region, rule, sweep, constants, thorough)
    except NotUnderstood as reason:
        return Declined(region, f"windows computed in the graph; it is not {rule.title}: {reason}")
    except RunError:
        return None


def _shapes_rule_out(region: Region) -> bool:
    """Whether the shapes that the file declares are those of no X and Y, at no size.

    Y has the axes of X, or its batch and channels alone; and some length that X has not, but for
    windows that an exporter froze: they may be worth a word.
    """
    x, y = shape_of(region.x), shape_of(region.y)
    if x is None or y is None:
        return False
    if len(x) != len(y):
        others = (dims for dims in zip(x, y, strict=False) if dims[0] != dims[1])
        numbers = any(isinstance(a, int) and isinstance(b, int) for a, b in others)
        laid_out = (may_pool(layout, axes, x, y) for layout, axes, _ in layouts(len(x), len(y)))
        return len(y) not in (1, 2) or (numbers and not any(laid_out))
    known = all(isinstance(dim, int) or is_confirmed(dim) for dim in x)
    return known and x == y and not _is_frozen_by_an_exporter(region)


def _has_no_size(region: Region, trials: Trials, sweep: Sweep) -> bool:
    """Whether shapes alone, at a few sizes far apart, say that Y is no X pooled to a fixed size.

    Windows that an exporter froze are followed all the same, if Y has the axes of X.
    """
    layout = region.layout
    shapes = []
    for length in _FAR_APART:
        sizes = sweep.sizes_for(sweep.plane(length))
        if sizes is not None:
            shapes.append((trials.shape(region.x, sizes), trials.shape(region.y, sizes)))
    known = [(x, y) for x, y in shapes if x is not None and y is not None]
    if layout is not None:
        if not known or any(len(y) != sum(a is not None for a in layout.y) for _, y in known):
            return True
        known = [(layout.of_x(x), layout.of_y(y)) for x, y in known]
        size = open_size(sweep.k, known)
        return size is None or not layout.is_sensible(size, shape_of(region.x) or ())
    if len(known) < len(_FAR_APART) or open_size(sweep.k, known) is not None:
        return False
    alike = all(len(x) == len(y) for x, y in known)
    return not (alike and _is_frozen_by_an_exporter(region))


def _is_elsewhere(region: Region, rule: Rule, sweep: Sweep) -> bool:
    """Whether one size says that the windows of a layout are not those of adaptive pooling."""
    run = sweep.at(sweep.plane(_LENGTH))
    if run is None or run.value is None:
        return False
    size = open_size(sweep.k, shapes_of([run]))
    if size is None:
        return True
    return _verdict(region, rule, run, size)[1] is None and _starts_elsewhere(sweep, run, size)


def _judged(
    region: Region, rule: Rule, sweep: Sweep, constants: Constants, thorough: bool
) -> Construct | Declined | None:
    if not sweep.runs:
        return None
    size = open_size(sweep.k, shapes_of(sweep.runs))
    if size is None:
        return _of_a_size_that_follows(sweep)
    verdicts = _verdicts(region, rule, sweep, size, thorough)
    meaning = next((m for _, m in verdicts if m is not None), None)
    if meaning is None:
        return Declined(
            region,
            f"windows computed in the graph; at none of {len(verdicts)} sizes are they those "
            "of adaptive pooling",
        )
    strange = next(
        (run for run, m in verdicts if m != meaning and _starts_elsewhere(sweep, run, size)), None
    )
    if strange is not None:
        return Declined(
            region,
            f"windows computed in the graph; at {in_words(strange.plane)} they do not start where "
            "those of adaptive pooling start",
        )
    uneven = next((run for run, m in verdicts if m != meaning and _is_uneven(sweep, run)), None)
    if uneven is not None:
        return Declined(
            region,
            f"windows computed in the graph; at {in_words(uneven.plane)} they are no windows of "
            "one stretch and one weight, as those of adaptive pooling are",
        )
    repair = _repair(verdicts, meaning)
    if repair is not None and not _is_frozen_by_an_exporter(region):
        return Declined(
            region,
            f"windows computed in the graph; as adaptive pooling, {repair.in_words()}, and "
            "nothing says that they should be that",
        )
    construct = rule.construct(sweep.whole_region(), meaning, constants)
    return dataclasses.replace(construct, repair=repair)


def _is_frozen_by_an_exporter(region: Region) -> bool:
    """Whether it gathers windows as torch's exporter does; what people write means what it says."""
    return any(node.op == "GatherND" for node in region.nodes)


_Verdict = tuple[Run, Meaning | None]


def _verdicts(
    region: Region, rule: Rule, sweep: Sweep, size: tuple[int, ...], thorough: bool
) -> list[_Verdict]:
    """What the region is at each size; None where it is nothing that is known, or fails."""
    judged = [_verdict(region, rule, run, size) for run in sweep.runs]
    if all(meaning is None for _, meaning in judged):
        further = sweep.further_runs(size, _MOST_PLANES) if thorough else ()
        more = (_verdict(region, rule, run, size) for run in further)
        fitting = next((verdict for verdict in more if verdict[1] is not None), None)
        return judged if fitting is None else [*judged, fitting]
    right = judged[0][1]
    if any(meaning is None or meaning != right for _, meaning in judged):
        return judged
    planes = {run.plane for run, _ in judged}
    deciding = (run for run in sweep.deciding_runs(size) if run.plane not in planes)
    return [*judged, *(_verdict(region, rule, run, size) for run in deciding)]


def _verdict(region: Region, rule: Rule, run: Run, size: tuple[int, ...]) -> _Verdict:
    if run.value is None or size[MOST_SIZES:] not in ((), (KEEP,)):
        return run, None
    try:
        meaning = rule.explain(region, run.value, run.dims, size)
    except NotUnderstood:
        return run, None
    return run, meaning if isinstance(meaning, Meaning) else None


def _starts_elsewhere(sweep: Sweep, run: Run, size: Sequence[int]) -> bool:
    return run.value is not None and not all(
        sweep.starts(run, axis, size) for axis in range(len(size))
    )


def _is_uneven(sweep: Sweep, run: Run) -> bool:
    return run.value is not None and not all(sweep.is_even(run, axis) for axis in range(sweep.k))


def _of_a_size_that_follows(sweep: Sweep) -> Declined | None:
    """Windows gathered for an output size such as H // 3; other regions are no business of ours."""
    shapes = shapes_of(sweep.runs)
    pooled = all(len(x) == len(y) and x[: -sweep.k] == y[: -sweep.k] for x, y in shapes)
    if not shapes or not pooled or not any(n.op == "GatherND" for n in sweep.region.nodes):
        return None
    return Declined(
        sweep.region,
        "windows computed in the graph, for an output size that follows that of the input; this "
        "is right at some sizes only and not repaired: onnxpool export keeps it whole",
        level="warning",
    )


def _repair(verdicts: Sequence[_Verdict], meaning: Meaning) -> Repair | None:
    """Where the region is not what it is elsewhere."""
    right = tuple(run.plane for run, found in verdicts if found == meaning)
    wrong = tuple(
        run.plane for run, found in verdicts if found != meaning and run.value is not None
    )
    failing = tuple(run.plane for run, _ in verdicts if run.value is None)
    return Repair(right, wrong, failing) if wrong or failing else None
