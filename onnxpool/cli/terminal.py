"""What the command line prints besides tables: JSON, progress and errors.

rich is loaded where something is shown: `--version`, and a watcher that is no terminal, need none.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpool.cli.text import one_line
from onnxpool.model.output import Output, destination

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Count = Callable[[int, int], None]
"""Called with how many of how many are done."""

Copy = Callable[[str, int, int], None]
"""Called with the name of a file, how many of its bytes are copied, and how many it has."""


def console(json_file: Path | None = None, *, stderr: bool = False) -> Console:
    """Where human output goes: not between the JSON, nor, with `stderr`, into a model."""
    from rich.console import Console

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
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

    with _progress(TextColumn(what), BarColumn(), MofNCompleteColumn()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def copying() -> Iterator[Copy]:
    """A progress bar per external data file, shown once its copy starts."""
    if not sys.stderr.isatty():
        yield lambda name, done, size: None
        return
    from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn

    tasks: dict[str, TaskID] = {}
    with _progress(
        TextColumn("copying {task.description}", markup=False), BarColumn(), DownloadColumn()
    ) as bars:

        def update(name: str, done: int, size: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(one_line(name), total=size)
            bars.update(tasks[name], completed=done)

        yield update


def _progress(*columns: Any) -> Progress:
    """A display on stderr that leaves nothing behind."""
    from rich.progress import Progress

    return Progress(*columns, console=console(stderr=True), transient=True)
