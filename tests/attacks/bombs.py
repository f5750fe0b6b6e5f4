"""What each bomb takes: ``python -m tests.attacks.bombs [NAME …]``.

The bombs are those of tests/rewrites/graph/bombs.py; each goes through the command line in a
process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import onnx

from tests.rewrites.graph.bombs import BOMBS

SECONDS = 30
"""Of processor time. Each takes one to four on a machine that does nothing else."""

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


def measured(*arguments: str) -> tuple[int, int, int, str]:
    """The exit status of a call, its memory in MB, its processor time in seconds, what it said."""
    with tempfile.TemporaryFile("w+") as stream:
        launched = subprocess.run(
            [sys.executable, "-S", "-c", _LAUNCH, sys.executable, "-c", _COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            check=True,
        )
        stream.seek(0)
        status, kilobytes, seconds = map(int, launched.stdout.split())
        return status, kilobytes >> 10, seconds, stream.read()


def main() -> None:
    print("| bomb | bytes | inspect | rewrite |\n|--|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or BOMBS:
            bomb = Path(folder) / "bomb.onnx"
            onnx.save(BOMBS[name](), bomb)
            cells = []
            for files in (("inspect", str(bomb)), ("rewrite", str(bomb), f"{folder}/out.onnx")):
                status, megabytes, seconds, _ = measured(*files)
                cells.append(f"{seconds} s, {megabytes} MB, exit {status}")
            print(f"| {name} | {bomb.stat().st_size} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
