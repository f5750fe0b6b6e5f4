"""The command line. Exit status: 0 done, 1 a check failed, 2 the call cannot be used."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
)

import onnxpool
from onnxpool.errors import ArgumentError, CheckError, OnnxpoolError, OutputError

if TYPE_CHECKING:
    from onnxpool.model_file import Progress as CopyProgress
    from onnxpool.pipeline import Result
    from onnxpool.report import Report

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Make pooling in exported ONNX models right, portable and fast.",
)


class Strategy(StrEnum):
    AUTO = "auto"
    MATMUL = "matmul"
    SLICE = "slice"
    POOL = "pool"


class Check(StrEnum):
    REGIONS = "regions"
    FULL = "full"
    NONE = "none"


class Output(StrEnum):
    STANDARD = "standard"
    CUSTOM_OP = "custom-op"


class FailOn(StrEnum):
    WARNING = "warning"
    ERROR = "error"


class Exporter(StrEnum):
    DYNAMO = "dynamo"
    TORCHSCRIPT = "torchscript"


StrategyOption = Annotated[
    Strategy,
    typer.Option(
        help="What averages and maxima are built of: the fastest form (auto), MatMul with "
        "constant matrices, Slice with ReduceMean or ReduceMax, or Slice with AveragePool or "
        "MaxPool (the most portable)."
    ),
]
CheckOption = Annotated[
    Check,
    typer.Option(
        help="Run every changed region before and after (regions), the whole model as well "
        "(full, reads the weights), or nothing (none)."
    ),
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Write for this runtime: `onnxpool targets` lists them.",
        show_default=False,
    ),
]
NoRepairOption = Annotated[
    bool,
    typer.Option(
        "--no-repair",
        help="Leave pooling that is right at some sizes only, as dynamic exports are, with a "
        "warning.",
    ),
]
ToOption = Annotated[
    Output,
    typer.Option(
        help="What pooling becomes: standard ONNX ops, or custom ops with a function body each, "
        "for ONNX Runtime with and without the library of kernels."
    ),
]
OutputSizeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NODE=7x7",
        help="What the source of a node pools to, whose windows were frozen at the traced size: "
        "7x7, 3xNone or global; '*' stands for all such nodes.",
    ),
]
TracedSizeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="INPUT=1x3x224x224",
        help="The shape of an input when the model was traced: it settles all frozen windows.",
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A state dict for the source: .pt, .pth or .safetensors."),
]
SeedOption = Annotated[
    int, typer.Option(help="Seeds torch before the source is built, and random inputs.")
]
JsonOption = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write the report as JSON too; - prints it."),
]


@app.command()
def rewrite(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN... OUT",
            help="A model and the file to write; or models, or a folder of them, and a folder.",
            show_default=False,
        ),
    ],
    to: ToOption = Output.STANDARD,
    strategy: StrategyOption = Strategy.AUTO,
    target: TargetOption = None,
    opset: Annotated[
        int | None,
        typer.Option(
            help="Opset of the result. Default: that of the model, or the greatest that the target "
            "takes.",
            show_default=False,
        ),
    ] = None,
    input_shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=1x3x224x224",
            help="Fix the sizes that an input leaves open, and fold what becomes constant; once "
            "per input.",
        ),
    ] = None,
    output_size: OutputSizeOption = None,
    traced_size: TracedSizeOption = None,
    no_repair: NoRepairOption = False,
    check: CheckOption = Check.REGIONS,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:NAME",
            help="Validate the result against its PyTorch source (or another .onnx) as well, as "
            "`onnxpool validate` does, and write it only if it is right.",
        ),
    ] = None,
    weights: WeightsOption = None,
    seed: SeedOption = 0,
    json_file: JsonOption = None,
) -> None:
    """Find the pooling of a model and write it as standard ONNX ops, or as custom ops."""
    from onnxpool import batch
    from onnxpool.frozen_sizes import parse_output_sizes, parse_traced_sizes
    from onnxpool.input_shapes import parse_all

    if len(paths) < 2:
        raise ArgumentError(f"where should {paths[0]} go? Give IN and OUT")
    pairs = batch.pair_paths(paths[:-1], paths[-1])
    work = functools.partial(
        _rewrite_file,
        to=to.value,
        strategy=strategy.value,
        target=target,
        opset=opset,
        input_shapes=parse_all(input_shape or ()),
        repair=not no_repair,
        output_sizes=parse_output_sizes(output_size or ()),
        traced_sizes=parse_traced_sizes(traced_size or ()),
        check=check.value,
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
    with _copy_progress() as progress:
        report = work(*pairs[0], progress=progress)
    _tell([report], json_file)
    if not report.rewritten and not report.changes and report.opset == report.opset_before:
        source, copy = pairs[0]
        _console(json_file).print(f"nothing to rewrite: {copy} is a copy of {source}")


@app.command()
def inspect(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="IN...", help="Models, or folders of them.", show_default=False),
    ],
    to: ToOption = Output.STANDARD,
    strategy: StrategyOption = Strategy.AUTO,
    target: TargetOption = None,
    output_size: OutputSizeOption = None,
    traced_size: TracedSizeOption = None,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(
            help="Exit with 1 if any pooling is wrong at some sizes or runs nowhere (error), or "
            "may be (warning).",
            show_default=False,
        ),
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Say what pooling is in a model, in which form, and what `rewrite` would make of it."""
    from onnxpool import batch
    from onnxpool.frozen_sizes import parse_output_sizes, parse_traced_sizes

    work = functools.partial(
        _inspect_file,
        to=to.value,
        strategy=strategy.value,
        target=target,
        output_sizes=parse_output_sizes(output_size or ()),
        traced_sizes=parse_traced_sizes(traced_size or ()),
    )
    level = fail_on.value if fail_on else None
    if len(paths) > 1 or paths[0].is_dir():
        _run_many(work, batch.pair_paths(paths, Path()), json_file, level)
    else:
        report = work(paths[0], None)
        _tell([report], json_file)
        raise typer.Exit(_failing([report], level))


