"""Text that any terminal can be given: the names in a model are anyone's."""

from __future__ import annotations

import codecs

_PLAIN = {"→": "->", "×": "x", "…": "...", "≤": "<=", "·": ".", "–": "-", "²": "^2", "³": "^3"}


def visible(text: str) -> str:
    """`text` in one line, with escapes for what a terminal would act on or not show."""
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def one_line(text: str) -> str:
    """`text` with its lines and blanks joined, and escapes as in `visible`."""
    return visible(" ".join(text.split()))


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    return "".join(_PLAIN.get(char) or _escape(char) for char in unknown), error.end


PLAIN = "onnxpool.plain"
"""Name of an error handler for encoding: plain characters for those that are not there."""

codecs.register_error(PLAIN, _plain)
