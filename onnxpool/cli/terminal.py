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

from onnxpool.cli.text import one_line
from onnxpool.model.output import Output, destination

Count = Callable[[int, int], None]
"""Called with how many of how many are done."""


def console(json_file: Path | None = None, *, stderr: bool = False) -> Console:
    """Where human output goes: not between the JSON, nor, with `stderr`, into a model."""
    return Console(stderr=stderr or str(json_file) == "-", emoji=False)


def write_json(facts: Any, json_file: Path | None) -> None:
    """Write facts to a file, to stdout where it is called "-", or nowhere.

    Raises:
        OutputError: the file cannot be written.
    """
    if json_file is None:
        return
    # In ASCII, which every console prints; the one control character that it holds is escaped too.
    text = json.dumps(facts, indent=2).replace("\x7f", "\\u007f") + "\n"
    if str(json_file) == "-":
        sys.stdout.write(text)
        return
    with Output() as output:
        output.write(text.encode(), destination(json_file))
        output.publish()


def complain(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"onnxpool: {one_line(message)}\n")


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
    errors = Console(stderr=True, emoji=False)
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)