@app.command()
def validate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The .onnx file to judge.")],
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REFERENCE",
            help="Its PyTorch source (file.py:name, pkg.mod:name, or a .pt2 file), or an .onnx "
            "file. name is an nn.Module class, an instance, or a function that builds one.",
        ),
    ],
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="1x8x33x33",
            help="Compare at this size instead of sweeping those that are not fixed; one for each "
            "input, and again for more sizes.",
        ),
    ] = None,
    weights: WeightsOption = None,
    seed: SeedOption = 0,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Greatest error allowed, as a share of the greatest output. Default: a small "
            "multiple of the error that PyTorch itself makes against float64.",
            show_default=False,
        ),
    ] = None,
    library: Annotated[
        bool,
        typer.Option(
            help="Run custom ops by the kernels of the library, where it is there, or by their "
            "function bodies."
        ),
    ] = True,
    json_file: JsonOption = None,
) -> None:
    """Compare a model with its source, at the sizes and on the values where pooling goes wrong."""
    from onnxpool import display
    from onnxpool.sizes import parse
    from onnxpool.validation import validate as compare

    with _count_progress("sizes") as progress:
        validation = compare(
            model,
            reference,
            shapes=[parse(text) for text in shape or ()],
            weights=weights,
            seed=seed,
            tolerance=tolerance,
            library=library,
            progress=progress,
        )
    display.show_validation(validation, _console(json_file))
    _write_json(validation.to_json(), json_file)
    raise typer.Exit(0 if validation.passed else 1)


@app.command()
def bench(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL...", help="Models that take the same inputs.", show_default=False
        ),
    ],
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="1x8x33x33",
            help="Size of an input that is not fixed; one for each input, and again for more "
            "sizes.",
        ),
    ] = None,
    threads: Annotated[
        list[int] | None,
        typer.Option(
            help="Threads of each model; again for more numbers. Default: 1.", show_default=False
        ),
    ] = None,
    runs: Annotated[int, typer.Option(help="Rounds that count, after a warm-up.")] = 31,
    torch: Annotated[
        str | None,
        typer.Option(metavar="FILE.py:NAME", help="Time this module in PyTorch (eager) as well."),
    ] = None,
    openvino: Annotated[
        bool, typer.Option("--openvino", help="Time each model in OpenVINO as well, in float32.")
    ] = False,
    floor: Annotated[
        bool, typer.Option(help="Time one read of the input as well: ONNX Runtime's own sum.")
    ] = True,
    seed: SeedOption = 0,
    json_file: JsonOption = None,
) -> None:
    """Time models in ONNX Runtime side by side: read the ratios, not the milliseconds."""
    from onnxpool import display
    from onnxpool.benchmark import bench as time_in_turns
    from onnxpool.sizes import parse

    with _count_progress("rounds") as progress:
        result = time_in_turns(
            models,
            threads=threads or (1,),
            shapes=[parse(text) for text in shape or ()],
            runs=runs,
            torch=torch,
            openvino=openvino,
            floor=floor,
            seed=seed,
            progress=progress,
        )
    display.show_bench(result, _console(json_file))
    _write_json(result.to_json(), json_file)


