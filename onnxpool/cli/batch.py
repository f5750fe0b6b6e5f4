"""Many models in one call: each in a process of its own, one result per model."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from onnxpool.errors import ArgumentError, OnnxpoolError
from onnxpool.pipeline.report import Report


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one model: a report, or the reason why there is none."""

    source: Path
    report: Report | None = None
    error: str = ""
    exit_status: int = 0


def pair_paths(sources: Sequence[Path], target: Path) -> list[tuple[Path, Path]]:
    """Return where each model goes; a folder stands for every .onnx file below it.

    Raises:
        ArgumentError: several models need a folder, or one file has a folder as its target, or
            two models would go to one place.
    """
    many = len(sources) > 1 or sources[0].is_dir()
    if not many:
        if target.is_dir():
            raise ArgumentError(
                f"{target} is a folder, and {sources[0]} is one model; name the file to write, "
                f"such as {target / sources[0].name}"
            )
        return [(sources[0], target)]
    if target.exists() and not target.is_dir():
        raise ArgumentError(f"{target} is a file; several models need a folder to go to")
    pairs = [pair for source in sources for pair in _below(source, target)]
    if len({out for _, out in pairs}) < len(pairs):
        raise ArgumentError("two of the models have the same name; rewrite them in separate calls")
    return pairs


def _below(source: Path, target: Path) -> list[tuple[Path, Path]]:
    if not source.is_dir():
        return [(source, target / source.name)]
    found = sorted(source.rglob("*.onnx"))
    if not found:
        raise ArgumentError(f"{source} holds no .onnx file")
    return [(path, target / path.relative_to(source)) for path in found]


def run(
    work: Callable[[Path, Path], Report], pairs: Sequence[tuple[Path, Path]]
) -> Iterator[Outcome]:
    """Do `work` on every pair, in parallel processes, and yield outcomes as they are ready."""
    workers = min(len(pairs), os.cpu_count() or 1)
    # Spawned: a fork takes over the locks of the threads that onnxruntime and torch have started.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
        futures = [pool.submit(attempt, work, source, target) for source, target in pairs]
        for future in concurrent.futures.as_completed(futures):
            yield future.result()


def attempt(work: Callable[[Path, Path], Report], source: Path, target: Path) -> Outcome:
    """Do `work` on one pair; a user's mistake becomes an outcome, a defect still raises."""
    try:
        return Outcome(source, work(source, target))
    except OnnxpoolError as error:
        return Outcome(source, None, str(error), error.exit_status)
