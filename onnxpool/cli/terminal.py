"""What the command line prints besides tables: JSON, progress and errors.

rich is loaded where something is shown: `--version`, and a watcher that is no terminal, need none.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpool import steps
from onnxpool.cli.call import call
from onnxpool.cli.text import one_line
from onnxpool.model.output import Output, destination

if TYPE_CHECKING:
    from rich.console import Console

Count = Callable[[int, int], None]
"""Called with how many of how many are done."""

Copy = Callable[[str, int, int], None]
"""Called with the name of a file, how many of its bytes are copied, and how many it has."""

_BYTES = 1 << 20
"""Nothing that is counted one by one is as many."""


def console(
    json_file: Path | None = None, *, stderr: bool = False, always: bool = False
) -> Console:
    """Where human output goes: not between the JSON, nor, with `stderr`, into a model.

    Args:
        always: print with --quiet, too.
    """
    from rich.console import Console

    quiet = call.quiet and not always
    return Console(stderr=stderr or str(json_file) == "-", emoji=False, quiet=quiet)


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
def following() -> Iterator[None]:
    """Show what is done now: a line that changes, and with --verbose a line for each step."""
    if steps.is_watched() or call.quiet:
        yield
        return
    with contextlib.ExitStack() as display:
        watches: list[steps.Watch] = []
        screen = console(stderr=True)
        if sys.stderr.isatty():
            watches.append(display.enter_context(_line(screen)))
        if call.verbose:
            watches.append(display.enter_context(_log(screen)))

        def show(what: str, done: int, total: int) -> None:
            for watch in watches:
                watch(one_line(what), done, total)

        display.enter_context(steps.watching(show))
        yield


@contextlib.contextmanager
def counting(what: str) -> Iterator[Count]:
    """Show how many models, sizes or rounds are done."""
    with following():
        yield lambda done, total: steps.at(what, done, total)


@contextlib.contextmanager
def copying() -> Iterator[Copy]:
    """Show what is done, and how much of which external data file is copied."""
    with following():
        yield lambda name, done, size: steps.at(f"copying {name}", done, size)


@contextlib.contextmanager
def _line(screen: Console) -> Iterator[steps.Watch]:
    """One line on stderr that leaves nothing behind: the step, how far it is, and the time."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[share]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task("starting", total=None, share="")

        def show(what: str, done: int, total: int) -> None:
            share = _share(done, total)
            # A step may be shorter than the time between two pictures.
            is_new = progress.tasks[task].description != what
            progress.update(
                task,
                description=what,
                completed=done,
                total=total or None,
                share=share,
                refresh=is_new,
            )

        yield show


@contextlib.contextmanager
def _log(screen: Console) -> Iterator[steps.Watch]:
    """A line on stderr for every step that has ended, with its seconds."""
    at, since = "", time.monotonic()

    def show(what: str, _done: int = 0, _total: int = 0) -> None:
        nonlocal at, since
        if what == at:
            return
        if at:
            screen.print(f"{time.monotonic() - since:6.2f} s  {at}", markup=False)
        at, since = what, time.monotonic()

    try:
        yield show
    finally:
        show("")


def _share(done: int, total: int) -> str:
    """How much of how much; of bytes in megabytes."""
    if not total:
        return ""
    return f"{done}/{total}" if total < _BYTES else f"{done / 1e6:.0f}/{total / 1e6:.0f} MB"
