"""A runtime in a process of its own, so that its crash or hang is a result and not the end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from onnxpool.ops.op import Array

HERE = Path(__file__).parent
WORKER = HERE / "worker.py"

Stage = Literal["done", "load", "run", "crashed", "timeout"]
START_TIMEOUT = 300.0
"""Seconds: some import PyTorch, and the machine may be busy."""
LOG_TAIL = 4000
MOST_WORDS = 400


class CannotStart(RuntimeError):
    """The runtime cannot be imported; the message says why, in one line."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What became of a request; see worker.py."""

    stage: Stage
    error: str = ""

    def in_words(self) -> str:
        """What the runtime says, in one line."""
        words = " ".join(self.error.split())[:MOST_WORDS]
        return f"{self.stage}: {words}" if self.stage in ("load", "run") else words


def driver_path(name: str) -> Path:
    return HERE / "drivers" / f"{name}.py"


class Worker:
    """A process that answers requests, started anew after a crash or hang.

    Attributes:
        version: of the runtime.
        fresh: whether no request has been answered by the process that runs now.
    """

    def __init__(
        self,
        name: str,
        driver: Path,
        python: Path,
        folder: Path,
        memory: int | None = None,
        start_timeout: float = START_TIMEOUT,
    ) -> None:
        """Start the process.

        Args:
            name: of the runtime, in words.
            driver: a file as in drivers/.
            python: has the runtime.
            folder: for what the runtime prints, and where it is started.
            memory: bytes that it may take; None: no limit.
            start_timeout: seconds until it is there.

        Raises:
            CannotStart: the runtime cannot be imported.
        """
        self.name = name
        self.fresh = True
        self._folder = folder
        self._command = [str(python.absolute()), str(WORKER), str(driver)]
        self._log = folder.absolute() / f"{name}.log"
        self._memory = memory
        self._start_timeout = start_timeout
        self._start()

    def run(
        self,
        model: Path,
        inputs: Sequence[Mapping[str, Array]],
        outputs: Sequence[str],
        timeout: float,
    ) -> tuple[Answer, list[list[Array]]]:
        """Load a model, and run it on each of `inputs`, by name in the order of the graph.

        Args:
            model: in a folder where the driver may write.

        Returns:
            The outputs of each run; none unless the answer is "done".
        """
        model = model.absolute()
        given, results = model.with_name("given.npz"), model.with_name("results.npz")
        results.unlink(missing_ok=True)
        arrays: dict[str, Any] = {
            f"{i}.{k}": x for i, xs in enumerate(inputs) for k, x in enumerate(xs.values())
        }
        np.savez(given, **arrays)
        request = {
            "model": str(model),
            "inputs": list(inputs[0]),
            "outputs": list(outputs),
            "runs": len(inputs),
            "given": str(given),
            "results": str(results),
        }
        answer = self.ask(request, timeout)
        if answer.stage != "done":
            return answer, []
        count = len(outputs)
        with np.load(results) as found:
            if len(found.files) != count * len(inputs):
                wanted = count * len(inputs)
                return Answer("run", f"{len(found.files)} outputs instead of {wanted}"), []
            runs = [[found[f"{i}.{k}"] for k in range(count)] for i in range(len(inputs))]
        return answer, runs

    def ask(self, request: dict[str, Any], timeout: float) -> Answer:
        """Send a request and wait for at most `timeout` seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        try:
            line = self._read_line(timeout)
        except TimeoutError:
            self.restart()
            return Answer("timeout", f"no answer within {timeout:g} s")
        self.fresh = False
        if line is None:
            status = self._process.wait()
            self.restart()
            return Answer("crashed", _end_in_words(status))
        return Answer(**json.loads(line))

    def restart(self) -> None:
        self.close()
        self._start()

    def close(self) -> None:
        if self._process.poll() is None:
            self._kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _start(self) -> None:
        self.fresh = True
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,
                cwd=self._folder,
            )
        try:
            self._limit_memory()
            line = self._read_line(self._start_timeout)
        except TimeoutError:
            self.close()
            reason = f"no answer within {self._start_timeout:g} s"
            raise CannotStart(f"{self.name} does not start: {reason}") from None
        except BaseException:  # Ctrl-C among others
            self.close()
            raise
        if line is None:
            self.close()
            tail = self._log.read_text(errors="replace")[-LOG_TAIL:].strip().splitlines()
            reason = tail[-1] if tail else "it says nothing"
            raise CannotStart(f"{self.name} does not start: {reason}")
        self.version = str(json.loads(line))

    def _limit_memory(self) -> None:
        if self._memory is None or sys.platform != "linux":
            return
        import resource

        # What is reserved and never written does not count, as address space would.
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self._process.pid, resource.RLIMIT_DATA, (self._memory, self._memory))

    def _read_line(self, timeout: float) -> bytes | None:
        """The next line; None at the end of the output."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self._kill()

        watchdog = threading.Timer(timeout, end)
        watchdog.daemon = True
        watchdog.start()
        try:
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        if late.is_set():
            raise TimeoutError
        return line if line.endswith(b"\n") else None

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)  # what it has started, too
            else:
                self._process.kill()


@contextlib.contextmanager
def running(worker: Worker) -> Iterator[Worker]:
    """The worker, which is closed in the end."""
    try:
        yield worker
    finally:
        worker.close()


def _end_in_words(status: int) -> str:
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
