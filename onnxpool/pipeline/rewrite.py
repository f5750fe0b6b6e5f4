"""From one model to another, each step in a module of its own.

load            model/file, model/shapes
fix sizes       input_shapes, after a repair of what would not show any more
find and plan   see_through, survey
rewrite         survey, upsampling; then conform, for the target and the opset
splice          model/splice, model/declared_shapes
check           survey, conform, check, loading
write           model/file, model/output
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import onnx

from onnxpool import steps
from onnxpool.errors import ArgumentError, ModelError, NoOpsetError, check_choice
from onnxpool.model import declared_shapes, kinds, shapes
from onnxpool.model.bodies import with_bodies
from onnxpool.model.external_data import locations
from onnxpool.model.file import ModelFile
from onnxpool.model.functions import drop_uncalled, uses_dialect
from onnxpool.model.kinds import Plain
from onnxpool.model.output import Progress
from onnxpool.model.placement import Way
from onnxpool.ops import InvalidOp, register_schemas
from onnxpool.pipeline import (
    conform,
    freeze_inputs,
    frozen_sizes,
    in_target,
    loading,
    report,
    upsampling,
)
from onnxpool.pipeline import input_shapes as input_shapes_
from onnxpool.pipeline.check import check_whole_model
from onnxpool.pipeline.frozen_sizes import OutputSizes, Restore, TracedSizes
from onnxpool.pipeline.input_shapes import InputShapes
from onnxpool.pipeline.report import Finding, Report, Summary
from onnxpool.pipeline.see_through import see_through
from onnxpool.pipeline.survey import Goal, Pooling, survey
from onnxpool.rewrites.graph import limits
from onnxpool.rewrites.graph.run import kernels_missing
from onnxpool.rewrites.graph.verify import verify
from onnxpool.rewrites.lift import aten_fallback
from onnxpool.rewrites.lower.function_body import Bodies, is_body
from onnxpool.rewrites.repair.hints import Hints
from onnxpool.targets import Target, find

if TYPE_CHECKING:
    from torch import nn

    from onnxpool.model.kinds import Model
    from onnxpool.validation.compare import Validation
    from onnxpool.validation.source import Source

    SourceArgument = str | os.PathLike[str] | nn.Module | Source

Check = Literal["regions", "full", "none"]


@dataclasses.dataclass(frozen=True)
class Result:
    """A rewritten model, not yet written.

    Attributes:
        report: what was found and done.
    """

    report: Report
    _file: ModelFile
    _given: Any = None

    @property
    def model(self) -> onnx.ModelProto:
        """The model; its external tensors refer to files in the folder of the input."""
        self._file.fill()
        return self._file.proto

    def as_given(self) -> Any:
        """The model in the kind that `rewrite` was given: bytes, a ModelProto, an ONNXProgram of
        torch or an onnx_ir.Model; a ModelProto where that was a path.

        Raises:
            OutputError: bytes were given, and the result is larger than a file can hold.
        """
        data = self.serialize() if isinstance(self._given, bytes) else None
        return kinds.like(self._given, self.model, data, self.data_folder)

    def validate(self, reference: Any, **options: Any) -> Validation:
        """Compare the model with its source, before it is written: `onnxpool.validate`."""
        from onnxpool.validation.compare import validate

        self._file.fill()
        return validate(self._file.reimported(), reference, **options)

    def run_in_target(
        self,
        python: str | os.PathLike[str] | None = None,
        *,
        time_limit: float | None = None,
        memory_limit: int | None = None,
    ) -> Result:
        """Run the model in the runtime of its target, in a process of its own.

        Args:
            python: an interpreter that has the runtime; None: this one, if it has.
            time_limit, memory_limit: as `rewrite` takes them, for that process.

        Returns:
            The same, with what became of it in the report.

        Raises:
            TargetError: the runtime does not load or run it.
            CheckError: it gives other values than ONNX Runtime.
            ArgumentError: the model has no target, or `python` does not have the runtime.
        """
        if not self.report.target:
            raise ArgumentError("a model runs in the runtime of its target: name one")
        interpreter = None if python is None else Path(python)
        with limits.within(time_limit, memory_limit):
            run = in_target.run(self._file, find(self.report.target), interpreter)
        return dataclasses.replace(self, report=dataclasses.replace(self.report, in_target=run))

    def save(
        self,
        path: str | os.PathLike[str],
        progress: Progress | None = None,
        weights: Way = "copy",
    ) -> bool:
        """Write the model, and bring its external data to it; all of it or nothing.

        Args:
            progress: called while a file is copied.
            weights: what becomes of external data, where `path` is in another folder. "copy": it
                is copied, by sharing its blocks where the file system can; what is there already
                is not. "link": its file gets a second name. "reference": it stays where it is,
                which has to be below the folder of `path`.

        Returns:
            Whether the file holds the bytes that the model was read from.

        Raises:
            OutputError: `path` cannot be written, or the weights cannot come there so.
        """
        return self._file.save(path, progress, weights)

    def serialize(self) -> bytes:
        """The model as a file holds it; its external data is not in there.

        Raises:
            OutputError: it is larger than a file can hold.
        """
        return self._file.serialize()

    @property
    def data_folder(self) -> Path | None:
        """Where the external data of the model is; None where it has none."""
        return self._file.path.parent if locations(self._file.proto) else None


def inspect(
    model: Model,
    *,
    to: str = "standard",
    strategy: str = "auto",
    target: str | None = None,
    freeze_inputs: str | Sequence[str] = (),
    repair: bool = True,
    output_sizes: OutputSizes | None = None,
    traced_sizes: TracedSizes | None = None,
    time_limit: float | None = None,
    memory_limit: int | None = None,
) -> Report:
    """Find the pooling of a model, change nothing.

    Args:
        model: a path, bytes, a ModelProto, an ONNXProgram of torch or an onnx_ir.Model.
        to: what `rewrite` would make of it: "standard" or "custom-op".
        strategy: how `rewrite` would lower it: one of "auto", "matmul", "slice", "pool".
        target: name of a runtime; the report says what it would not take of the model.
        freeze_inputs, repair, output_sizes, traced_sizes, time_limit, memory_limit: as `rewrite`
            takes them.

    Raises:
        OnnxpoolError: the model or an argument cannot be used.
    """
    plain = kinds.plain(model)
    with limits.within(time_limit, memory_limit):
        try:
            return _inspect(
                plain, to, strategy, target, freeze_inputs, repair, output_sizes, traced_sizes
            )
        except NoOpsetError as reason:
            return _copy(plain, reason).report


def _inspect(
    model: Plain,
    to: str,
    strategy: str,
    target: str | None,
    frozen_inputs: str | Sequence[str],
    repair: bool,
    output_sizes: OutputSizes | None,
    traced_sizes: TracedSizes | None,
) -> Report:
    goal = Goal.of(to, strategy, target, repair=repair)
    file = freeze_inputs.freeze(load(model), frozen_inputs)
    summary = _summary(file.proto)
    told = frozen_sizes.told(file, output_sizes, traced_sizes)
    seen = see_through(file, goal, told)
    file = seen.file
    poolings = survey(file, goal, told, Bodies(file.proto.functions))
    findings = tuple(finding for pooling in poolings for finding in pooling.findings)
    notes = [*_notes(file), *seen.notes]
    # To load it takes longer than to inspect it: it is asked where something is to be done.
    if any(finding.level == "warning" for finding in findings):
        notes += filter(None, [loading.note(model, file)])
    return Report(
        model=_name(model),
        opset=file.opset,
        findings=findings,
        before=summary,
        after=summary,
        notes=tuple(notes),
        target=target or "",
        opset_before=file.opset,
        refusals=tuple(conform.refusals(file, goal.target)),
    )


def rewrite(
    model: Model,
    *,
    to: str = "standard",
    strategy: str = "auto",
    target: str | None = None,
    opset: int | None = None,
    input_shapes: InputShapes | None = None,
    freeze_inputs: str | Sequence[str] = (),
    repair: bool = True,
    output_sizes: OutputSizes | None = None,
    traced_sizes: TracedSizes | None = None,
    restore: Restore | None = None,
    reference: SourceArgument | None = None,
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
    check: Check = "regions",
    time_limit: float | None = None,
    memory_limit: int | None = None,
) -> Result:
    """Rewrite the pooling of a model as standard ONNX ops, or as custom ops.

    Args:
        model: a path, bytes, a ModelProto, an ONNXProgram of torch or an onnx_ir.Model, which is
            not changed; `Result.as_given` gives the same kind back.
        to: "standard", or "custom-op": ops of domain onnxpool, each with a function body, which
            ONNX Runtime runs where the library of kernels is not registered (`onnxpool.session`).
        strategy: "auto" takes the fastest form (see rewrites/lower); "matmul", "slice" and "pool"
            name the ops that averages are built of.
        target: name of a runtime (see onnxpool/targets) that takes the result; it then decides the
            strategy, unless one is named, and the opset.
        opset: of the result; by default that of the model, or the greatest that the target takes.
        input_shapes: per input name the shape to fix it at; what is constant then is folded.
        freeze_inputs: names of initializers that are inputs as well, or "all": they become
            constant. As inputs, a caller may give others, so no pooling is proven with them.
        repair: restore what the source computes where the graph is right at some sizes only, as
            dynamic exports are; the report says at which sizes it was wrong. Else such pooling is
            left, with a warning.
        output_sizes: per name of a node whose windows were frozen at the traced size, or "*", the
            output size of its source: a number per pooled axis or one for all, -1 keeps an axis.
        traced_sizes: per name of an input, its shape when the model was traced.
        restore: per name of a strided pool that stands in the place of an adaptive one, the output
            size of that; "*" with an empty one: all that the report warns of.
        reference: the PyTorch source of the model: "file.py:name", "pkg.mod:name", a .pt2 file or
            an nn.Module. It is run at several sizes, and what it pools to is what frozen windows
            become, the user's own words apart. The result is not compared with it: see
            `Result.validate`.
        weights: a state dict to load into the source.
        seed: of the inputs of the source, and of torch before it is built.
        check: "regions" runs every changed region before and after, "full" the whole model too.
        time_limit: seconds that one run of the model, or of a piece of it, may take; what takes
            longer is left, or not written. Default: what no real model needs.
        memory_limit: bytes that it may take, alike.

    Raises:
        CheckError: a region is not what it should be after the rewrite.
        TargetError: the target would not take the result.
        SourceError: the source cannot be loaded or run, or is not that of the model.
        OnnxpoolError: the model or an argument cannot be used.
    """
    task = _Task(
        to=to,
        strategy=strategy,
        target=target,
        opset=opset,
        input_shapes=input_shapes,
        freeze_inputs=freeze_inputs,
        repair=repair,
        output_sizes=output_sizes,
        traced_sizes=traced_sizes,
        restore=restore,
        reference=reference,
        weights=weights,
        seed=seed,
        check=check,
    )
    plain = kinds.plain(model)
    with limits.within(time_limit, memory_limit):
        try:
            made = _rewrite(plain, task)
        except NoOpsetError as reason:
            wanted = (target, opset, input_shapes, freeze_inputs, output_sizes, restore, reference)
            if any(wanted):
                raise
            made = _copy(plain, reason)
    return dataclasses.replace(made, _given=model)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Task:
    """The arguments of `rewrite` that say what is to be made of a model."""

    to: str
    strategy: str
    target: str | None
    opset: int | None
    input_shapes: InputShapes | None
    freeze_inputs: str | Sequence[str]
    repair: bool
    output_sizes: OutputSizes | None
    traced_sizes: TracedSizes | None
    restore: Restore | None
    reference: SourceArgument | None
    weights: str | os.PathLike[str] | None
    seed: int
    check: Check

    @property
    def probe(self) -> bool:
        return self.check != "none"

    def goal(self) -> Goal:
        return Goal.of(self.to, self.strategy, self.target, repair=self.repair)

    def source(self) -> Source | None:
        return _source(self.reference, self.weights, self.seed) if self.repair else None


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """A model with its inputs frozen and its sizes fixed, as far as is wanted.

    Attributes:
        told: what is told of its frozen windows.
        suspect: what was wrong while its sizes were open.
        fixed: per name of an input its shape before and after, in words.
        folded: the ops that are constants now.
        is_sized: whether its sizes were fixed, or what they make constant was folded.
        is_changed: whether it is not what it was.
    """

    file: ModelFile
    told: Hints
    source: Source | None
    suspect: tuple[Finding, ...]
    fixed: dict[str, str]
    folded: Counter[str]
    is_sized: bool
    is_changed: bool


def _rewrite(model: Plain, task: _Task) -> Result:
    goal = task.goal()
    check_choice("check", task.check, get_args(Check))
    came = load(model)
    _verify(came)
    opset_before, before = came.opset, _summary(came.proto)
    opset = conform.wanted_opset(came, goal.target, task.opset)
    prepared = _prepare(model, came, goal, task)
    seen = see_through(prepared.file, goal, prepared.told)
    file = seen.file
    had_dialect = uses_dialect(file.proto)
    bodies = Bodies(file.proto.functions, opset if opset != file.opset else None)
    told, left_open = _settled(file, prepared.told, prepared.source, task.seed)
    poolings = survey(file, goal, told, bodies, probe=task.probe)
    for pooling in poolings:
        pooling.rewrite()
    upsampled, upsampling_notes = upsampling.rewrite(poolings, goal, bodies, probe=task.probe)
    if opset != file.opset or goal.target:
        steps.at("fitting the opset and the target")
    jobs = conform.conform(file, goal.target, opset, probe=task.probe)
    changed = file.splice() or opset != file.opset or prepared.is_changed
    changed |= bool(bodies.added or seen.notes)
    if changed:
        declared_shapes.correct(file, [tensor for p in poolings for tensor in p.stale])
        file = _imported_anew(file)
    findings = _checked(poolings, file, bodies)
    changes = conform.check(file, [*upsampled, *jobs], bodies.all)
    notes: list[str] = []
    if changed:
        notes += _finish(file, bodies, had_dialect=had_dialect, sized=prepared.is_sized)
        notes += _run_whole(model, file, task.check)
    refusals = conform.accept(file, goal.target)
    made = Report(
        model=_name(model),
        opset=file.opset,
        findings=report.merged(prepared.suspect, findings),
        before=before,
        after=_summary(file.proto),
        notes=(*_notes(file), *seen.notes, *upsampling_notes, *notes, *left_open),
        target=task.target or "",
        changes=tuple(changes),
        opset_before=opset_before,
        refusals=tuple(refusals),
        fixed=prepared.fixed,
        folded=dict(prepared.folded),
        unchanged=file.is_unchanged,
    )
    return Result(made, file)


def _prepare(model: Plain, came: ModelFile, goal: Goal, task: _Task) -> _Prepared:
    file, source = freeze_inputs.freeze(came, task.freeze_inputs), task.source()
    suspect: tuple[Finding, ...] = ()
    output_sizes, traced_sizes = task.output_sizes, task.traced_sizes
    if task.input_shapes and task.repair:
        hints = {"output_sizes": output_sizes, "traced_sizes": traced_sizes, "reference": source}
        options = {"freeze_inputs": task.freeze_inputs, "check": task.check, "seed": task.seed}
        file, suspect = _repaired(model, file, **options, **hints)
        output_sizes = traced_sizes = source = None
    open_shapes, open_ops = input_shapes_.declared(file.proto), Counter(_summary(file.proto).ops)
    sized = _with_fixed_sizes(file, task.input_shapes, goal.target)
    fixed = {
        name: f"{open_shapes[name]} → {shape}"
        for name, shape in input_shapes_.declared(sized.proto).items()
        if shape != open_shapes[name]
    }
    return _Prepared(
        file=sized,
        told=frozen_sizes.told(sized, output_sizes, traced_sizes, task.restore),
        source=source,
        suspect=suspect,
        fixed=fixed,
        folded=open_ops - Counter(_summary(sized.proto).ops),
        is_sized=sized is not file,
        is_changed=sized is not came,
    )


def _checked(poolings: Sequence[Pooling], file: ModelFile, bodies: Bodies) -> list[Finding]:
    findings: list[Finding] = []
    for done, pooling in enumerate(poolings):
        steps.at("checking what was rewritten", done, len(poolings))
        findings += pooling.check(file, bodies)
    return findings


def _run_whole(model: Plain, file: ModelFile, check: Check) -> list[str]:
    """Run and load what was made of `model`; return what to tell about it.

    Raises:
        CheckError: it is not equal, or ONNX Runtime does not load it.
    """
    if check == "full":
        steps.at("checking the whole model")
        file.fill()
        check_whole_model(onnx.load_from_string(model) if isinstance(model, bytes) else model, file)
    if check == "none":
        return []
    steps.at("loading the result")
    return loading.check_loading(model, file)


def _copy(model: Plain, reason: NoOpsetError) -> Result:
    """The model as it came: what its ops do is not known."""
    file = ModelFile.to_copy(model)
    summary = _summary(file.proto)
    note = f"{reason}; so what its ops do is not known, and it is left as it is"
    made = Report(_name(model), 0, (), summary, summary, (note,), unchanged=file.is_unchanged)
    return Result(made, file)


def _source(
    reference: SourceArgument | None, weights: str | os.PathLike[str] | None, seed: int
) -> Source | None:
    """The PyTorch source that is given, if one is.

    Raises:
        ArgumentError: it is an .onnx file, or there are weights and nothing to load them into.
        SourceError: it cannot be loaded.
    """
    if reference is None:
        if weights is not None:
            raise ArgumentError("weights are loaded into a PyTorch source; give a reference")
        return None
    from onnxpool.validation.source import as_source, is_source

    if isinstance(reference, str | os.PathLike) and not is_source(os.fspath(reference)):
        raise ArgumentError(
            f"{os.fspath(reference)} names no PyTorch source to take sizes from; a rewritten model "
            "is compared with another .onnx, or an .npz file, by onnxpool validate"
        )
    return as_source(reference, weights, seed)


def _settled(
    file: ModelFile, told: Hints, source: Source | None, seed: int
) -> tuple[Hints, tuple[str, ...]]:
    """What is told of a model, with what its source shows; and what that leaves open."""
    if source is None:
        return told, ()
    from onnxpool.validation.match_pools import settle

    steps.at("running the source")
    settled = settle(file, source, seed)
    return dataclasses.replace(told, known={**settled.known, **told.known}), settled.notes


def _repaired(
    model: Plain, file: ModelFile, **options: Any
) -> tuple[ModelFile, tuple[Finding, ...]]:
    """Repair what is not right at every size while sizes are open: later that does not show.

    Args:
        options: those of `rewrite` that a repair needs.

    Returns:
        `file` itself where there is nothing to repair, and what is or may be wrong in it.
    """
    result = rewrite(model, **options)
    findings = result.report.findings
    suspect = tuple(f for f in findings if f.repair or f.level != "note" or not f.op)
    repaired = any(finding.repair for finding in suspect)
    return (result._file if repaired else file), suspect


def _with_fixed_sizes(
    file: ModelFile, input_shapes: InputShapes | None, target: Target | None
) -> ModelFile:
    """The model with its open sizes fixed and folded, as far as is wanted; else `file` itself."""
    if input_shapes:
        return input_shapes_.fix(file, input_shapes)
    if target and not target.dynamic:
        return input_shapes_.fold(file)
    return file


def _imported_anew(file: ModelFile) -> ModelFile:
    """The result as a runtime would see it."""
    result = file.reimported()
    shapes.infer(result)
    return result


def _finish(file: ModelFile, bodies: Bodies, *, had_dialect: bool, sized: bool) -> list[str]:
    """Complete the proto of a spliced model with what is no node; return what to tell about it."""
    notes = _add_bodies(file, bodies) if bodies.added else []
    if had_dialect:
        drop_uncalled(file)
    if sized:
        input_shapes_.declare_sizes(file)
    file.check()
    return notes


def _add_bodies(file: ModelFile, bodies: Bodies) -> list[str]:
    notes = []
    ir_version = file.proto.ir_version
    file.set_functions([*file.proto.functions, *bodies.added.values()])
    if file.proto.ir_version != ir_version:
        notes.append(f"IR version {ir_version} → {file.proto.ir_version}, the first with functions")
    if missing := kernels_missing():
        notes.append(f"checked without the kernels: {missing}")
    return notes


def load(model: Plain) -> ModelFile:
    """A model with inferred shapes, its weights not read."""
    register_schemas()
    steps.at("reading the model")
    file = ModelFile.of(model, whole=False)
    steps.at("inferring shapes")
    shapes.infer(file)
    return file


def _verify(file: ModelFile) -> None:
    """Refuse dialect nodes that no op takes; `inspect` says of each what is wrong."""
    for scope in file.scopes:
        try:
            verify(scope.graph)
        except InvalidOp as error:
            raise ModelError(f"{file.path} is not a valid model: {scope.name}, {error}") from error


def _name(model: Plain) -> str:
    return "" if isinstance(model, bytes | onnx.ModelProto) else os.fspath(model)


def _summary(model: onnx.ModelProto) -> Summary:
    functions = (function for function in model.functions if not is_body(function))
    nodes = [*model.graph.node, *(n for f in functions for n in f.node)]
    return Summary.of(node.op_type for node in with_bodies(nodes))


def _notes(file: ModelFile) -> tuple[str, ...]:
    scopes = (scope for scope in file.scopes if not is_body(scope.proto))
    notes = ((s.name, note) for s in scopes for note in (s.shape_note, aten_fallback.note(s.graph)))
    told = [f"{name}: {note}" for name, note in notes if note]
    return tuple(filter(None, [*told, freeze_inputs.note(file)]))
