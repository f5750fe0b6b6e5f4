"""What the command line prints besides tables: JSON, progress and errors."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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

from onnxpool.errors import OutputError

Count = Callable[[int, int], None]
"""Called with how many of how many are done."""


def console(json_file: Path | None = None) -> Console:
    """Where human output goes: not between the JSON."""
    return Console(stderr=str(json_file) == "-")


def write_json(facts: Any, json_file: Path | None) -> None:
    """Write facts to a file, to stdout where it is called "-", or nowhere.

    Raises:
        OutputError: the file cannot be written.
    """
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


def complain(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"onnxpool: {' '.join(message.split())}\n")


@contextlib.contextmanager
def counting(what: str) -> Iterator[Count]:
    """A progress bar over models, sizes or rounds."""
    with _progress(TextColumn(what), BarColumn(), MofNCompleteColumn()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def copying() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar per external data file, shown once its copy starts."""
    columns = (TextColumn("copying {task.description}"), BarColumn(), DownloadColumn())
    tasks: dict[str, TaskID] = {}
    with _progress(*columns) as bars:

        def update(name: str, done: int, size: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=size)
            bars.update(tasks[name], completed=done)

        yield update


def _progress(*columns: ProgressColumn) -> Progress:
    """A display on stderr that leaves nothing behind; none where nobody watches."""
    errors = Console(stderr=True)
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)
