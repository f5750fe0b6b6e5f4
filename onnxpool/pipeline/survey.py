"""What pooling is in each graph of a model, and what is to become of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import onnx

from onnxpool import steps, targets
from onnxpool.errors import ArgumentError, check_choice
from onnxpool.model.file import ModelFile
from onnxpool.model.provenance import origins
from onnxpool.model.scope import Scope
from onnxpool.pipeline import report
from onnxpool.pipeline.check import Probe, too_large
from onnxpool.pipeline.report import Finding
from onnxpool.rewrites import lower
from onnxpool.rewrites.find import find
from onnxpool.rewrites.graph.tensors import shape_of
from onnxpool.rewrites.graph.verify import verify
from onnxpool.rewrites.lift.construct import Construct, Declined, replace
from onnxpool.rewrites.lower.function_body import Bodies, is_body
from onnxpool.rewrites.plan import Plan, plan
from onnxpool.rewrites.repair.hints import Hints, WrongHint
from onnxpool.rewrites.repair.resize_behind import keep_sizes_behind
from onnxpool.rewrites.repair.retarget import retarget
from onnxpool.rewrites.repair.sizes_tried import Before, Tried

OUTPUTS = ("standard", "custom-op")


@dataclasses.dataclass(frozen=True)
class Goal:
    """What the pooling of a model is to become.

    Attributes:
        custom_ops: nodes of the dialect with function bodies; else standard ops.
        strategy: what standard ops are built of.
        target: the runtime that is to take the result; None: any.
        repair: whether to rewrite what is not right at every size.
    """

    custom_ops: bool
    strategy: str
    target: targets.Target | None
    repair: bool

    @classmethod
    def of(cls, to: str, strategy: str, target: str | None, *, repair: bool) -> Goal:
        """The goal in the words of `onnxpool.rewrite`.

        Raises:
            ArgumentError: one of them is unknown, or they do not go together.
        """
        check_choice("output", to, OUTPUTS)
        check_choice("strategy", strategy, lower.strategies())
        if to == "custom-op" and (target or strategy != "auto"):
            option = f"target {target}" if target else f"strategy {strategy}"
            raise ArgumentError(
                f"{option} is for standard ops; custom ops are for ONNX Runtime, so leave it out"
            )
        runtime = targets.find(target) if target else None
        if runtime and strategy == "auto":
            strategy = runtime.strategy
        return cls(to == "custom-op", strategy, runtime, repair)


@dataclasses.dataclass(frozen=True)
class Planned:
    """A construct, what is to become of it, and how that will be checked, if it is to be."""

    construct: Construct
    plan: Plan
    finding: Finding
    probe: Probe | None


@dataclasses.dataclass(frozen=True)
class Pooling:
    """The pooling of one graph of a model.

    Attributes:
        number: of its scope.
        found: its constructs, in graph order.
        declined: what looks like pooling and is not.
        before: what the graph says of the shapes of its source, if some of it is to be repaired.
    """

    number: int
    scope: Scope
    found: Sequence[Planned]
    declined: Sequence[Finding]
    before: Before | None = None

    @property
    def findings(self) -> list[Finding]:
        return [*(each.finding for each in self.found), *self.declined]

    @property
    def pooled(self) -> set[str]:
        """Names of the tensors that pools make, whatever becomes of these."""
        constructs = (each.construct for each in self.found)
        return {region.y.name for construct in constructs for region in construct.found}

    @property
    def stale(self) -> list[tuple[Scope, str]]:
        """The tensors whose shapes need not be what the file says, once they are rewritten."""
        changed = (p.construct for p in self._changing() if p.construct.is_wrong)
        return [(self.scope, region.y.name) for c in changed for region in c.found]

    def rewrite(self) -> None:
        """Lift what is to change into the dialect, and lower what becomes standard ops."""
        graph, opset = self.scope.graph, self.scope.opset
        keep_sizes_behind(graph, [each.construct for each in self._changing()], opset)
        for each in self._changing():
            _set_restored_shape(each.construct)
        lifted = [
            (each.construct, replace(graph, each.construct, opset), each.plan)
            for each in self._changing()
            if not (each.plan.custom_op and each.construct.is_dialect_node)
        ]
        verify(graph, lifted=True)
        retarget(graph, [(construct, node) for construct, node, _ in lifted], opset)
        for _, node, planned in lifted:
            if not planned.custom_op:
                lower.lower(graph, node, opset, planned.strategy)

    def check(self, result: ModelFile, bodies: Bodies) -> list[Finding]:
        """Compare every changed region with what it was; the findings say how that went.

        Args:
            result: the rewritten model, imported anew.

        Raises:
            CheckError: a region is not what it should be.
        """
        scope = result.scopes[self.number]
        done = [_checked(each, scope, bodies.all) for each in self.found]
        if self.before is not None:
            tried = self.before.compare(scope.graph, scope.opset)
            done = [_with_claim(finding, tried) for finding in done]
        return [*done, *self.declined]

    def _changing(self) -> Iterator[Planned]:
        return (each for each in self.found if each.plan.better)


def survey(
    file: ModelFile, goal: Goal, told: Hints, bodies: Bodies, *, probe: bool = False
) -> list[Pooling]:
    """Find the pooling of a model and plan what is to become of it; the graphs stay as they are.

    Args:
        file: with shapes inferred.
        told: what the user says of the model.
        bodies: those of the model; those that custom ops need besides are added.
        probe: whether to keep what `Pooling.check` needs.

    Raises:
        ArgumentError: what the user says does not fit a graph.
    """
    surveyed = []
    for number, scope in enumerate(file.scopes):
        steps.at("looking for pooling")
        if not is_body(scope.proto):
            constructs, declined = _find(scope, goal, told)
            found = [_plan(scope, construct, goal, bodies, probe) for construct in constructs]
            left = [report.of_declined(scope, region) for region in declined]
            before = _before(scope, found) if probe else None
            surveyed.append(Pooling(number, scope, found, left, before))
    return surveyed


def _set_restored_shape(construct: Construct) -> None:
    """Say the shape of Y that an adaptive pool makes where another had one of its own."""
    if construct.repair is None or not construct.repair.restored:
        return
    shapes = construct.op.output_shapes(shape_of(construct.x) or (), len(construct.regions))
    for region, shape in zip(construct.regions, shapes, strict=True):
        if region is not None:
            region.y.shape = list(shape)


def _before(scope: Scope, found: Sequence[Planned]) -> Before | None:
    repaired = [
        p.construct
        for p in found
        if p.plan.better and p.construct.repair and not p.construct.repair.restored
    ]
    return Before(scope.graph, repaired, scope.opset) if repaired else None


def _with_claim(finding: Finding, tried: Tried) -> Finding:
    repair = finding.repair
    if repair is None or finding.action != "rewritten":
        return finding
    if repair.restored:
        return finding
    now = tried.in_words(repair.certain)
    return dataclasses.replace(finding, now=now, doubtful=bool(tried.trouble))


def _find(scope: Scope, goal: Goal, told: Hints) -> tuple[list[Construct], list[Declined]]:
    hints = dataclasses.replace(told, origins=origins(scope))
    try:
        return find(scope.graph, scope.opset, hints, for_kernel=goal.custom_ops)
    except WrongHint as error:
        raise ArgumentError(str(error)) from error


def _plan(scope: Scope, construct: Construct, goal: Goal, bodies: Bodies, probe: bool) -> Planned:
    planned = plan(
        construct,
        scope.opset,
        goal.strategy,
        bodies if goal.custom_ops else None,
        repair=goal.repair,
    )
    if planned.better and probe and (reason := too_large(construct)):
        planned = dataclasses.replace(planned, better=False, detail=reason)
    action: report.Action = "rewritable" if planned.better else "left"
    finding = report.of_construct(scope, construct, action, planned.detail)
    kept = probe and planned.better
    came_with = tuple(bodies.in_model.values())
    return Planned(
        construct, planned, finding, Probe(construct, scope.opset, came_with) if kept else None
    )


def _checked(each: Planned, scope: Scope, bodies: Sequence[onnx.FunctionProto]) -> Finding:
    """What the report says of a construct once its graph has been rewritten."""
    if not each.plan.better:
        return each.finding
    done = dataclasses.replace(each.finding, action="rewritten")
    if each.construct.repair and each.construct.repair.restored:
        done = dataclasses.replace(done, now="its windows are adaptive now")
    if each.probe is None:
        return done
    errors = each.probe.compare(scope.graph, scope.opset, bodies)
    return dataclasses.replace(done, error_before=errors.before, error_after=errors.after)
