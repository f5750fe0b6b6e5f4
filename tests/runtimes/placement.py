"""Which ops Rockchip's NPU leaves to its CPU: ``python -m tests.runtimes.placement``.

The toolkit says of every op where it runs when it builds a model. Printed are the ops on the CPU,
for each construct as exported, as onnxpool writes it for no target in particular, and for the
target rknn. (Qualcomm's toolchain refuses a model of which anything would stay on the CPU.)
"""

from __future__ import annotations

import collections
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from onnxpool.targets.running.process import WORKER
from tests.runtimes import per_construct
from tests.runtimes.jobs import Job
from tests.runtimes.registry import HERE, by_name

RUNTIME = by_name("rknn")
TIMEOUT = 120
BUILD = HERE / "rknn_build.py"
PLACED = re.compile(r"\] \d+ +(\w+) +\w+ +(CPU|NPU|GPU) ")
ENDS = ("InputOperator", "OutputOperator")


def main(
    only: Annotated[list[str] | None, typer.Argument(help="Constructs; all, if none.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the environments are.")] = None,
) -> None:
    """Print the ops on the CPU as a table."""
    per_construct.show(RUNTIME, _in_words, only, folder)


def _in_words(python: Path, job: Job) -> str:
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python), str(BUILD), str(RUNTIME.driver_path), job.runs[0].model]
        env = {**os.environ, "PYTHONPATH": str(WORKER.parent)}
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=TIMEOUT
        )
    if done.returncode:
        return "does not build"
    left = collections.Counter(on_the_cpu(done.stdout + done.stderr))
    return ", ".join(f"{n} {op}" if n > 1 else op for op, n in left.items()) or "none"


def on_the_cpu(log: str) -> Iterator[str]:
    """The ops that are not on the NPU, from what the toolkit prints."""
    for op, unit in PLACED.findall(log):
        if unit != "NPU" and op not in ENDS:
            yield op


if __name__ == "__main__":
    typer.run(main)
