"""The passes in order: lift, verify, lower, splice, check."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

import onnx
import onnx_graphsurgeon as gs

from onnxpool import conform, declared_shapes, report, shapes, targets
from onnxpool import input_shapes as input_shapes_
from onnxpool.check import Probe, check_whole_model
from onnxpool.errors import ArgumentError
from onnxpool.input_shapes import InputShapes
from onnxpool.model_file import ModelFile, Progress
from onnxpool.ops import register_schemas
from onnxpool.report import Action, Finding, Report, Summary
from onnxpool.rewrites import lift, lower
from onnxpool.rewrites.plan import plan
from onnxpool.rewrites.verify import verify
from onnxpool.scope import Scope, bodies

if TYPE_CHECKING:
    from onnxpool.validation import Validation

Check = Literal["regions", "full", "none"]
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
    strategy: str = "auto",
    target: str | None = None,
    repair: bool = True,
) -> Report:
    """Find the pooling of a model, change nothing.

    Args:
        model: a path or a model.
        strategy: how `rewrite` would lower it: one of "auto", "matmul", "slice", "pool".
        target: name of a runtime; the report says what it would not take of the model.
        repair: as `rewrite` takes it.

    Raises:
        OnnxpoolError: the model or an argument cannot be used.
    """
    _check_choice("strategy", strategy, lower.STRATEGIES)
    runtime = targets.find(target) if target else None
    strategy = _strategy(strategy, runtime)
    file = _load(model)
    findings: list[Finding] = []
    for scope in file.scopes:
        constructs, declined = lift.find(scope.graph, scope.opset)
        for construct in constructs:
            planned = plan(construct, scope.opset, strategy, repair=repair)
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
    strategy: str = "auto",
    target: str | None = None,
    opset: int | None = None,
    input_shapes: InputShapes | None = None,
    repair: bool = True,
    check: Check = "regions",
) -> Result:
    """Rewrite the pooling of a model as standard ONNX ops.

    Args:
        model: a path or a model; a model is not changed.
        strategy: "auto" takes the fastest form (see rewrites/lower); "matmul", "slice" and "pool"
            name the ops that averages are built of.
        target: name of a runtime (see onnxpool/targets) that takes the result; it then decides the
            strategy, unless one is named, and the opset.
        opset: of the result; by default that of the model, or the greatest that the target takes.
        input_shapes: per input name the shape to fix it at; what is constant then is folded.
        repair: restore what the source computes where the graph is right at some sizes only, as
            dynamic exports are; the report says at which sizes it was wrong. Else such pooling is
            left, with a warning.
        check: "regions" runs every changed region before and after, "full" the whole model too.

    Raises:
        CheckError: a region is not what it should be after the rewrite.
        TargetError: the target would not take the result.
        OnnxpoolError: the model or an argument cannot be used.
    """
    _check_choice("strategy", strategy, lower.STRATEGIES)
    _check_choice("check", check, get_args(Check))
    runtime = targets.find(target) if target else None
    strategy = _strategy(strategy, runtime)
    file = _load(model)
    if input_shapes:
        file = input_shapes_.fix(file, input_shapes)
    opset_before = file.opset
    wanted_opset = conform.wanted_opset(file, runtime, opset)
    before = _summary(file.proto)
    jobs: list[_Job] = []
    stale: list[tuple[Scope, str]] = []
    findings: list[Finding] = []
    for number, scope in enumerate(file.scopes):
        constructs, declined = lift.find(scope.graph, scope.opset)
        nodes: list[gs.Node] = []
        for construct in constructs:
            planned = plan(construct, scope.opset, strategy, repair=repair)
            action: Action = "rewritten" if planned.better else "left"
            findings.append(report.of_construct(scope.name, construct, action, planned.detail))
            if planned.better:
                probe = Probe(construct, scope.opset) if check != "none" else None
                jobs.append(_Job(number, len(findings) - 1, probe))
                if construct.stale_shapes or construct.repair:
                    stale += [(scope, region.y.name) for region in construct.found]
                nodes.append(lift.replace(scope.graph, construct))
        verify(scope.graph)
        for node in nodes:
            lower.lower(scope.graph, node, scope.opset, strategy)
        findings += [report.of_declined(scope.name, region) for region in declined]
    conforming = conform.conform(file, runtime, wanted_opset, probe=check != "none")
    changed = file.splice() or wanted_opset != file.opset or bool(input_shapes)
    if changed:
        declared_shapes.correct(file, stale)
        file = _imported_anew(file)
        _check(file, jobs, findings)
        if check == "full":
            check_whole_model(model, file)
    refusals = conform.refusals(file, runtime) if runtime else []
    if runtime:
        conform.refuse(refusals, runtime)
    if input_shapes:
        input_shapes_.declare_sizes(file)
    made = Report(
        _name(model),
        file.opset,
        tuple(findings),
        before,
        _summary(file.proto),
        _notes(file),
        target or "",
        opset_before,
        tuple(conform.check(file, conforming)),
        tuple(refusals),
    )
    return Result(made, file)


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


def _check(result: ModelFile, jobs: list[_Job], findings: list[Finding]) -> None:
    """Compare every changed region of the result, imported anew, with what it was."""
    for job in jobs:
        if job.probe is not None:
            scope = result.scopes[job.scope]
            errors = job.probe.compare(scope.graph, scope.opset)
            findings[job.finding] = dataclasses.replace(
                findings[job.finding], error_before=errors.before, error_after=errors.after
            )


def _load(model: Model) -> ModelFile:
    register_schemas()
    if isinstance(model, onnx.ModelProto):
        file = ModelFile.from_proto(model)
    else:
        file = ModelFile.load(model)
    shapes.infer(file)
    return file


def _name(model: Model) -> str:
    return "" if isinstance(model, onnx.ModelProto) else os.fspath(model)


def _summary(model: onnx.ModelProto) -> Summary:
    nodes = [*model.graph.node, *(n for f in model.functions for n in f.node)]
    return Summary.of(node.op_type for node in _with_bodies(nodes))


def _with_bodies(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for body in bodies(node):
            yield from _with_bodies(body.node)


def _notes(file: ModelFile) -> tuple[str, ...]:
    notes = ((s.name, note) for s in file.scopes for note in (s.shape_note, lift.note(s.graph)))
    return tuple(f"{name}: {note}" for name, note in notes if note)


def _check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ArgumentError(f"unknown {name} {value!r}; use {', '.join(choices)}")
