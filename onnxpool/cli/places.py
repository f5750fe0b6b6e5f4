"""Where a call reads and writes, checked before it does anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from onnxpool.errors import ArgumentError, OutputError
from onnxpool.model.output import destination

Pair = tuple[Path, Path]
"""A model, and the file to write."""

STREAM = Path("-")
"""Standard input or output."""


def is_folder(path: Path) -> bool:
    """Whether there is a folder at `path`; a name that no file can have is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def are_many(sources: Sequence[Path]) -> bool:
    """Whether a call has, or may have, several models."""
    return len(sources) > 1 or is_folder(sources[0])


def pair(sources: Sequence[Path], target: Path) -> list[Pair]:
    """Where each model goes; a folder stands for every .onnx file below it.

    Raises:
        ArgumentError: several models need a folder, or one file has a folder as its target, or
            two models would go to one place.
    """
    if not are_many(sources):
        if is_folder(target):
            raise ArgumentError(
                f"{target} is a folder, and {sources[0]} is one model; name the file to write, "
                f"such as {target / sources[0].name}"
            )
        return [(sources[0], target)]
    if STREAM in (*sources, target):
        raise ArgumentError("- stands for one model, and there are several")
    if os.path.lexists(target) and not is_folder(target):
        raise ArgumentError(f"{target} is a file; several models need a folder to go to")
    pairs = [pair for source in sources for pair in _below(source, target)]
    if len({os.path.realpath(out) for _, out in pairs}) < len(pairs):
        raise ArgumentError("two of the models have the same name; rewrite them in separate calls")
    return pairs


def models(sources: Sequence[Path]) -> list[Path]:
    """The models to read.

    Raises:
        ArgumentError: a folder holds none.
    """
    if not are_many(sources):
        return list(sources)
    return [path for source in sources for path, _ in _below(source, Path())]


def _below(source: Path, target: Path) -> list[Pair]:
    if not is_folder(source):
        return [(source, target / source.name)]
    # Results of an earlier call are no models to rewrite, where they lie below what they came from.
    results = target.resolve() if target != Path() and not _same(source, target) else None
    found = [
        path
        for path in sorted(source.rglob("*.onnx"))
        if not is_folder(path) and not (results and path.resolve().is_relative_to(results))
    ]
    if not found:
        raise ArgumentError(f"{source} holds no .onnx file")
    return [(path, target / path.relative_to(source)) for path in found]


def _same(a: Path, b: Path) -> bool:
    return os.path.realpath(a) == os.path.realpath(b)


def check(
    sources: Iterable[Path], outs: Iterable[Path], json_file: Path | None, *, make_folders: bool
) -> None:
    """Check that all that is to be written can be, and that nothing is written twice.

    Args:
        sources: what is read; a report does not go there.
        make_folders: whether folders that are not there will be made.

    Raises:
        OutputError: a place cannot be written.
        ArgumentError: two things would go to one place, or a model to a terminal.
    """
    outs = list(outs)
    for out in outs:
        if out == STREAM:
            _check_stdout(json_file)
        elif make_folders and not os.path.lexists(out.parent):
            _check_folder(out.parent)
        else:
            destination(out)
    if json_file is None or json_file == STREAM:
        return
    destination(json_file)
    for path in (*sources, *outs):
        if path != STREAM and _same(path, json_file):
            raise ArgumentError(f"--json would overwrite {path}; give it a name of its own")


def check_page(before: Path, after: Path, page: Path, *others: Path | None) -> None:
    """Check that a page about two models can be made and written.

    Args:
        others: what is written or read beside them.

    Raises:
        ArgumentError: the two are one file or no files, the page would go to one of them, or what
            draws is not installed.
        OutputError: the page cannot be written.
    """
    from onnxpool.cli.page.drawing import require_layout

    require_layout()
    for path in (before, after, page):
        if path == STREAM:
            raise ArgumentError("a report is about two files, and written to a third; - is none")
    if _same(before, after):
        raise ArgumentError(f"{after} is the model itself; a report wants IN and OUT in two files")
    for other in (before, after, *others):
        if other is not None and _same(other, page):
            raise ArgumentError(f"the report would overwrite {other}; give it a name of its own")
    destination(page)


def _check_stdout(json_file: Path | None) -> None:
    if json_file == STREAM:
        raise ArgumentError("the model and --json both go to standard output; name a file for one")
    if sys.stdout.isatty():
        raise ArgumentError("a model is no text; send standard output to a file or a pipe")


def _check_folder(folder: Path) -> None:
    """Check that a folder that is not there can be made."""
    try:
        folder.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be made: {error.strerror}") from error
    existing = next(above for above in folder.absolute().parents if os.path.lexists(above))
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {folder} cannot be made in {existing}")
