"""What a long call is at, told to whoever shows it; nobody need listen."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator

Watch = Callable[[str, int, int], None]
"""Called with what is begun or goes on, how much of it is done, and of how much; 0 of 0 where that
is not counted."""

_watch: contextvars.ContextVar[Watch | None] = contextvars.ContextVar("watch", default=None)


def at(what: str, done: int = 0, total: int = 0) -> None:
    """Say what is done now, such as "looking for pooling"."""
    if (watch := _watch.get()) is not None:
        watch(what, done, total)


def is_watched() -> bool:
    return _watch.get() is not None


@contextlib.contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Let `watch` be told of every step that is made in here."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)
