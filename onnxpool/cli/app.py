"""The command line. Exit status: 0 done, 1 a check failed, 2 the call cannot be used."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import onnxpool
from onnxpool.cli import options as opt
from onnxpool.cli import terminal
from onnxpool.errors import ArgumentError, CheckError, OnnxpoolError, OutputError

if TYPE_CHECKING:
    from onnxpool.model.file import Progress as CopyProgress
    from onnxpool.pipeline.report import Report
    from onnxpool.pipeline.rewrite import Result

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Make pooling in exported ONNX models right, portable and fast.",
)


@app.command()
def rewrite(
    paths: opt.SourcesAndOut,
    to: opt.To = "standard",
    strategy: opt.Strategy = "auto",
    target: opt.Target = None,
    opset: opt.Opset = None,
    input_shapes: opt.InputShapes = None,
    output_sizes: opt.OutputSizes = None,
    traced_sizes: opt.TracedSizes = None,
    no_repair: opt.NoRepair = False,
    check: opt.Check = "regions",
    reference: opt.ValidatedAgainst = None,
    weights: opt.Weights = None,
    seed: opt.Seed = 0,
    json_file: opt.Json = None,
) -> None:
    """Find the pooling of a model and write it as standard ONNX ops, or as custom ops."""
    from onnxpool.cli import batch
    from onnxpool.pipeline.frozen_sizes import parse_output_sizes, parse_traced_sizes
    from onnxpool.pipeline.input_shapes import parse_all

    if len(paths) < 2:
        raise ArgumentError(f"where should {paths[0]} go? Give IN and OUT")
    pairs = batch.pair_paths(paths[:-1], paths[-1])
    work = functools.partial(
        _rewrite_file,
        to=to,
        strategy=strategy,
        target=target,
        opset=opset,
        input_shapes=parse_all(input_shapes or ()),
        repair=not no_repair,
        output_sizes=parse_output_sizes(output_sizes or ()),
        traced_sizes=parse_traced_sizes(traced_sizes or ()),
        check=check,
    )
    if len(paths) > 2 or paths[0].is_dir():
        if reference is not None:
            raise ArgumentError("--reference goes with one model; call rewrite for each")
        _run_many(functools.partial(work, make_folder=True), pairs, json_file)
        return
    if reference is not None:
        compare = functools.partial(
            _validate_result, reference=reference, weights=weights, seed=seed, json_file=json_file
        )
        work = functools.partial(work, compare=compare)
    with terminal.copying() as progress:
        report = work(*pairs[0], progress=progress)
    _tell([report], json_file)
    if not report.rewritten and not report.changes and report.opset == report.opset_before:
        source, copy = pairs[0]
        terminal.console(json_file).print(f"nothing to rewrite: {copy} is a copy of {source}")


@app.command()
def inspect(
    paths: opt.Sources,
    to: opt.To = "standard",
    strategy: opt.Strategy = "auto",
    target: opt.Target = None,
    output_sizes: opt.OutputSizes = None,
    traced_sizes: opt.TracedSizes = None,
    fail_on: opt.FailOn = None,
    json_file: opt.Json = None,
) -> None:
    """Say what pooling is in a model, in which form, and what `rewrite` would make of it."""
    from onnxpool.cli import batch
    from onnxpool.pipeline.frozen_sizes import parse_output_sizes, parse_traced_sizes

    work = functools.partial(
        _inspect_file,
        to=to,
        strategy=strategy,
        target=target,
        output_sizes=parse_output_sizes(output_sizes or ()),
        traced_sizes=parse_traced_sizes(traced_sizes or ()),
    )
    if len(paths) > 1 or paths[0].is_dir():
        _run_many(work, batch.pair_paths(paths, Path()), json_file, fail_on)
    else:
        report = work(paths[0], None)
        _tell([report], json_file)
        raise typer.Exit(_failing([report], fail_on))


@app.command()
def validate(
    model: opt.JudgedModel,
    reference: opt.Reference,
    shapes: opt.ComparedShapes = None,
    weights: opt.Weights = None,
    seed: opt.Seed = 0,
    tolerance: opt.Tolerance = None,
    library: opt.Kernels = True,
    json_file: opt.Json = None,
) -> None:
    """Compare a model with its source, at the sizes and on the values where pooling goes wrong."""
    from onnxpool.cli import display
    from onnxpool.inputs.sizes import parse
    from onnxpool.validation.compare import validate as compare

    with terminal.counting("sizes") as progress:
        validation = compare(
            model,
            reference,
            shapes=[parse(text) for text in shapes or ()],
            weights=weights,
            seed=seed,
            tolerance=tolerance,
            library=library,
            progress=progress,
        )
    display.show_validation(validation, terminal.console(json_file))
    terminal.write_json(validation.to_json(), json_file)
    raise typer.Exit(0 if validation.passed else 1)


@app.command()
def bench(
    models: opt.TimedModels,
    shapes: opt.TimedShapes = None,
    threads: opt.Threads = None,
    runs: opt.Runs = 31,
    torch: opt.TimedModule = None,
    openvino: opt.OpenVINO = False,
    floor: opt.Floor = True,
    seed: opt.Seed = 0,
    json_file: opt.Json = None,
) -> None:
    """Time models in ONNX Runtime side by side: read the ratios, not the milliseconds."""
    from onnxpool.benchmark import bench as time_in_turns
    from onnxpool.cli import display
    from onnxpool.inputs.sizes import parse

    with terminal.counting("rounds") as progress:
        result = time_in_turns(
            models,
            threads=threads or (1,),
            shapes=[parse(text) for text in shapes or ()],
            runs=runs,
            torch=torch,
            openvino=openvino,
            floor=floor,
            seed=seed,
            progress=progress,
        )
    display.show_bench(result, terminal.console(json_file))
    terminal.write_json(result.to_json(), json_file)


@app.command()
def export(
    source: opt.Source,
    out: opt.Out,
    shapes: opt.ExampleShapes = None,
    dynamic: opt.Dynamic = False,
    to: opt.To = "standard",
    opset: opt.ExportedOpset = None,
    exporter: opt.Exporter = "dynamo",
    weights: opt.Weights = None,
    seed: opt.Seed = 0,
    strategy: opt.Strategy = "auto",
    json_file: opt.Json = None,
) -> None:
    """Export a PyTorch module with pooling that is right at every size."""
    from onnxpool.exporters.command import export_source
    from onnxpool.inputs.sizes import parse

    report = export_source(
        source,
        out,
        shapes=[parse(text) for text in shapes or ()],
        dynamic=dynamic,
        weights=weights,
        seed=seed,
        to=to,
        opset=opset,
        exporter=exporter,
        strategy=strategy,
    )
    _tell([report], json_file)


@app.command()
def targets(name: opt.TargetName = None, json_file: opt.Json = None) -> None:
    """List the runtimes that `rewrite --target` writes for, and what each one gets."""
    from onnxpool.cli import display
    from onnxpool.targets import TARGETS, find

    console = terminal.console(json_file)
    if name:
        target = find(name)
        display.show_target(target, console)
        terminal.write_json(target.to_json(), json_file)
    else:
        display.show_targets(list(TARGETS), console)
        terminal.write_json([target.to_json() for target in TARGETS], json_file)


@app.command()
def ops(library: opt.LibraryPath = False) -> None:
    """List the ops of domain onnxpool, and say where the library with their kernels is."""
    from onnxpool.cli import display
    from onnxpool.ops import DIALECT, library_path

    if library:
        typer.echo(library_path())
    else:
        display.show_ops(DIALECT, terminal.console())


@app.callback(invoke_without_command=True)
def _version(version: opt.Version = False) -> None:
    if version:
        typer.echo(f"onnxpool {onnxpool.__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line: a user's mistake is one line on stderr and exit status 2."""
    try:
        status = app(standalone_mode=False)
    except OnnxpoolError as error:
        _fail(str(error), error.exit_status)
    except typer.TyperException as error:
        _fail(error.format_message(), 2)
    except (typer.Abort, KeyboardInterrupt):
        _fail("interrupted; nothing was written", 130)
    else:
        sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> None:
    terminal.complain(message)
    sys.exit(status)


