"""Rows as a table where every word fits in it, else one below the other; no word is broken."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onnxpool.cli.text import visible

_GAP = 2
"""Blanks between two columns."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A cell per column, and the style of all of them."""

    cells: Sequence[str]
    style: str = ""


def show_rows(
    console: Console, columns: Sequence[str], rows: Sequence[Row], right: Sequence[str] = ()
) -> None:
    """Print rows below their columns, or each as lines `column: cell` where there is no room.

    Args:
        right: the columns that are set to the right.
    """
    rows = [Row([visible(cell) for cell in row.cells], row.style) for row in rows]
    table = [columns, *(row.cells for row in rows)]
    widths = _widths(list(zip(*table, strict=True)), console.width - _GAP * (len(columns) - 1))
    if widths is None:
        _below_one_another(console, columns, rows)
        return
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    for column, width in zip(columns, widths, strict=True):
        shown.add_column(column, width=width, justify="right" if column in right else "left")
    for row in rows:
        shown.add_row(*map(Text, row.cells), style=row.style)
    console.print(shown)


def say(console: Console, markup: str) -> None:
    """Print a line; a word that is wider than the terminal stays whole."""
    for line in console.render_str(markup).split("\n", allow_blank=True):
        for part in line.divide(_breaks(line.plain, console.width)):
            part.rstrip()
            console.print(part, overflow="ignore", crop=False)


def _breaks(text: str, width: int) -> list[int]:
    """Where a line of `text` begins but the first: at words that would not fit any more."""
    found, start = [], 0
    for word in re.finditer(r"\S+", text):
        if word.start() > start and cell_len(text[start : word.end()]) > width:
            start = word.start()
            found.append(start)
    return found


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Of each column, so that every word fits; None where they do not fit side by side.

    What is spare goes in equal parts to the columns that want more, those that want least first.
    """
    widths = [max(map(_longest_word, cells)) for cells in columns]
    wanted = [max(map(cell_len, cells)) for cells in columns]
    spare = room - sum(widths)
    if spare < 0:
        return None
    order = sorted(range(len(columns)), key=lambda i: wanted[i] - widths[i])
    for place, i in enumerate(order):
        more = min(wanted[i] - widths[i], spare // (len(order) - place))
        widths[i] += more
        spare -= more
    return widths


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _below_one_another(console: Console, columns: Sequence[str], rows: Sequence[Row]) -> None:
    indent = " " * (max(map(cell_len, columns)) + _GAP)
    for number, row in enumerate(rows):
        if number:
            console.print()
        for column, cell in zip(columns, row.cells, strict=True):
            lines = textwrap.wrap(
                cell,
                console.width,
                initial_indent=f"{column + ':' * bool(column):{len(indent)}}",
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
            for line in lines:
                console.print(Text(line, row.style), overflow="ignore", crop=False)
