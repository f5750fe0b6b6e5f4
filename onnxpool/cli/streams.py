"""Standard output and error that never raise: what cannot be printed does not stop the work."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from onnxpool.cli.text import PLAIN


class Stream:
    """A text stream that takes every character, and drops what its file does not take.

    Attributes:
        lost: why something was dropped; empty while nothing was, or while nobody reads: after
            `| head`, or where it was closed from the start.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self.lost = ""
        self._open = True

    def write(self, text: str) -> int:
        plain = text.encode(self.encoding, PLAIN).decode(self.encoding)
        self._try(lambda stream: stream.write(plain))
        return len(text)

    def flush(self) -> None:
        self._try(lambda stream: stream.flush())

    def write_bytes(self, data: bytes) -> None:
        """Write below the text.

        Raises:
            OSError: not all of it can be written.
        """
        if self._stream is None:
            raise OSError(errno.EBADF, "it is closed")
        try:
            self._stream.flush()
            self._stream.buffer.write(data)
            self._stream.buffer.flush()
        except OSError:
            self._discard()
            raise

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, act: Callable[[TextIO], object]) -> None:
        if self._stream is None or not self._open:
            return
        try:
            act(self._stream)
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.lost = error.strerror or str(error)
            self._discard()

    def _discard(self) -> None:
        """Let all that is still to be written go nowhere, so that no flush fails again."""
        self._open = False
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


@contextlib.contextmanager
def lenient() -> Iterator[tuple[Stream, Stream]]:
    """Put such streams in the place of stdout and stderr."""
    _occupy()
    before = sys.stdout, sys.stderr
    streams = Stream(sys.stdout), Stream(sys.stderr)
    sys.stdout, sys.stderr = streams
    try:
        yield streams
    finally:
        for stream in streams:
            stream.flush()
        sys.stdout, sys.stderr = before


def _occupy() -> None:
    """Open the standard streams that came closed, or the next file would get their numbers.

    What a library prints would then go into a model.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
