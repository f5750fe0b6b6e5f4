"""Nothing that a file says decides how long or how large we run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from tests.attacks.bombs import SECONDS, measured
from tests.rewrites.graph.bombs import BOMBS

MEGABYTES = 600


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs the memory of a child")
@pytest.mark.parametrize("command", ["inspect", "rewrite"])
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_a_matter_of_seconds(name: str, command: str, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.onnx"
    onnx.save(BOMBS[name](), bomb)
    files = [str(bomb), str(tmp_path / "out.onnx")][: 2 if command == "rewrite" else 1]
    returncode, megabytes, seconds, text = measured(command, *files)
    assert returncode in (0, 2), text
    assert returncode == 0 or len(text.strip().splitlines()) == 1, text
    assert "Traceback" not in text
    assert megabytes < MEGABYTES
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
