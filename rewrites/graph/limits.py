"""How much of what a file asks for is run at all, and within which bounds."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from onnxpool.errors import ArgumentError

KEPT_BY_SYSTEM = sys.platform == "linux" and Path("/proc/self/statm").exists()
"""Whether the system keeps a process within its memory: macOS takes the limit and ignores it."""

OPERATIONS_PER_SECOND = 10**9
"""What one thread reads, makes or multiplies at the least."""

PIECE_SECONDS = 20.0
"""A piece of a graph that takes longer is no pooling."""

BASE_MEMORY = 256 << 20
"""Bytes that ONNX Runtime takes for itself."""

_MADE_OF_NOTHING = 1 << 24
"""Elements that a piece may make of next to nothing: some index tables, no map."""

_MADE_OF_EACH = 256
"""Elements that a piece may make of each element that it is given."""

_LARGE = 1 << 16
_LARGE_CONSTANTS = 1 << 26
"""Elements of all the large constants of a model together."""


def _three_quarters() -> int:
    """Of the memory of this machine; a guess where that is not told."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4
    except (AttributeError, ValueError, OSError):
        return 8 << 30


@dataclasses.dataclass
class Limits:
    """What one run of a whole model may take; pieces of one get less (see `most_made`).

    Attributes:
        seconds: how long.
        memory: how many bytes beside those of the process that runs it.
        follows_values: whether shape inference still follows values in this model (see infer.py).
    """

    seconds: float = 600.0
    memory: int = dataclasses.field(default_factory=_three_quarters)
    follows_values: bool = dataclasses.field(default=True, init=False, repr=False)
    _large: int = dataclasses.field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, value in (("time", self.seconds), ("memory", self.memory)):
            if not value > 0:
                raise ArgumentError(f"the {name} limit is {value:g}, wanted more than 0")

    @property
    def piece_seconds(self) -> float:
        return min(self.seconds, PIECE_SECONDS)

    def has_room_for(self, constant: int) -> bool:
        """Whether to make one more constant of so many elements; many large ones add up."""
        if constant <= _LARGE:
            return True
        self._large += constant
        return self._large <= _LARGE_CONSTANTS


def most_made(given: int) -> int:
    """How many elements a piece that is given so many may make."""
    return _MADE_OF_NOTHING + _MADE_OF_EACH * given


_current: contextvars.ContextVar[Limits | None] = contextvars.ContextVar("limits", default=None)


def current() -> Limits:
    return _current.get() or Limits()


@contextlib.contextmanager
def within(seconds: float | None = None, memory: int | None = None) -> Iterator[Limits]:
    """Run one model within these limits; None: as around this, or as no real model needs.

    Raises:
        ArgumentError: a limit is not above 0.
    """
    around = current()
    limits = Limits(
        around.seconds if seconds is None else seconds,
        around.memory if memory is None else memory,
    )
    token = _current.set(limits)
    try:
        yield limits
    finally:
        _current.reset(token)
