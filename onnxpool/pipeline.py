"""The passes in order: lift, verify, lower, splice, check."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, get_args

import onnx
import onnx_graphsurgeon as gs

from onnxpool import conform, declared_shapes, frozen_sizes, report, shapes, targets
from onnxpool import input_shapes as input_shapes_
from onnxpool.check import Probe, check_whole_model
from onnxpool.errors import ArgumentError
from onnxpool.frozen_sizes import OutputSizes, TracedSizes
from onnxpool.functions import drop_uncalled, uses_dialect
from onnxpool.input_shapes import InputShapes
from onnxpool.model_file import ModelFile, Progress
from onnxpool.ops import register_schemas
from onnxpool.provenance import origins
from onnxpool.report import Action, Finding, Report, Summary
from onnxpool.rewrites import lift, lower
from onnxpool.rewrites.lower.function_body import Bodies, is_body
from onnxpool.rewrites.plan import plan
from onnxpool.rewrites.run import kernels_missing
from onnxpool.rewrites.verify import verify
from onnxpool.scope import Scope, with_bodies

if TYPE_CHECKING:
    from onnxpool.validation import Validation

Check = Literal["regions", "full", "none"]
OUTPUTS = ("standard", "custom-op")
Model = str | os.PathLike[str] | onnx.ModelProto


@dataclasses.dataclass(frozen=True)
class Result:
    """A rewritten model, not yet written.

    Attributes:
        report: what was found and done.
    """

    report: Report
    _file: ModelFile

    @property
    def model(self) -> onnx.ModelProto:
        """The model; its external tensors refer to files in the folder of the input."""
        return self._file.proto

    def validate(self, reference: Any, **options: Any) -> Validation:
        """Compare the model with its source, before it is written: `onnxpool.validate`."""
        from onnxpool.validation import validate

        return validate(self._file.reimported(), reference, **options)

    def save(self, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
        """Write the model, and its external data beside it; all of it or nothing.

        Raises:
            OutputError: `path` cannot be written.
        """
        self._file.save(path, progress)


def inspect(
    model: Model,
    *,
    to: str = "standard",
    strategy: str = "auto",
    target: str | None = None,
    repair: bool = True,
    output_sizes: OutputSizes | None = None,
    traced_sizes: TracedSizes | None = None,
) -> Report:
    """Find the pooling of a model, change nothing.

    Args:
        model: a path or a model.
        to: what `rewrite` would make of it: "standard" or "custom-op".
        strategy: how `rewrite` would lower it: one of "auto", "matmul", "slice", "pool".
        target: name of a runtime; the report says what it would not take of the model.
        repair, output_sizes, traced_sizes: as `rewrite` takes them.

    Raises:
        OnnxpoolError: the model or an argument cannot be used.
    """
    _check_output(to, strategy, target)
    runtime = targets.find(target) if target else None
    strategy = _strategy(strategy, runtime)
    file = _load(model)
    bodies = Bodies(file.proto.functions) if to == "custom-op" else None
    findings: list[Finding] = []
    told = _told(file, output_sizes, traced_sizes)
    for scope in file.scopes:
        if is_body(scope.proto):
            continue
        constructs, declined = _find(scope, told, for_kernel=bodies is not None)
        for construct in constructs:
            planned = plan(construct, scope.opset, strategy, bodies, repair=repair)
            action: Action = "rewritable" if planned.better else "left"
            findings.append(report.of_construct(scope.name, construct, action, planned.detail))
        findings += [report.of_declined(scope.name, region) for region in declined]
    summary = _summary(file.proto)
    return Report(
        _name(model),
        file.opset,
        tuple(findings),
        summary,
        summary,
        _notes(file),
        target or "",
        file.opset,
        refusals=tuple(conform.refusals(file, runtime)) if runtime else (),
    )


def rewrite(
    model: Model,
    *,
    to: str = "standard",
    strategy: str = "auto",
    target: str | None = None,
    opset: int | None = None,
    input_shapes: InputShapes | None = None,
    repair: bool = True,
    output_sizes: OutputSizes | None = None,
    traced_sizes: TracedSizes | None = None,
    check: Check = "regions",
) -> Result:
    """Rewrite the pooling of a model as standard ONNX ops, or as custom ops.

    Args:
        model: a path or a model; a model is not changed.
        to: "standard", or "custom-op": ops of domain onnxpool, each with a function body, which
            ONNX Runtime runs where the library of kernels is not registered (`onnxpool.session`).
        strategy: "auto" takes the fastest form (see rewrites/lower); "matmul", "slice" and "pool"
            name the ops that averages are built of.
        target: name of a runtime (see onnxpool/targets) that takes the result; it then decides the
            strategy, unless one is named, and the opset.
        opset: of the result; by default that of the model, or the greatest that the target takes.
        input_shapes: per input name the shape to fix it at; what is constant then is folded.
        repair: restore what the source computes where the graph is right at some sizes only, as
            dynamic exports are; the report says at which sizes it was wrong. Else such pooling is
            left, with a warning.
        output_sizes: per name of a node whose windows were frozen at the traced size, or "*", the
            output size of its source: a number per pooled axis or one for all, -1 keeps an axis.
        traced_sizes: per name of an input, its shape when the model was traced.
        check: "regions" runs every changed region before and after, "full" the whole model too.

    Raises:
        CheckError: a region is not what it should be after the rewrite.
        TargetError: the target would not take the result.
        OnnxpoolError: the model or an argument cannot be used.
    """
    _check_output(to, strategy, target)
    _check_choice("check", check, get_args(Check))
    runtime = targets.find(target) if target else None
    strategy = _strategy(strategy, runtime)
    file = _load(model)
    opset_before, before = file.opset, _summary(file.proto)
    wanted_opset = conform.wanted_opset(file, runtime, opset)
    suspect: tuple[Finding, ...] = ()
    if input_shapes and repair:
        file, suspect = _repaired(model, file, check, output_sizes, traced_sizes)
        output_sizes = traced_sizes = None
    open_file = file
    if input_shapes:
        file = input_shapes_.fix(file, input_shapes)
    elif runtime and not runtime.dynamic:
        file = input_shapes_.fold(file)
    fixed = file is not open_file
    had_dialect = uses_dialect(file.proto)
    bodies = Bodies(file.proto.functions, wanted_opset if wanted_opset != file.opset else None)
    bodies_before = tuple(bodies.in_model.values())
    as_custom_op = to == "custom-op"
    jobs: list[_Job] = []
    stale: list[tuple[Scope, str]] = []
    findings: list[Finding] = []
    told = _told(file, output_sizes, traced_sizes)
    for number, scope in enumerate(file.scopes):
        if is_body(scope.proto):
            continue
        constructs, declined = _find(scope, told, for_kernel=as_custom_op)
        lifted: list[tuple[lift.Construct, gs.Node]] = []
        to_lower: list[gs.Node] = []
        for construct in constructs:
            planned = plan(
                construct, scope.opset, strategy, bodies if as_custom_op else None, repair=repair
            )
            action: Action = "rewritten" if planned.better else "left"
            findings.append(report.of_construct(scope.name, construct, action, planned.detail))
            if planned.better:
                probe = Probe(construct, scope.opset, bodies_before) if check != "none" else None
                jobs.append(_Job(number, len(findings) - 1, probe))
                if construct.unloadable or construct.repair:
                    stale += [(scope, region.y.name) for region in construct.found]
                if planned.custom_op and construct.is_dialect_node:
                    continue
                lifted.append((construct, lift.replace(scope.graph, construct)))
                if not planned.custom_op:
                    to_lower.append(lifted[-1][1])
        verify(scope.graph)
        lift.retarget(scope.graph, lifted, scope.opset)
        for node in to_lower:
            lower.lower(scope.graph, node, scope.opset, strategy)
        findings += [report.of_declined(scope.name, region) for region in declined]
    conforming = conform.conform(file, runtime, wanted_opset, probe=check != "none")
    notes: list[str] = []
    changed = file.splice() or wanted_opset != file.opset or fixed or bool(bodies.added)
    if changed:
        declared_shapes.correct(file, stale)
        file = _imported_anew(file)
        _check(file, jobs, findings, bodies)
        notes = _add_bodies(file, bodies)
        if had_dialect:
            drop_uncalled(file)
        file.check()
        if check == "full":
            check_whole_model(model, file)
    refusals = conform.refusals(file, runtime) if runtime else []
    if runtime:
        conform.refuse(refusals, runtime)
    if fixed:
        input_shapes_.declare_sizes(file)
    made = Report(
        _name(model),
        file.opset,
        report.merged(suspect, findings),
        before,
        _summary(file.proto),
        (*_notes(file), *notes),
        target or "",
        opset_before,
        tuple(conform.check(file, conforming)),
        tuple(refusals),
    )
    return Result(made, file)


def _repaired(
    model: Model,
    file: ModelFile,
    check: Check,
    output_sizes: OutputSizes | None,
    traced_sizes: TracedSizes | None,
) -> tuple[ModelFile, tuple[Finding, ...]]:
    """Repair what is not right at every size while sizes are open: later that does not show.

    Returns:
        `file` itself where there is nothing to repair, and what is or may be wrong in it.
    """
    result = rewrite(model, check=check, output_sizes=output_sizes, traced_sizes=traced_sizes)
    findings = result.report.findings
    suspect = tuple(f for f in findings if f.repair or f.level != "note" or not f.op)
    repaired = any(finding.repair for finding in suspect)
    return (result._file if repaired else file), suspect


def _told(
    file: ModelFile, output_sizes: OutputSizes | None, traced_sizes: TracedSizes | None
) -> lift.Hints:
    sizes = {name: tuple(size) for name, size in (output_sizes or {}).items()}
    traced = {name: tuple(shape) for name, shape in (traced_sizes or {}).items()}
    frozen_sizes.check(file, sizes, traced)
    return lift.Hints(output_sizes=sizes, traced=traced)


def _find(
    scope: Scope, told: lift.Hints, *, for_kernel: bool
) -> tuple[list[lift.Construct], list[lift.Declined]]:
    hints = dataclasses.replace(told, origins=origins(scope))
    try:
        return lift.find(scope.graph, scope.opset, hints, for_kernel=for_kernel)
    except lift.WrongHint as error:
        raise ArgumentError(str(error)) from error


def _strategy(asked: str, target: targets.Target | None) -> str:
    return target.strategy if target and asked == "auto" else asked


@dataclasses.dataclass(frozen=True)
class _Job:
    """A construct that was rewritten: the number of its scope and of its finding."""

    scope: int
    finding: int
    probe: Probe | None


def _imported_anew(file: ModelFile) -> ModelFile:
    """The result as a runtime would see it."""
    result = file.reimported()
    shapes.infer(result)
    return result


def _check(result: ModelFile, jobs: list[_Job], findings: list[Finding], bodies: Bodies) -> None:
    """Compare every changed region of the result, imported anew, with what it was."""
    for job in jobs:
        if job.probe is not None:
            scope = result.scopes[job.scope]
            errors = job.probe.compare(scope.graph, scope.opset, bodies.all)
            findings[job.finding] = dataclasses.replace(
                findings[job.finding], error_before=errors.before, error_after=errors.after
            )


def _add_bodies(file: ModelFile, bodies: Bodies) -> list[str]:
    """Give the model the bodies that it needs; return what to tell about it."""
    if not bodies.added:
        return []
    notes = []
    ir_version = file.proto.ir_version
    file.set_functions([*file.proto.functions, *bodies.added.values()])
    if file.proto.ir_version != ir_version:
        notes.append(f"IR version {ir_version} → {file.proto.ir_version}, the first with functions")
    if missing := kernels_missing():
        notes.append(f"checked without the kernels: {missing}")
    return notes


def _load(model: Model) -> ModelFile:
    register_schemas()
    file = ModelFile.of(model)
    shapes.infer(file)
    return file


def _name(model: Model) -> str:
    return "" if isinstance(model, onnx.ModelProto) else os.fspath(model)


def _summary(model: onnx.ModelProto) -> Summary:
    functions = (function for function in model.functions if not is_body(function))
    nodes = [*model.graph.node, *(n for f in functions for n in f.node)]
    return Summary.of(node.op_type for node in with_bodies(nodes))


def _notes(file: ModelFile) -> tuple[str, ...]:
    scopes = (scope for scope in file.scopes if not is_body(scope.proto))
    notes = ((s.name, note) for s in scopes for note in (s.shape_note, lift.note(s.graph)))
    return tuple(f"{name}: {note}" for name, note in notes if note)


def _check_output(to: str, strategy: str, target: str | None) -> None:
    _check_choice("output", to, OUTPUTS)
    _check_choice("strategy", strategy, lower.STRATEGIES)
    if to == "custom-op" and (target or strategy != "auto"):
        option = f"target {target}" if target else f"strategy {strategy}"
        raise ArgumentError(
            f"{option} is for standard ops; custom ops are for ONNX Runtime, so leave it out"
        )


def _check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ArgumentError(f"unknown {name} {value!r}; use {', '.join(choices)}")
