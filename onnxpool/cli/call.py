"""The call that this process serves: what the line says that ends it, if it fails."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

_PATIENCE = 0.7
"""Seconds that a call has to end by itself after Ctrl-C."""


@dataclasses.dataclass
class Call:
    """One call of the command line.

    Attributes:
        model: the model that is worked on.
        written: the file that was written, once it is in its place.
        gives_file: whether it is to write a model; else what it prints is all that it gives.
        debug: whether a traceback is wanted.
        quiet: whether nothing is to be said but what is wrong.
        verbose: whether every step is to be told.
        ending: whether an interrupt was noticed and is being followed.
    """

    model: str = ""
    written: str = ""
    gives_file: bool = False
    debug: bool = False
    quiet: bool = False
    verbose: bool = False
    ending: bool = False

    def begin(self) -> None:
        """Forget what was."""
        vars(self).update(vars(Call()))

    @property
    def interrupted(self) -> str:
        """What to say of an interrupt."""
        return f"interrupted; {self.written or 'nothing'} was written"


call = Call()
"""The call of this process; `app.main` begins it anew."""


class Terminated(BaseException):
    """The process was asked to end (SIGTERM)."""


@contextlib.contextmanager
def heeding_sigterm() -> Iterator[None]:
    """Let SIGTERM end what is done in here as Ctrl-C does, by an exception."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def heeding_interrupts() -> Iterator[None]:
    """Let Ctrl-C end the process soon, even while a library computes and no Python code runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_end_after_interrupt, args=(reader,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)


def _end_after_interrupt(reader: int) -> None:
    """Wait for Ctrl-C, give Python code the time to end as it should, then end all."""
    while (number := os.read(reader, 1)) and number[0] != signal.SIGINT:
        pass
    if number:
        time.sleep(_PATIENCE)
        if not call.ending:
            sys.stderr.write(f"onnxpool: {call.interrupted}\n")
            sys.stderr.flush()
            os._exit(128 + signal.SIGINT)
    os.close(reader)
