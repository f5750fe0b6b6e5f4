"""Many models in one call: each in a process that may die, one outcome per model."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from onnxpool.cli.outcome import Outcome
from onnxpool.cli.places import Pair
from onnxpool.cli.work import Work
from onnxpool.errors import ArgumentError, ExternalDataError, ModelError
from onnxpool.model.output import sweep
from onnxpool.workers import Died, Workers, number_by_default

_MEMORY = 1 << 30
"""What a rewrite of a small model may take, in bytes."""


def run(
    work: Work, pairs: Sequence[Pair], *, jobs: int | None, time_limit: float | None
) -> Iterator[tuple[Pair, Outcome]]:
    """Do `work` on every pair, in parallel processes, and yield each with what became of it."""
    number = min(jobs or number_by_default(_MEMORY), len(pairs))
    try:
        with Workers(work, number, time_limit=time_limit) as workers:
            for pair, result in workers.map(pairs):
                yield pair, _of_death(pair, result) if isinstance(result, Died) else result
    finally:
        if work.writes:
            for folder in {out.parent for _, out in pairs}:
                sweep(folder)


def _of_death(pair: Pair, died: Died) -> Outcome:
    source, out = map(str, pair)
    error = f"{source}: {died.reason}"
    return Outcome(source, out, "failed", None, error, 2, died.seconds)


def interrupted(pair: Pair) -> Outcome:
    source, out = map(str, pair)
    return Outcome(source, out, "interrupted", error="interrupted", exit_status=130)


def skipped(pair: Pair) -> Outcome:
    source, out = map(str, pair)
    return Outcome(source, out, "skipped")


def is_done(pair: Pair) -> bool:
    """Whether there is a result that was written after the model and its weights last changed.

    Raises:
        ArgumentError: the result is the model itself.
    """
    source, out = pair
    try:
        made, came = out.stat(), source.stat()
    except OSError:
        return False
    if os.path.samestat(made, came):
        raise ArgumentError(f"--resume cannot tell whether {source} was rewritten in its place")
    return stat.S_ISREG(made.st_mode) and all(
        _changed(path) <= made.st_mtime_ns for path in (source, *_data(source))
    )


def _changed(path: Path) -> int:
    # The later of both: a file that was moved or copied here has the time of its first writing.
    found = path.stat()
    return max(found.st_mtime_ns, found.st_ctime_ns if os.name == "posix" else 0)


def _data(source: Path) -> list[Path]:
    """The files with the weights of a model; none of one that cannot be read."""
    from onnxpool.model.external_data import DataFolder, locations
    from onnxpool.model.file import read_proto

    folder = DataFolder(source)
    try:
        return [folder.find(location) for location in locations(read_proto(source))]
    except (ModelError, ExternalDataError):
        return []
