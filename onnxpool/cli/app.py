"""The command line.

Exit status: 0 done; 1 a check failed; 2 the call or the input cannot be used; 3 written, but
something is left that is as bad as --fail-on says; 130 interrupted.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from onnxpool.cli import call as calls
from onnxpool.cli import options as opt
from onnxpool.cli import places, terminal, versions
from onnxpool.cli.call import call
from onnxpool.cli.help import Command
from onnxpool.cli.streams import Stream, lenient
from onnxpool.errors import ArgumentError, CheckError, OnnxpoolError

if TYPE_CHECKING:
    from onnxpool.cli.outcome import FailOn, Outcome
    from onnxpool.cli.work import Work
    from onnxpool.pipeline.rewrite import Result
    from onnxpool.validation.compare import Validation
    from onnxpool.validation.source import Source

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make pooling in exported ONNX models right, portable and fast.",
)


@app.command(cls=Command)
def rewrite(
    paths: opt.SourcesAndOut,
    to: opt.RewrittenTo = "standard",
    strategy: opt.Strategy = "auto",
    target: opt.Target = None,
    target_python: opt.TargetPython = None,
    opset: opt.Opset = None,
    input_shapes: opt.InputShapes = None,
    freeze_inputs: opt.FreezeInputs = None,
    output_sizes: opt.OutputSizes = None,
    traced_sizes: opt.TracedSizes = None,
    restore: opt.Restore = None,
    no_repair: opt.NoRepair = False,
    check: opt.Check = "regions",
    reference: opt.ValidatedAgainst = None,
    weights: opt.WeightsOfResult = None,
    seed: opt.Seed = 0,
    fail_on: opt.FailOn = "error",
    jobs: opt.Jobs = None,
    time_limit: opt.TimeLimit = None,
    memory_limit: opt.MemoryLimit = None,
    resume: opt.Resume = False,
    report: opt.PageBeside = None,
    json_file: opt.Json = None,
    _quiet: opt.Quiet = None,
    _debug: opt.Debug = False,
) -> int:
    """Find the pooling of a model and write it as standard ONNX ops, or as custom ops."""
    from onnxpool.cli import work
    from onnxpool.pipeline.frozen_sizes import (
        parse_output_sizes,
        parse_restore,
        parse_traced_sizes,
    )
    from onnxpool.pipeline.input_shapes import parse_all

    if len(paths) < 2:
        raise ArgumentError(f"where should {paths[0]} go? Give IN and OUT")
    *sources, out = paths
    many = places.are_many(sources)
    way, state_dict = work.weights(weights or ())
    if reference is None and state_dict is not None:
        raise ArgumentError(
            f"--weights {state_dict} is a file for --reference, which is not there; what becomes "
            "of external weights is one of copy, link, reference"
        )
    if way is not None and out == places.STREAM:
        raise ArgumentError(f"--weights {way} wants a file as OUT; on standard output they stay")
    if to == "caffe":
        target = work.check_caffe(out, target, many=many)
    if target_python is not None and target is None:
        raise ArgumentError("--target-python goes with --target, whose runtime it has")
    if reference is not None and many:
        raise ArgumentError("--reference goes with one model; call rewrite for each")
    act = functools.partial(
        work.rewrite,
        make_folder=many,
        way=way or "copy",
        to=to,
        strategy=strategy,
        target=target,
        target_python=target_python,
        opset=opset,
        input_shapes=parse_all(input_shapes or ()),
        freeze_inputs=tuple(freeze_inputs or ()),
        repair=not no_repair,
        output_sizes=parse_output_sizes(output_sizes or ()),
        traced_sizes=parse_traced_sizes(traced_sizes or ()),
        restore=parse_restore(restore or ()),
        check=check,
        time_limit=time_limit,
        memory_limit=_bytes(memory_limit),
    )
    call.gives_file = True
    pairs = places.pair(sources, out)
    if report is not None:
        if many:
            raise ArgumentError("--report is about one model; call rewrite for each")
        places.check_page(*pairs[0], report, json_file)
    places.check(
        [source for source, _ in pairs], [out for _, out in pairs], json_file, make_folders=many
    )
    if many:
        job = work.Work(act, fail_on, 3, writes=True)
        return _serve_many(
            job, pairs, fail_on, json_file, jobs=jobs, time_limit=time_limit, resume=resume
        )
    stderr_only = out == places.STREAM
    if reference is not None:
        act = functools.partial(act, **_referring(reference, state_dict, seed, stderr_only))
    with terminal.copying() as progress:
        act = functools.partial(act, progress=progress)
        outcome = work.Work(act, fail_on, 3, writes=True)(pairs[0])
    if report is not None and outcome.report is not None:
        _write_page(
            *pairs[0],
            report,
            report=outcome.report,
            reference=reference,
            weights=state_dict,
            seed=seed,
        )
    return _tell([outcome], fail_on, json_file, stderr=stderr_only)


@app.command(cls=Command)
def inspect(
    paths: opt.Sources,
    to: opt.To = "standard",
    strategy: opt.Strategy = "auto",
    target: opt.Target = None,
    freeze_inputs: opt.FreezeInputs = None,
    output_sizes: opt.OutputSizes = None,
    traced_sizes: opt.TracedSizes = None,
    fail_on: opt.FailOn = "never",
    jobs: opt.Jobs = None,
    time_limit: opt.TimeLimit = None,
    memory_limit: opt.MemoryLimit = None,
    sarif: opt.Sarif = None,
    junit: opt.JUnit = None,
    json_file: opt.Json = None,
    _quiet: opt.Quiet = None,
    _debug: opt.Debug = False,
) -> int:
    """Say what pooling is in a model, in which form, and what `rewrite` would make of it."""
    from onnxpool.cli import gate, work
    from onnxpool.pipeline.frozen_sizes import parse_output_sizes, parse_traced_sizes

    act = functools.partial(
        work.inspect,
        to=to,
        strategy=strategy,
        target=target,
        freeze_inputs=tuple(freeze_inputs or ()),
        output_sizes=parse_output_sizes(output_sizes or ()),
        traced_sizes=parse_traced_sizes(traced_sizes or ()),
        time_limit=time_limit,
        memory_limit=_bytes(memory_limit),
    )
    pairs = [(path, Path()) for path in places.models(paths)]
    files = gate.Files(sarif, junit, fail_on)
    places.check((path for path, _ in pairs), files.places, json_file, make_folders=False)
    job = work.Work(act, fail_on, 1, writes=False)
    if places.are_many(paths):
        return _serve_many(
            job, pairs, fail_on, json_file, jobs=jobs, time_limit=time_limit, also=files.write
        )
    with terminal.following():
        outcome = job(pairs[0])
    return _tell([outcome], fail_on, json_file, also=files.write)


@app.command(cls=Command)
def validate(
    model: opt.JudgedModel,
    reference: opt.Reference,
    shapes: opt.ComparedShapes = None,
    weights: opt.Weights = None,
    seed: opt.Seed = 0,
    tolerance: opt.Tolerance = None,
    library: opt.Kernels = True,
    fail_on: opt.FailOn = "error",
    json_file: opt.Json = None,
    _quiet: opt.Quiet = None,
    _debug: opt.Debug = False,
) -> int:
    """Compare a model with its source, at the sizes and on the values where pooling goes wrong."""
    from onnxpool.cli import display, outcome, work
    from onnxpool.inputs.sizes import parse
    from onnxpool.validation.compare import validate as compare

    call.model = str(model)
    places.check([model], (), json_file, make_folders=False)
    with terminal.counting("sizes") as progress:
        validation = compare(
            work.read_stdin() if model == places.STREAM else model,
            reference,
            shapes=[parse(text) for text in shapes or ()],
            weights=weights,
            seed=seed,
            tolerance=tolerance,
            library=library,
            progress=progress,
        )
    display.show_validation(validation, terminal.console(json_file))
    terminal.write_json({**outcome.stamp(), **validation.to_json()}, json_file)
    return _status_of(validation, fail_on)


@app.command(cls=Command)
def compare(
    a: opt.ComparedModel,
    b: opt.ComparedWith,
    shapes: opt.ComparedShapes = None,
    weights: opt.Weights = None,
    seed: opt.Seed = 0,
    tolerance: opt.Tolerance = None,
    library: opt.Kernels = True,
    fail_on: opt.FailOn = "error",
    json_file: opt.Json = None,
    _quiet: opt.Quiet = None,
    _debug: opt.Debug = False,
) -> int:
    """Say whether two models compute the same, at which sizes not, and where that begins."""
    from onnxpool.cli import display, outcome
    from onnxpool.inputs.sizes import parse
    from onnxpool.validation.compare import compare

    call.model = a
    places.check([Path(a), Path(b)], (), json_file, make_folders=False)
    with terminal.counting("sizes") as progress:
        comparison = compare(
            a,
            b,
            shapes=[parse(text) for text in shapes or ()],
            weights=weights,
            seed=seed,
            tolerance=tolerance,
            library=library,
            progress=progress,
        )
    console = terminal.console(json_file)
    display.show_validation(comparison, console)
    display.show_worst_outputs(comparison, console)
    terminal.write_json({**outcome.stamp(), **comparison.to_json()}, json_file)
    return _status_of(comparison, fail_on)


@app.command(cls=Command)
def diff(
    a: opt.DiffedModel,
    b: opt.DiffedWith,
    exit_code: opt.ExitCode = False,
    json_file: opt.Json = None,
    _quiet: opt.Quiet = None,
    _debug: opt.Debug = False,
) -> int:
    """Say in words in what two models differ as they are written: nodes, ops, shapes, constants."""
    from onnxpool.cli import display_diff, outcome
    from onnxpool.model.diff import diff

    call.model = str(a)
    places.check([a, b], (), json_file, make_folders=False)
    with terminal.following():
        found = diff(a, b)
    display_diff.show(found, terminal.console(json_file))
    terminal.write_json({**outcome.stamp(), **found.to_json()}, json_file)
    return int(exit_code and not found.same)


@app.command(cls=Command)
def report(
    model: opt.ReportedModel,
    rewritten: opt.ReportedOut,
    out: opt.Page,
    reference: opt.BothAgainst = None,
    shapes: opt.ComparedShapes = None,
    weights: opt.Weights = None,
    seed: opt.Seed = 0,
    bench: opt.TimeBoth = False,
    timings: opt.Timings = None,
    _quiet: opt.Quiet = None,
    _debug: opt.Debug = False,
) -> None:
    """Write a page about a rewrite: what was found and done, drawings, errors, runtimes."""
    from onnxpool.benchmark import bench as time_in_turns
    from onnxpool.cli.page.facts import read_timings
    from onnxpool.inputs.sizes import parse

    call.model = str(model)
    if bench and timings is not None:
        raise ArgumentError("--bench times the models, and --bench-json has times; give one")
    places.check_page(model, rewritten, out, timings)
    sizes = [parse(text) for text in shapes or ()]
    told = read_timings(timings) if timings is not None else None
    if bench:
        with terminal.counting("rounds") as progress:
            told = time_in_turns([model, rewritten], shapes=sizes, progress=progress).to_json()
    _write_page(
        model,
        rewritten,
        out,
        reference=reference,
        shapes=sizes or None,
        weights=weights,
        seed=seed,
        timings=told,
    )


def _write_page(before: Path, after: Path, out: Path, **facts: Any) -> None:
    from onnxpool.cli.page import page
    from onnxpool.cli.page.facts import gather

    with terminal.following():
        page.write(gather(before, after, **facts), out)


@app.command(cls=Command)
def bench(
    models: opt.TimedModels,
    shapes: opt.TimedShapes = None,
    threads: opt.Threads = None,
    runs: opt.Runs = 31,
    torch: opt.TimedModule = None,
    openvino: opt.OpenVINO = False,
    floor: opt.Floor = True,
    provider: opt.Provider = "CPUExecutionProvider",
    seed: opt.Seed = 0,
    json_file: opt.Json = None,
    _quiet: opt.Quiet = None,
    _debug: opt.Debug = False,
) -> None:
    """Time models in ONNX Runtime side by side: read the ratios, not the milliseconds."""
    from onnxpool.benchmark import bench as time_in_turns
    from onnxpool.cli import display, outcome
    from onnxpool.inputs.sizes import parse

    places.check(models, (), json_file, make_folders=False)
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
            provider=provider,
            progress=progress,
        )
    display.show_bench(result, terminal.console(json_file))
    terminal.write_json({**outcome.stamp(), **result.to_json()}, json_file)


@app.command(cls=Command)
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
    _quiet: opt.Quiet = None,
    _debug: opt.Debug = False,
) -> int:
    """Export a PyTorch module with pooling that is right at every size."""
    from onnxpool.cli import outcome
    from onnxpool.exporters.command import export_source
    from onnxpool.inputs.sizes import parse

    call.model, call.gives_file = source, True
    places.check((), [out], json_file, make_folders=False)
    with terminal.following():
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
    call.written = str(out)
    done = outcome.Outcome(report.model, str(out), "written", report)
    return _tell([done], "never", json_file)


@app.command(cls=Command)
def targets(
    name: opt.TargetName = None, json_file: opt.Json = None, _debug: opt.Debug = False
) -> None:
    """List the runtimes that `rewrite --target` writes for, and what each one gets."""
    from onnxpool.cli import display, outcome
    from onnxpool.targets import every, find

    console = terminal.console(json_file)
    places.check((), (), json_file, make_folders=False)
    shown = [find(name)] if name else list(every())
    if name:
        display.show_target(shown[0], console)
    else:
        display.show_targets(shown, console)
    facts = [{**outcome.stamp(), **target.to_json()} for target in shown]
    terminal.write_json(facts, json_file)


@app.command(cls=Command)
def ops(library: opt.LibraryPath = False, _debug: opt.Debug = False) -> None:
    """List the ops of domain onnxpool, and say where the library with their kernels is."""
    from onnxpool.cli import display
    from onnxpool.ops import DIALECT, library_path

    if library:
        typer.echo(library_path())
    else:
        display.show_ops(DIALECT, terminal.console())


@app.callback(invoke_without_command=True)
def _version(version: opt.Version = False, _debug: opt.Debug = False) -> None:
    if version:
        typer.echo("\n".join(versions.lines()))
        raise typer.Exit


def main() -> None:
    """Run the command line: whatever goes wrong is one line on stderr."""
    call.begin()
    with lenient() as (out, _), calls.heeding_interrupts():
        status = _run()
        out.flush()
        sys.exit(_status_printed(status, out))


def _run() -> int:
    """Call the command; returns the exit status."""
    failed: BaseException
    try:
        status = app(prog_name="onnxpool", standalone_mode=False)
    except OnnxpoolError as error:
        failed, text, status = error, str(error), error.exit_status
    except typer.TyperException as error:
        failed, text, status = error, error.format_message(), 2
    except (typer.Abort, KeyboardInterrupt) as error:  # outside of Typer
        failed, text, status = error, call.interrupted, 130
    except Exception as error:
        from onnxpool.cli.defect import describe

        failed, text, status = error, describe(error, call.model), 2
    else:
        # Typer turns Ctrl-C into this status; who followed it has said so.
        if status == 130 and not call.ending:
            terminal.complain(call.interrupted)
        call.ending = True
        return status if isinstance(status, int) else 0
    call.ending = True
    if call.debug:
        from onnxpool.cli.defect import lines_of_traceback

        sys.stderr.write(lines_of_traceback(failed))
    if call.written and status != 130:
        text, status = f"{call.written} is written, but {text}", 3
    terminal.complain(text)
    return status


def _status_printed(status: int, out: Stream) -> int:
    """The exit status, which tells of a model whether it was written, and else what was printed."""
    if not out.lost:
        return status
    terminal.complain(f"standard output cannot be written: {out.lost}")
    return status if call.gives_file else status or 2


def _referring(reference: str, weights: Path | None, seed: int, stderr: bool) -> dict[str, Any]:
    """Options of `work.rewrite`: a source says what was frozen, and judges the result."""
    from onnxpool.validation.source import as_source, is_source

    if not is_source(reference):
        judge = functools.partial(_validate_result, reference, weights, seed, stderr)
        return {"compare": judge}
    source = as_source(reference, weights, seed)
    judge = functools.partial(_validate_result, source, None, seed, stderr)
    return {"reference": source, "seed": seed, "compare": judge}


def _validate_result(
    reference: str | Source, weights: Path | None, seed: int, stderr: bool, result: Result
) -> None:
    """Print how the result compares with its source; end here if it is wrong."""
    from onnxpool.cli import display

    with terminal.counting("sizes") as progress:
        validation = result.validate(reference, weights=weights, seed=seed, progress=progress)
    display.show_validation(validation, terminal.console(stderr=stderr))
    if not validation.passed:
        raise CheckError(
            f"the rewritten model is not what {validation.reference} computes; nothing written"
        )


def _status_of(validation: Validation, fail_on: FailOn) -> int:
    """1 where a size is wrong; with --fail-on note also where one could not be compared."""
    noted = any(size.outcome == "not accepted" for size in validation.sizes)
    bad = not validation.passed or (fail_on == "note" and noted)
    status = int(bad and fail_on != "never")
    if call.quiet and status:
        from onnxpool.cli import display

        display.show_verdict(validation, terminal.console(stderr=True, always=True))
    return status


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * 1e9)


def _serve_many(
    job: Work,
    pairs: Sequence[places.Pair],
    fail_on: FailOn,
    json_file: Path | None,
    *,
    jobs: int | None,
    time_limit: float | None,
    resume: bool = False,
    also: Callable[[Sequence[Outcome]], None] = lambda _: None,
) -> int:
    """Do the same with many models; an interrupt ends it, and what is done stays."""
    from onnxpool.cli import batch

    done = {pair: batch.skipped(pair) for pair in pairs if resume and batch.is_done(pair)}
    pending = [pair for pair in pairs if pair not in done]
    status = 0
    with terminal.counting("models") as progress:
        try:
            with calls.heeding_sigterm():
                for pair, outcome in batch.run(job, pending, jobs=jobs, time_limit=time_limit):
                    done[pair] = outcome
                    if outcome.result in ("written", "copied"):
                        call.written = outcome.out
                    progress(len(done), len(pairs))
        except (KeyboardInterrupt, calls.Terminated) as error:
            call.ending = True
            status = 130 if isinstance(error, KeyboardInterrupt) else 143
    outcomes = [done.get(pair) or batch.interrupted(pair) for pair in pairs]
    told = _tell(outcomes, fail_on, json_file, also=also)
    if status:
        terminal.complain(f"interrupted; {len(done)} of {len(pairs)} models are done")
    return status or told


def _tell(
    outcomes: Sequence[Outcome],
    fail_on: FailOn,
    json_file: Path | None,
    *,
    stderr: bool = False,
    also: Callable[[Sequence[Outcome]], None] = lambda _: None,
) -> int:
    """Print what became of the models of a call; returns its exit status.

    Args:
        also: what else to do with it, once the JSON is written.
    """
    from onnxpool.cli import display
    from onnxpool.cli.outcome import worst

    console = terminal.console(json_file, stderr=stderr)
    for outcome in outcomes:
        if outcome.report is not None:
            display.show(outcome.report, console)
        if call.debug:
            sys.stderr.write(outcome.traceback)
    if len(outcomes) > 1:
        display.show_outcomes(outcomes, console)
    terminal.write_json([outcome.to_json() for outcome in outcomes], json_file)
    also(outcomes)
    for outcome in outcomes:
        if outcome.result == "failed":
            terminal.complain(outcome.error)
        elif outcome.report is not None and call.quiet and outcome.exit_status:
            loud = terminal.console(stderr=True, always=True)
            display.show_wrong(outcome.report, loud)
            display.show_end(outcome, fail_on, loud)
        else:
            display.show_end(outcome, fail_on, console)
    return worst([outcome.exit_status for outcome in outcomes])
