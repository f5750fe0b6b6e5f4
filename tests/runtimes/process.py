"""A runtime in a process of its own, so that its crash or hang is a result and not the end."""

from __future__ import annotations

import dataclasses
import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Literal

from tests.runtimes.registry import HERE, Runtime

Stage = Literal["done", "load", "run", "crashed", "timeout"]
START_TIMEOUT = 120.0
LOG_TAIL = 4000


@dataclasses.dataclass(frozen=True)
class Answer:
    """What became of a request; see worker.py."""

    stage: Stage
    error: str = ""


class Worker:
    """A process that answers requests, started anew after a crash or hang.

    Attributes:
        version: of the runtime.
        fresh: whether no request has been answered by the process that runs now.
    """

    def __init__(self, runtime: Runtime, python: Path, folder: Path) -> None:
        """Start the process.

        Args:
            folder: for what the runtime prints.

        Raises:
            RuntimeError: the runtime cannot be imported.
        """
        self.runtime = runtime
        self.fresh = True
        self._command = [str(python), str(HERE / "worker.py"), str(runtime.driver_path)]
        self._log = folder / f"{runtime.name}.log"
        self._start()

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
            os.killpg(self._process.pid, signal.SIGKILL)
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
            )
        try:
            line = self._read_line(START_TIMEOUT)
        except TimeoutError:
            line = None
        if line is None:
            self.close()
            tail = self._log.read_text(errors="replace")[-LOG_TAIL:].strip().splitlines()
            reason = tail[-1] if tail else f"no answer within {START_TIMEOUT:g} s"
            raise RuntimeError(f"{self.runtime.name} does not start: {reason}")
        self.version = json.loads(line)

    def _read_line(self, timeout: float) -> bytes | None:
        """The next line; None at the end of the output."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + timeout
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            part = os.read(descriptor, 65536)
            if not part:
                return None
            line += part
        return line


def _end_in_words(status: int) -> str:
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
