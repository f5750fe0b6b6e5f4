"""What a file holds, in another file: shared where the file system can, else copied without holes.

A hole is a range that was never written: it reads as zeros and takes no room. A sparse file of
20 GB whose weights are placeholders is copied in no time, and takes none in the copy either.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

if sys.platform == "linux":
    import fcntl

_FICLONE = 0x40049409
"""Linux's ioctl: the file shares the blocks of another, until one of them is written to."""

_CHUNK = 1 << 24
_COMPARED = 1 << 26
_SECOND = 10**9

Told = Callable[[int, int], None]
"""Called with the bytes that are done, and all of them."""


class FileChanged(OSError):
    """A file was written to while it was read."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EBUSY, f"{path} changed while it was copied")


def copy(source: Path, writer: BinaryIO, told: Told) -> None:
    """Let `writer`, of an empty file, hold what `source` does, with the same time of change.

    Raises:
        OSError: it cannot be read, or written; `FileChanged` where it is not what it was.
    """
    with source.open("rb") as reader:
        before = os.fstat(reader.fileno())
        done = 0
        if not _share(reader, writer):
            for start, end in _data(reader.fileno(), before.st_size):
                for first in range(start, end, _CHUNK):
                    reader.seek(first)
                    writer.seek(first)
                    writer.write(reader.read(min(_CHUNK, end - first)))
                    done = min(first + _CHUNK, end)
                    told(done, before.st_size)
            writer.truncate(before.st_size)
        if done < before.st_size:
            told(before.st_size, before.st_size)
        writer.flush()
        after = os.fstat(reader.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise FileChanged(source)
    if os.utime in os.supports_fd:
        os.utime(writer.fileno(), ns=(before.st_atime_ns, before.st_mtime_ns))


def _share(reader: BinaryIO, writer: BinaryIO) -> bool:
    """Share the blocks; False where the file system, or the system, has no such thing."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
    except OSError:
        return False
    return True


def _data(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Start and end of the ranges that are no holes; all is one where holes are not told."""
    if not hasattr(os, "SEEK_DATA"):
        yield 0, size
        return
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here
                return
            start, end = position, size
        yield start, end
        position = end


def is_same(a: Path, b: Path) -> bool:
    """Whether two files hold the same.

    Of a large file its size and its time of change say so, which a copy of ours has from what it
    is a copy of. A time in whole seconds says nothing: an archive gives one to all that is in it.

    Raises:
        OSError: one of them cannot be read.
    """
    one, other = a.stat(), b.stat()
    if os.path.samestat(one, other):
        return True
    if one.st_size != other.st_size:
        return False
    tells = one.st_size > _COMPARED and one.st_mtime_ns % _SECOND
    if tells and one.st_mtime_ns == other.st_mtime_ns:
        return True
    with a.open("rb") as first, b.open("rb") as second:
        while chunk := first.read(_CHUNK):
            if chunk != second.read(_CHUNK):
                return False
    return True
