"""Nothing that a file says decides how long or how large we run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from tests.rewrites.graph.bombs import BOMBS

SECONDS = 30
"""Of processor time. Each takes one to four on a machine that does nothing else."""
MEGABYTES = 600

_COMMAND = "from onnxpool.cli.app import main; main()"
_LAUNCH = f"""
import os, subprocess, sys, threading
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
watchdog = threading.Timer({20 * SECONDS}, process.kill)
watchdog.start()
_, status, used = os.wait4(process.pid, 0)
watchdog.cancel()
unit = 1024 if sys.platform == "darwin" else 1
seconds = round(used.ru_utime + used.ru_stime)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss // unit, seconds)
"""
"""A small process between, since a child starts with the peak of who starts it."""


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs the memory of a child")
@pytest.mark.parametrize("command", ["inspect", "rewrite"])
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_matter_of_seconds(name: str, command: str, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.onnx"
    onnx.save(BOMBS[name](), bomb)
    files = [str(bomb), str(tmp_path / "out.onnx")][: 2 if command == "rewrite" else 1]
    log = tmp_path / "log"
    with log.open("w") as stream:
        launched = subprocess.run(
            [sys.executable, "-S", "-c", _LAUNCH, sys.executable, "-c", _COMMAND, command, *files],
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            check=True,
        )
    returncode, kilobytes, seconds = map(int, launched.stdout.split())
    text = log.read_text()
    assert returncode in (0, 2), text
    assert returncode == 0 or len(text.strip().splitlines()) == 1, text
    assert "Traceback" not in text
    assert kilobytes / 1024 < MEGABYTES
    assert seconds < SECONDS


_WAITS = """
import numpy as np, onnx, sys
from onnx import helper
sys.path.insert(0, {root!r})
from tests.rewrites.graph.bombs import BOMBS
from onnxpool.rewrites.graph.run import Runner
runner = Runner(BOMBS["endless_loop"]())
print("ready", flush=True)
runner({{"X": np.zeros((1, 4, 13, 13), np.float32)}})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGINT to send")
def test_ctrl_c_ends_a_run_at_once() -> None:
    root = str(Path(__file__).parents[3])
    process = subprocess.Popen(
        [sys.executable, "-c", _WAITS.format(root=root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert "KeyboardInterrupt" in errors
