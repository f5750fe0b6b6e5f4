"""A process that runs models for this one, and may be killed while it does.

ONNX Runtime gives the interpreter no chance to see Ctrl-C or a clock while it computes, and takes
what memory it can get. So what may be large runs in a process of its own: its address space is
limited by the system, a watchdog in the parent ends it in time, and a limit on its processor time
ends it where the parent was killed. Where the system limits no memory (Windows, macOS), the
watchdog also looks how much it holds. It is started when first needed, used again, and ends when
its standard input does.

    parent → worker   (seconds, bytes, key, source, inputs); without a source: as before;
                      (seconds, bytes, None, function, arguments)
    worker → parent   ("outputs", answer), ("unknown", None), ("refused", text), ("memory", None)

Messages are pickled, behind eight bytes with their length.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from onnxpool.errors import LibraryError
from onnxpool.ops.op import Array
from onnxpool.rewrites.graph import limits
from onnxpool.rewrites.graph.resident import resident
from onnxpool.rewrites.graph.session import RunError, Session, Source, TooLarge, one_line

_HEADER = 8
_SESSIONS = 4
"""Models that a worker keeps loaded."""
_STARTING = 60.0
"""Seconds, beside the time of the task: a busy machine takes its time to start a process."""

_BETWEEN = 0.05
"""Seconds between two looks at the memory of a worker."""

_KEYS = itertools.count()

Outputs = tuple[Array, ...]


class Remote:
    """A model that a worker runs."""

    def __init__(self, source: Source) -> None:
        self._key = next(_KEYS)
        self._source = source

    def load(self, seconds: float, memory: int) -> None:
        """Raises:
        RunError: ONNX Runtime refuses it, or not within the limits.
        """
        self._ask(None, seconds, memory)

    def run(self, inputs: Mapping[str, Array], seconds: float, memory: int) -> Outputs:
        """Raises:
        RunError: it fails on these inputs, or is not done within the limits.
        """
        return self._ask(dict(inputs), seconds, memory)

    def _ask(self, inputs: dict[str, Array] | None, seconds: float, memory: int) -> Outputs:
        with _LOCK:
            worker = _running()
            bounds = seconds, memory
            kind, answer = worker.ask((self._key, None, inputs), *bounds)
            if kind == "unknown":
                kind, answer = worker.ask((self._key, self._source, inputs), *bounds)
        return cast(Outputs, _taken(kind, answer, memory))


def apart(function: Callable[..., Any], given: Sequence[Any], seconds: float, memory: int) -> Any:
    """Call a function of a module in a worker.

    Raises:
        RunError: it raises anything.
        TooLarge: it is not done within the limits.
    """
    with _LOCK:
        kind, answer = _running().ask((None, function, given), seconds, memory)
    return _taken(kind, answer, memory)


def _taken(kind: str, answer: Any, memory: int) -> Any:
    if kind == "outputs":
        return answer
    raise _more_than(memory) if kind == "memory" else RunError(answer)


def _more_than(memory: int) -> TooLarge:
    return TooLarge(f"too large to try: it needs more than {memory >> 20:,} MiB of memory")


class _Watchdog(threading.Thread):
    """Ends a process that takes too long, or too much where the system does not see to that."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float, memory: int) -> None:
        super().__init__(daemon=True)
        self.is_late = self.is_large = False
        self._process = process
        self._end = time.monotonic() + seconds
        self._memory = None if limits.KEPT_BY_SYSTEM else memory + (resident(process.pid) or 0)
        self._done = threading.Event()

    def run(self) -> None:
        while (left := self._end - time.monotonic()) > 0:
            if self._done.wait(left if self._memory is None else min(left, _BETWEEN)):
                return
            if self._memory is not None and (resident(self._process.pid) or 0) > self._memory:
                self.is_large = True
                self._process.kill()
                return
        self.is_late = True
        self._process.kill()

    def stop(self) -> None:
        self._done.set()


