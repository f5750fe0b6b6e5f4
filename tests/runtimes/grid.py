"""A table of words on a page, which is read again, so that a run of some columns keeps the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from tests.runtimes.document import table

Words = Mapping[tuple[str, str], str]
"""By row and column."""
NOT_RUN = "not run"


def grid(corner: str, columns: Sequence[str], rows: Sequence[str], found: Words) -> str:
    """The table in Markdown; rows of which nothing is known are left out.

    Args:
        corner: the head of the first column.
    """
    lines = [
        (row, *(found.get((row, column), NOT_RUN).replace("|", "\\|") for column in columns))
        for row in rows
        if any((row, column) in found for column in columns)
    ]
    return table((corner, *columns), lines)


def read(
    page: str, columns: Sequence[str], rows: Sequence[str]
) -> Iterator[tuple[tuple[str, str], str]]:
    """What a page with a table of `grid` says."""
    for line in page.splitlines():
        row, *words = [text.strip() for text in re.split(r"(?<!\\)\|", line.strip("|"))]
        if row in rows and len(words) == len(columns):
            yield from (
                ((row, column), text.replace("\\|", "|"))
                for column, text in zip(columns, words, strict=True)
            )