@app.command()
def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE.py:NAME",
            help="An nn.Module, or a function or class that builds one; or pkg.mod:NAME.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The file to write.", show_default=False)
    ],
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="1x8x33x33",
            help="Shape of an example input, float32; once per input. Not needed where the file "
            "has EXAMPLES.",
        ),
    ] = None,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="Every axis but the channels may have any size.")
    ] = False,
    to: ToOption = Output.STANDARD,
    opset: Annotated[
        int | None, typer.Option(help="Opset of the model; else the exporter's own choice.")
    ] = None,
    exporter: Annotated[Exporter, typer.Option(help="Which of torch's exporters traces.")] = (
        Exporter.DYNAMO
    ),
    weights: WeightsOption = None,
    seed: SeedOption = 0,
    strategy: StrategyOption = Strategy.AUTO,
    json_file: JsonOption = None,
) -> None:
    """Export a PyTorch module with pooling that is right at every size."""
    from onnxpool.exporters.command import export_source

    report = export_source(
        source,
        out,
        shapes=shape,
        dynamic=dynamic,
        weights=weights,
        seed=seed,
        to=to.value,
        opset=opset,
        exporter=exporter.value,
        strategy=strategy.value,
    )
    _tell([report], json_file)


@app.command()
def targets(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Say all about one.", show_default=False)
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """List the runtimes that `rewrite --target` writes for, and what each one gets."""
    from onnxpool import display
    from onnxpool.targets import TARGETS, find

    chosen = [find(name)] if name else list(TARGETS)
    if name:
        display.show_target(chosen[0], _console(json_file))
    else:
        display.show_targets(chosen, _console(json_file))
    facts = [target.to_json() for target in chosen]
    _write_json(facts[0] if name else facts, json_file)


@app.command()
def ops(
    library: Annotated[
        bool,
        typer.Option("--library", help="Print the path of the custom-op library, and no more."),
    ] = False,
) -> None:
    """List the ops of domain onnxpool, and say where the library with their kernels is."""
    from onnxpool import display
    from onnxpool.ops import DIALECT, library_path

    if library:
        typer.echo(library_path())
    else:
        display.show_ops(DIALECT, Console())


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
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
    sys.stderr.write(f"onnxpool: {' '.join(message.split())}\n")
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
    from onnxpool.pipeline import rewrite

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
    from onnxpool import display

    with _count_progress("sizes") as progress:
        validation = result.validate(reference, weights=weights, seed=seed, progress=progress)
    display.show_validation(validation, _console(json_file))
    if not validation.passed:
        raise CheckError(f"the rewritten model is not what {reference} computes; nothing written")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror}") from error


def _inspect_file(source: Path, _copy: Path | None, **options: Any) -> Report:
    from onnxpool.pipeline import inspect

    return inspect(source, **options)


def _run_many(
    work: Callable[..., Report],
    pairs: Sequence[tuple[Path, Path]],
    json_file: Path | None,
    fail_on: str | None = None,
) -> None:
    from onnxpool import batch

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    outcomes = []
    with _progress(*columns) as progress:
        task = progress.add_task("models", total=len(pairs))
        for outcome in batch.run(work, pairs):
            outcomes.append(outcome)
            progress.advance(task)
    outcomes.sort(key=lambda outcome: outcome.source)
    reports = [o.report for o in outcomes if o.report is not None]
    _tell(reports, json_file)
    for outcome in outcomes:
        if outcome.error:
            sys.stderr.write(f"onnxpool: {outcome.error}\n")
    statuses = [outcome.exit_status for outcome in outcomes]
    raise typer.Exit(max(*statuses, _failing(reports, fail_on)))


def _failing(reports: Sequence[Report], level: str | None) -> int:
    """The exit status for findings that are as bad as `level`."""
    from onnxpool.report import LEVELS

    bad = LEVELS[LEVELS.index(level) :] if level else ()
    return int(any(finding.level in bad for r in reports for finding in r.findings))


def _tell(reports: Sequence[Report], json_file: Path | None) -> None:
    from onnxpool import display

    console = _console(json_file)
    for report in reports:
        display.show(report, console)
    facts = [report.to_json() for report in reports]
    _write_json(facts[0] if len(facts) == 1 else facts, json_file)


def _write_json(facts: Any, json_file: Path | None) -> None:
    if json_file is None:
        return
    text = json.dumps(facts, indent=2, ensure_ascii=False)
    if str(json_file) == "-":
        sys.stdout.write(text + "\n")
        return
    try:
        json_file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{json_file} cannot be written: {error.strerror}") from error


def _console(json_file: Path | None) -> Console:
    """Where human output goes: not between the JSON."""
    return Console(stderr=str(json_file) == "-")


def _progress(*columns: ProgressColumn) -> Progress:
    """A progress display on stderr that leaves nothing behind; none where nobody watches."""
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextlib.contextmanager
def _count_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar over sizes or rounds."""
    with _progress(TextColumn(what), BarColumn(), MofNCompleteColumn()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def _copy_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar per external data file, shown once its copy starts."""
    columns = (TextColumn("copying {task.description}"), BarColumn(), DownloadColumn())
    tasks: dict[str, TaskID] = {}
    with _progress(*columns) as bars:

        def update(name: str, done: int, size: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=size)
            bars.update(tasks[name], completed=done)

        yield update
