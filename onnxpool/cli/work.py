"""What a call does with one model, in this process or in another."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from onnxpool.cli.call import call
from onnxpool.cli.defect import describe, lines_of_traceback
from onnxpool.cli.outcome import FailOn, Outcome, Result, is_as_bad
from onnxpool.cli.places import STREAM, Pair
from onnxpool.cli.streams import Stream
from onnxpool.errors import ArgumentError, ModelError, OnnxpoolError, OutputError

if TYPE_CHECKING:
    from onnxpool.model.output import Progress
    from onnxpool.model.placement import Way
    from onnxpool.pipeline.report import Report
    from onnxpool.pipeline.rewrite import Result as Rewritten


@dataclasses.dataclass(frozen=True)
class Work:
    """A command, to be applied to one model after the other.

    Attributes:
        act: does it; says what came of it.
        fail_on: what is left that makes a call fail.
        status: of a call that fails so.
        writes: whether it writes a model.
    """

    act: Callable[[Path, Path], tuple[Result, Report]]
    fail_on: FailOn
    status: int
    writes: bool

    def __call__(self, pair: Pair) -> Outcome:
        """Do it; every exception becomes an outcome."""
        source, out = pair
        call.model = str(source)
        start = time.monotonic()

        outcome = self._outcome(source, out)
        return dataclasses.replace(outcome, seconds=round(time.monotonic() - start, 3))

    def _outcome(self, source: Path, out: Path) -> Outcome:
        failed = Outcome(str(source), str(out) if self.writes else "", "failed")
        try:
            result, report = self.act(source, out)
        except Exception as error:
            ours = isinstance(error, OnnxpoolError)
            return dataclasses.replace(
                failed,
                error=str(error) if ours else describe(error, source),
                exit_status=error.exit_status if isinstance(error, OnnxpoolError) else 2,
                traceback=lines_of_traceback(error),
            )
        fails = any(is_as_bad(level, self.fail_on) for level in report.left)
        status = self.status if fails else 0
        return dataclasses.replace(failed, result=result, report=report, exit_status=status)


def rewrite(
    source: Path,
    out: Path,
    *,
    make_folder: bool = False,
    way: Way = "copy",
    compare: Callable[[Rewritten], None] | None = None,
    target_python: Path | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> tuple[Result, Report]:
    """Rewrite a model, and write it.

    Args:
        make_folder: whether to make the folder of `out`.
        way: how external data comes to `out`.
        compare: called before it is written; raises where it should not be.
        target_python: an interpreter that has the runtime of the target.
        options: of `onnxpool.rewrite`.
    """
    from onnxpool.caffe import convert
    from onnxpool.caffe import files as caffe_files
    from onnxpool.pipeline.rewrite import rewrite

    as_caffe = options["to"] == "caffe"
    if as_caffe:
        options["to"] = "standard"
    result = rewrite(_model(source), **options)
    if compare is not None:
        compare(result)
    if options["target"] and (options["check"] != "none" or target_python):
        limits = {name: options[name] for name in ("time_limit", "memory_limit")}
        result = result.run_in_target(target_python, **limits)
    report = dataclasses.replace(result.report, model=str(source))
    copied = report.unchanged
    if as_caffe:
        caffe_files.save(convert(result.model, result.data_folder), out)
        copied = False
    elif out == STREAM:
        _print(result.serialize())
        if result.data_folder:
            note = f"its weights stay where they are, in the folder {result.data_folder}"
            report = dataclasses.replace(report, notes=(*report.notes, note))
    else:
        if make_folder:
            _make_folder(out.parent)
        copied = result.save(out, progress, way)
    call.written = str(out)
    return ("copied" if copied else "written"), report


def check_caffe(out: Path, target: str | None, *, many: bool) -> str:
    """The target of a net of Caffe's.

    Raises:
        ArgumentError: the call does not fit.
    """
    from onnxpool.caffe import files

    if many:
        raise ArgumentError("--to caffe goes with one model; call rewrite for each")
    if target not in (None, "caffe"):
        raise ArgumentError(f"--to caffe is a target of its own; leave --target {target} out")
    files.check(out)
    return "caffe"


def weights(given: Sequence[str]) -> tuple[Way | None, Path | None]:
    """What `--weights` says: what becomes of external data, and a state dict for the source.

    Raises:
        ArgumentError: it says one of them twice.
    """
    from onnxpool.model.placement import Way

    ways = [each for each in get_args(Way) if each in given]
    files = [each for each in given if each not in ways]
    if len(given) > len(ways) + len(files[:1]) or len(ways) > 1:
        raise ArgumentError(
            f"--weights {' and '.join(given)}: give one of {', '.join(get_args(Way))}, and one "
            "file at most"
        )
    return next(iter(ways), None), Path(files[0]) if files else None


def inspect(source: Path, _out: Path, **options: Any) -> tuple[Result, Report]:
    """Say what is in a model.

    Args:
        options: of `onnxpool.inspect`.
    """
    from onnxpool.pipeline.rewrite import inspect

    report = inspect(_model(source), **options)
    return "inspected", dataclasses.replace(report, model=str(source))


def read_stdin() -> bytes:
    """The model that comes through standard input.

    Raises:
        ModelError: nothing comes, or too much.
    """
    from onnxpool.model.file import read_stream

    if sys.stdin is None or sys.stdin.isatty():
        raise ModelError("- stands for a model on standard input, and nothing is sent there")
    data = read_stream(sys.stdin.buffer, Path("standard input"))
    if not data:
        raise ModelError("standard input is empty, wanted an ONNX model")
    return data


def _model(source: Path) -> Path | bytes:
    return read_stdin() if source == STREAM else source


def _print(data: bytes) -> None:
    try:
        cast(Stream, sys.stdout).write_bytes(data)
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror}") from error
