"""One file through the command line, in this process, and what was wrong with what came of it.

Whatever the file is, a call ends soon, with status 0, 2 or 3 (or 1, where a target, an opset, sizes
or a full check is asked for), and either a report or one line on stderr that a terminal can be
given. No traceback, no defect of onnxpool, not much memory. What is written equals what was read,
or ONNX Runtime loads it as it loads what was read. On failure nothing is written, and nothing is
left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from onnxpool.cli.app import main
from onnxpool.rewrites.graph.run import RunError, Runner
from tests.attacks.sources import DATA, WEIGHTS

IN, OUT = "in.onnx", "out/out.onnx"
SECONDS = 20.0
"""Of processor time; a sound model of this size takes under one."""

MEGABYTES = 700
"""Of memory, at the most, the libraries included."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of one file.

    Attributes:
        status: the exit status.
        wrote: whether a model was written; "changed", "copied" or empty.
        said: the last line on stderr.
        faults: what is wrong with that.
        seconds: of processor time.
        megabytes: at the peak; 0 where that is not known.
    """

    status: int
    wrote: str
    said: str
    faults: tuple[str, ...]
    seconds: float
    megabytes: int


def judge(data: bytes, arguments: Sequence[str], folder: Path) -> Verdict:
    """Put `data` into an empty folder and call the command line on it.

    Args:
        arguments: with `IN` for the file, and `OUT` for what to write.
    """
    (folder / IN).write_bytes(data)
    (folder / DATA).write_bytes(WEIGHTS)
    (folder / OUT).parent.mkdir()
    _forget_peak()
    start = time.process_time()
    with _inside(folder):
        status, out, errors = _call(arguments)
    seconds, megabytes = time.process_time() - start, _peak()
    faults = [*_faults_of_call(status, out, errors, arguments)]
    if seconds > SECONDS:
        faults.append(f"took {seconds:.1f} s")
    if megabytes > MEGABYTES:
        faults.append(f"took {megabytes} MB")
    wrote, wrong = _written(data, folder, status)
    faults += wrong
    lines = errors.splitlines() or [""]
    return Verdict(status, wrote, lines[-1], tuple(faults), seconds, megabytes)


def _call(arguments: Sequence[str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the command line."""
    before = sys.argv, sys.stdout, sys.stderr
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n") for _ in range(2)]
    sys.argv, (sys.stdout, sys.stderr) = ["onnxpool", *arguments], streams
    status: int | str | None = None
    try:
        main()
    except SystemExit as error:
        status = error.code
    finally:
        sys.argv, sys.stdout, sys.stderr = before
    for stream in streams:
        stream.flush()
    texts = [stream.buffer.getvalue().decode() for stream in streams]
    return int(status or 0), texts[0], texts[1]


def _faults_of_call(status: int, out: str, errors: str, arguments: Sequence[str]) -> Iterator[str]:
    # A graph need not run at the sizes that are asked for.
    may_fail = not {"--target", "--opset", "full", "--input-shape"}.isdisjoint(arguments)
    if status not in ((0, 1, 2, 3) if may_fail else (0, 2, 3)):
        yield f"exit status {status}"
    if "Traceback" in out + errors:
        yield "a traceback"
    if "defect of onnxpool" in errors:
        yield "a defect"
    lines = errors.splitlines()
    if status in (0, 3) and lines and arguments[-2:] != ("--json", "-"):
        yield "something on stderr beside a report"
    if status in (1, 2) and not (len(lines) == 1 and lines[0].startswith("onnxpool: ")):
        yield f"{len(lines)} lines on stderr"
    if any(not char.isprintable() and char != "\n" for char in out + errors):
        yield "characters that no terminal should be given"


def _written(data: bytes, folder: Path, status: int) -> tuple[str, list[str]]:
    """What was written, and what is wrong with it."""
    out = folder / OUT
    # A file can say that it holds its own weights, which then follow the result.
    left = {path.name for path in out.parent.iterdir()} - {out.name, DATA, IN}
    faults = [f"left behind: {', '.join(sorted(left))}"] if left else []
    if (folder / IN).read_bytes() != data or (folder / DATA).read_bytes() != WEIGHTS:
        faults.append("the input was changed")
    if not out.exists():
        return "", faults
    if status not in (0, 3):
        return "", [*faults, f"written in spite of status {status}"]
    if out.read_bytes() == data:
        return "copied", faults
    trouble = _refusal(out)
    if trouble and not _refusal(folder / IN):
        faults.append(f"what was written does not load: {trouble}")
    return "changed", faults


def _refusal(model: Path) -> str:
    """Why ONNX Runtime does not load a file; empty where it does."""
    try:
        Runner(str(model), model.parent, kernels=False)
    except RunError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ["COLUMNS"] = "200"
        yield


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """The most memory that this process has held since, in megabytes."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) >> 10
    return 0
