"""From one model to another, each step in a module of its own.

load            model/file, model/shapes
fix sizes       input_shapes, after a repair of what would not show any more
find and plan   survey
rewrite         survey; then conform, for the target and the opset
splice          model/splice, model/declared_shapes
check           survey, conform, check, loading
write           model/file, model/output
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import onnx

from onnxpool.errors import ArgumentError, ModelError, check_choice
from onnxpool.model import declared_shapes, shapes
from onnxpool.model.bodies import with_bodies
from onnxpool.model.external_data import locations
from onnxpool.model.file import ModelFile
from onnxpool.model.functions import drop_uncalled, uses_dialect
from onnxpool.model.output import Progress
from onnxpool.ops import InvalidOp, register_schemas
from onnxpool.pipeline import conform, frozen_sizes, report
from onnxpool.pipeline import input_shapes as input_shapes_
from onnxpool.pipeline.check import check_whole_model
from onnxpool.pipeline.frozen_sizes import OutputSizes, Restore, TracedSizes
from onnxpool.pipeline.input_shapes import InputShapes
from onnxpool.pipeline.loading import check_loading
from onnxpool.pipeline.report import Finding, Report, Summary
from onnxpool.pipeline.survey import Goal, survey
from onnxpool.rewrites.graph import limits
from onnxpool.rewrites.graph.run import kernels_missing
from onnxpool.rewrites.graph.verify import verify
from onnxpool.rewrites.lift import aten_fallback
from onnxpool.rewrites.lower.function_body import Bodies, is_body
from onnxpool.rewrites.repair.hints import Hints
from onnxpool.targets import Target

if TYPE_CHECKING:
    from torch import nn

    from onnxpool.validation.compare import Validation
    from onnxpool.validation.source import Source

    SourceArgument = str | os.PathLike[str] | nn.Module | Source

Check = Literal["regions", "full", "none"]
Model = str | os.PathLike[str] | bytes | onnx.ModelProto


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
        from onnxpool.validation.compare import validate

        return validate(self._file.reimported(), reference, **options)

    def save(self, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
        """Write the model, and its external data beside it; all of it or nothing.

        Raises:
            OutputError: `path` cannot be written.
        """
        self._file.save(path, progress)

    def serialize(self) -> bytes:
        """The model as a file holds it; its external data is not in there.

        Raises:
            OutputError: it is larger than a file can hold.
        """
        return self._file.serialize()

    @property
    def data_folder(self) -> Path | None:
        """Where the external data of the model is; None where it has none."""
        return self._file.path.parent if locations(self.model) else None


def inspect(
    model: Model,
    *,
    to: str = "standard",
    strategy: str = "auto",
    target: str | None = None,
    repair: bool = True,
    output_sizes: OutputSizes | None = None,
    traced_sizes: TracedSizes | None = None,
    time_limit: float | None = None,
    memory_limit: int | None = None,
) -> Report:
    """Find the pooling of a model, change nothing.

    Args:
        model: a path, a model, or a serialized one.
        to: what `rewrite` would make of it: "standard" or "custom-op".
        strategy: how `rewrite` would lower it: one of "auto", "matmul", "slice", "pool".
        target: name of a runtime; the report says what it would not take of the model.
        repair, output_sizes, traced_sizes, time_limit, memory_limit: as `rewrite` takes them.

    Raises:
        OnnxpoolError: the model or an argument cannot be used.
    """
    with limits.within(time_limit, memory_limit):
        return _inspect(model, to, strategy, target, repair, output_sizes, traced_sizes)


def _inspect(
    model: Model,
    to: str,
    strategy: str,
    target: str | None,
    repair: bool,
    output_sizes: OutputSizes | None,
    traced_sizes: TracedSizes | None,
) -> Report:
    goal = Goal.of(to, strategy, target, repair=repair)
    file = _load(model)
    told = frozen_sizes.told(file, output_sizes, traced_sizes)
    poolings = survey(file, goal, told, Bodies(file.proto.functions))
    summary = _summary(file.proto)
    return Report(
        model=_name(model),
        opset=file.opset,
        findings=tuple(finding for pooling in poolings for finding in pooling.findings),
        before=summary,
        after=summary,
        notes=_notes(file),
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
        model: a path, a model, which is not changed, or a serialized one.
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
    with limits.within(time_limit, memory_limit):
        return _rewrite(
            model,
            to,
            strategy,
            target,
            opset,
            input_shapes,
            repair,
            output_sizes,
            traced_sizes,
            restore,
            reference,
            weights,
            seed,
            check,
        )


def _rewrite(
    model: Model,
    to: str,
    strategy: str,
    target: str | None,
    opset: int | None,
    input_shapes: InputShapes | None,
    repair: bool,
    output_sizes: OutputSizes | None,
    traced_sizes: TracedSizes | None,
    restore: Restore | None,
    reference: SourceArgument | None,
    weights: str | os.PathLike[str] | None,
    seed: int,
    check: Check,
) -> Result:
    goal = Goal.of(to, strategy, target, repair=repair)
    check_choice("check", check, get_args(Check))
    probe = check != "none"
    file = _load(model)
    _verify(file)
    opset_before, before = file.opset, _summary(file.proto)
    opset = conform.wanted_opset(file, goal.target, opset)
    suspect: tuple[Finding, ...] = ()
    source = _source(reference, weights, seed) if repair else None
    if input_shapes and repair:
        hints = {"output_sizes": output_sizes, "traced_sizes": traced_sizes, "reference": source}
        file, suspect = _repaired(model, file, check=check, seed=seed, **hints)
        output_sizes = traced_sizes = source = None
    open_file, open_inputs = file, input_shapes_.declared(file.proto)
    open_ops = Counter(_summary(file.proto).ops)
    file = _with_fixed_sizes(file, input_shapes, goal.target)
    fixed = file is not open_file
    folded = open_ops - Counter(_summary(file.proto).ops)

    had_dialect = uses_dialect(file.proto)
    bodies = Bodies(file.proto.functions, opset if opset != file.opset else None)
    told = frozen_sizes.told(file, output_sizes, traced_sizes, restore)
    told, left_open = _settled(file, told, source, seed)
    poolings = survey(file, goal, told, bodies, probe=probe)
    for pooling in poolings:
        pooling.rewrite()
    jobs = conform.conform(file, goal.target, opset, probe=probe)

    changed = file.splice() or opset != file.opset or fixed or bool(bodies.added)
    if changed:
        declared_shapes.correct(file, [tensor for p in poolings for tensor in p.stale])
        file = _imported_anew(file)
    findings = [finding for pooling in poolings for finding in pooling.check(file, bodies)]
    changes = conform.check(file, jobs)
    notes = _finish(file, bodies, had_dialect=had_dialect, fixed=fixed) if changed else []
    if changed and check == "full":
        check_whole_model(onnx.load_from_string(model) if isinstance(model, bytes) else model, file)
    if changed and probe:
        notes += check_loading(model, file)
    refusals = conform.accept(file, goal.target)
    made = Report(
        model=_name(model),
        opset=file.opset,
        findings=report.merged(suspect, findings),
        before=before,
        after=_summary(file.proto),
        notes=(*_notes(file), *notes, *left_open),
        target=target or "",
        changes=tuple(changes),
        opset_before=opset_before,
        refusals=tuple(refusals),
        fixed={
            name: f"{open_inputs[name]} → {shape}"
            for name, shape in input_shapes_.declared(file.proto).items()
            if shape != open_inputs[name]
        },
        folded=dict(folded),
        unchanged=file.is_unchanged,
    )
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

    settled = settle(file, source, seed)
    return dataclasses.replace(told, known={**settled.known, **told.known}), settled.notes


def _repaired(
    model: Model, file: ModelFile, **options: Any
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


def _finish(file: ModelFile, bodies: Bodies, *, had_dialect: bool, fixed: bool) -> list[str]:
    """Complete the proto of a spliced model with what is no node; return what to tell about it."""
    notes = _add_bodies(file, bodies) if bodies.added else []
    if had_dialect:
        drop_uncalled(file)
    if fixed:
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


def _load(model: Model) -> ModelFile:
    register_schemas()
    file = ModelFile.of(model)
    shapes.infer(file)
    return file


def _verify(file: ModelFile) -> None:
    """Refuse dialect nodes that no op takes; `inspect` says of each what is wrong."""
    for scope in file.scopes:
        try:
            verify(scope.graph)
        except InvalidOp as error:
            raise ModelError(f"{file.path} is not a valid model: {scope.name}, {error}") from error


def _name(model: Model) -> str:
    return "" if isinstance(model, bytes | onnx.ModelProto) else os.fspath(model)


def _summary(model: onnx.ModelProto) -> Summary:
    functions = (function for function in model.functions if not is_body(function))
    nodes = [*model.graph.node, *(n for f in functions for n in f.node)]
    return Summary.of(node.op_type for node in with_bodies(nodes))


def _notes(file: ModelFile) -> tuple[str, ...]:
    scopes = (scope for scope in file.scopes if not is_body(scope.proto))
    notes = ((s.name, note) for s in scopes for note in (s.shape_note, aten_fallback.note(s.graph)))
    return tuple(f"{name}: {note}" for name, note in notes if note)