class _Worker:
    def __init__(self) -> None:
        serving = f"from {__name__} import serve; serve({limits.KEPT_BY_SYSTEM})"
        program = f"import sys; sys.path[:] = {sys.path!r}; {serving}"
        self.owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._has_answered = False

    @property
    def is_usable(self) -> bool:
        return self.owner == os.getpid() and self._process.poll() is None

    def ask(self, task: tuple[Any, ...], seconds: float, memory: int) -> tuple[str, Any]:
        """What it answers within these limits; a worker that does not is ended.

        Raises:
            TooLarge: it takes more.
            RunError: its process ended.
        """
        start = 0.0 if self._has_answered else _STARTING
        watchdog = _Watchdog(self._process, seconds + start, memory)
        watchdog.start()
        try:
            _send(cast(BinaryIO, self._process.stdin), (seconds, memory, *task))
            answer = _receive(cast(BinaryIO, self._process.stdout))
            self._has_answered = True
            return cast(tuple[str, Any], answer)
        except (EOFError, OSError) as error:
            self.end()
            if watchdog.is_large:
                raise _more_than(memory) from error
            if watchdog.is_late:
                raise TooLarge(f"too large to try: it runs for more than {seconds:g} s") from error
            raise RunError(f"its process ended: {_how(self._process.returncode)}") from error
        except BaseException:  # Ctrl-C among others: the answer to come is nobody's
            self.end()
            raise
        finally:
            watchdog.stop()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                cast(BinaryIO, stream).close()


_LOCK = threading.Lock()
_worker: _Worker | None = None


def _running() -> _Worker:
    global _worker
    if _worker is None or not _worker.is_usable:
        if _worker is not None and _worker.owner == os.getpid():
            _worker.end()
        _worker = _Worker()
    return _worker


@atexit.register
def _end() -> None:
    if _worker is not None and _worker.owner == os.getpid():
        _worker.end()


def _how(status: int) -> str:
    if status == -9:
        return "it was killed; out of memory?"
    return f"by signal {-status}" if status < 0 else f"with status {status}"


def _send(stream: BinaryIO, message: Any) -> None:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(len(data).to_bytes(_HEADER, "little"))
    stream.write(data)
    stream.flush()


def _receive(stream: BinaryIO) -> Any:
    header = stream.read(_HEADER)
    data = stream.read(int.from_bytes(header, "little"))
    if len(header) < _HEADER or not data:
        raise EOFError
    return pickle.loads(data)


def serve(memory_is_kept: bool) -> None:
    """What a worker does, until its standard input ends.

    Args:
        memory_is_kept: whether the system is to keep it within its memory.
    """
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    # What ONNX Runtime prints would fall between the answers.
    os.dup2(2, 1)
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    sessions: OrderedDict[int, Session] = OrderedDict()
    while True:
        seconds, memory, *task = tasks.get()
        _limit(seconds, memory if memory_is_kept else None)
        _send(answers, _answer(task, sessions))


def _listen(tasks: queue.SimpleQueue[Any]) -> None:
    """Take tasks in; end this process, whatever it is doing, when there are no more to come."""
    while True:
        try:
            tasks.put(_receive(sys.stdin.buffer))
        except EOFError:
            os._exit(0)


def _answer(task: Any, sessions: OrderedDict[int, Session]) -> tuple[str, Any]:
    key, source, inputs = task
    try:
        if key is None:
            return _called(source, inputs)
        if source is not None:
            sessions[key] = Session(source)
            while len(sessions) > _SESSIONS:
                sessions.popitem(last=False)
        if key not in sessions:
            return "unknown", None
        return "outputs", () if inputs is None else sessions[key].run(inputs)
    except MemoryError:
        return "memory", None
    except (RunError, LibraryError) as error:
        lacks_memory = "bad_alloc" in str(error) or "allocate memory" in str(error)
        return ("memory", None) if lacks_memory else ("refused", str(error))


def _called(function: Callable[..., Any], arguments: Sequence[Any]) -> tuple[str, Any]:
    try:
        return "outputs", function(*arguments)
    except MemoryError:
        raise
    except Exception as error:  # whatever it is, it is told
        return "refused", one_line(error)


def _limit(seconds: float, memory: int | None) -> None:
    """Let this process have so much more processor time and memory than it has had."""
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 2)
    if memory is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + memory)


def _lower(limit: int, value: int) -> None:
    """Set a limit as low as this, if it is not lower by the system's wish."""
    import resource

    _, most = resource.getrlimit(limit)
    lowered = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(limit, (lowered, most))
