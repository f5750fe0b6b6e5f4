"""Processes that may die: each does one task at a time, and what became of every task is told.

A worker that crashes, is killed or takes too long costs its task and nothing else: another takes
its place. No worker outlives the process that started it, however that one ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from onnxpool.collecting import collect_rarely

_PR_SET_PDEATHSIG = 1
_SPARED = 512 << 20
"""Memory left to others, in bytes."""

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Died:
    """A task without a result.

    Attributes:
        reason: what became of its worker, in words.
        seconds: how long it took until then.
    """

    reason: str
    seconds: float


class Workers(Generic[Task, Result]):
    """Up to `number` processes that apply one function; a context that leaves none behind."""

    def __init__(
        self, function: Callable[[Task], Result], number: int, *, time_limit: float | None = None
    ) -> None:
        """Take what can be pickled.

        Args:
            time_limit: of one task, in seconds.
        """
        self._function = function
        self._number = number
        self._time_limit = time_limit
        self._busy: list[_Worker] = []
        self._idle: list[_Worker] = []

    def __enter__(self) -> Workers[Task, Result]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for worker in (*self._busy, *self._idle):
            worker.kill()
        for worker in (*self._busy, *self._idle):
            worker.end()

    def map(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result | Died]]:
        """Do all tasks; yields each with its result, as they are ready."""
        waiting = iter(tasks)
        while True:
            while len(self._busy) < self._number:
                try:
                    task = next(waiting)
                except StopIteration:
                    break
                worker = self._free()
                worker.start(task)
                self._busy.append(worker)
            if not self._busy:
                return
            for worker in self._ready():
                self._busy.remove(worker)
                result = worker.result(self._time_limit)
                if isinstance(result, Died):
                    worker.kill()
                    worker.end()
                else:
                    self._idle.append(worker)
                yield worker.task, result

    def _free(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive:
                return worker
            worker.end()
        return _Worker(self._function)

    def _ready(self) -> list[_Worker]:
        """The busy workers that are done, dead or too late; waits until there is one."""
        wait = None
        if self._time_limit is not None:
            wait = max(0.0, self._time_limit - max(worker.seconds for worker in self._busy))
        watched = {worker.connection: worker for worker in self._busy}
        done = multiprocessing.connection.wait(list(watched), wait)
        late = [w for w in self._busy if self._time_limit and w.seconds >= self._time_limit]
        return list(
            dict.fromkeys([*(watched[c] for c in done if isinstance(c, Connection)), *late])
        )


class _Worker:
    """A process, and the end of the pipe that leads to it; the other end closes when it dies."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        # Spawned: a fork takes over the locks of the threads that onnxruntime and torch started.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, function, os.getpid()))
        with _interrupts_held_back():
            self._process.start()
        theirs.close()
        self.task: Any = None
        self._since = 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._since

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def start(self, task: Any) -> None:
        self.task, self._since = task, time.monotonic()
        # One that died before its task is found when its result is waited for.
        with contextlib.suppress(OSError):
            self.connection.send(task)

    def result(self, time_limit: float | None) -> Any:
        """What the task gave; `Died` where it gives nothing."""
        try:
            if self.connection.poll():
                return self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return Died(_end_in_words(self._process.exitcode or 0), self.seconds)
        return Died(f"it took more than {time_limit:g} s", self.seconds)

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        self._process.join()
        self.connection.close()


def _end_in_words(exit_code: int) -> str:
    if exit_code >= 0:
        return f"its process ended with status {exit_code}"
    name = signal.Signals(-exit_code).name
    guess = "; out of memory?" if -exit_code == getattr(signal, "SIGKILL", 0) else ""
    return f"its process was ended by {name}{guess}"


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let a process start without Ctrl-C, which is for the one that waits for it."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, function: Callable[[Any], Any], parent: int) -> None:
    """Serve tasks until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    collect_rarely()
    _die_with(parent)
    # What libraries print would fall between the lines of the others.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(function(task))


def _die_with(parent: int) -> None:
    """End this process when its parent does, in whatever it is doing."""
    threading.Thread(target=_watch_parent, daemon=True).start()
    if sys.platform == "linux":
        import ctypes

        # The thread may not run while a library holds the lock of the interpreter.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def number_by_default(each: int) -> int:
    """How many workers the processors and the memory of this process are enough for.

    Args:
        each: the memory that one of them may need, in bytes.
    """
    memory = _memory()
    fitting = _processors() if memory is None else max(0, memory - _SPARED) // each
    return max(1, min(_processors(), fitting))


def _processors() -> int:
    """The processors that this process may use: its mask, and the quota of its group."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _group("cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():
        return max(1, min(count or 1, int(quota[0]) // int(quota[1])))
    return count or 1


def _memory() -> int | None:
    """The memory that is free for this process; None where that is not known."""
    lines = (line.split() for line in _text(Path("/proc/meminfo")).splitlines())
    found = [int(line[1]) << 10 for line in lines if line[0] == "MemAvailable:"]
    limit, used = _group("memory.max"), _group("memory.current")
    if limit.isdigit() and used.isdigit():
        found.append(max(0, int(limit) - int(used)))
    return min(found, default=None)


def _group(name: str) -> str:
    """A limit of the control group of this process; empty where there is none."""
    own = _text(Path("/proc/self/cgroup")).partition("0::/")[2].strip()
    root = Path("/sys/fs/cgroup")
    return _text(root / own / name) or _text(root / name)


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except OSError:
        return ""