def _rewrite_file(
    source: Path,
    copy: Path,
    *,
    make_folder: bool = False,
    compare: Callable[[Result], None] | None = None,
    progress: CopyProgress | None = None,
    **options: Any,
) -> Report:
    from onnxpool.pipeline.rewrite import rewrite

    result = rewrite(source, **options)
    if compare is not None:
        compare(result)
    if make_folder:
        _make_folder(copy.parent)
    result.save(copy, progress)
    return result.report


def _validate_result(
    result: Result, *, reference: str, weights: Path | None, seed: int, json_file: Path | None
) -> None:
    """Print how the result compares with its source; end here if it is wrong."""
    from onnxpool.cli import display

    with terminal.counting("sizes") as progress:
        validation = result.validate(reference, weights=weights, seed=seed, progress=progress)
    display.show_validation(validation, terminal.console(json_file))
    if not validation.passed:
        raise CheckError(f"the rewritten model is not what {reference} computes; nothing written")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror}") from error


def _inspect_file(source: Path, _copy: Path | None, **options: Any) -> Report:
    from onnxpool.pipeline.rewrite import inspect

    return inspect(source, **options)


def _run_many(
    work: Callable[..., Report],
    pairs: Sequence[tuple[Path, Path]],
    json_file: Path | None,
    fail_on: str | None = None,
) -> None:
    from onnxpool.cli import batch

    outcomes: list[batch.Outcome] = []
    with terminal.counting("models") as progress:
        for outcome in batch.run(work, pairs):
            outcomes.append(outcome)
            progress(len(outcomes), len(pairs))
    outcomes.sort(key=lambda outcome: outcome.source)
    reports = [o.report for o in outcomes if o.report is not None]
    _tell(reports, json_file)
    for outcome in outcomes:
        if outcome.error:
            terminal.complain(outcome.error)
    statuses = [outcome.exit_status for outcome in outcomes]
    raise typer.Exit(max(*statuses, _failing(reports, fail_on)))


def _failing(reports: Sequence[Report], level: str | None) -> int:
    """The exit status for findings that are as bad as `level`."""
    from onnxpool.pipeline.report import LEVELS

    bad = LEVELS[LEVELS.index(level) :] if level else ()
    return int(any(finding.level in bad for r in reports for finding in r.findings))


def _tell(reports: Sequence[Report], json_file: Path | None) -> None:
    from onnxpool.cli import display

    console = terminal.console(json_file)
    for report in reports:
        display.show(report, console)
    facts = [report.to_json() for report in reports]
    terminal.write_json(facts[0] if len(facts) == 1 else facts, json_file)
