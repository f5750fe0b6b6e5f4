"""How much C a construct takes on a microcontroller: ``python -m tests.runtimes.code_size``.

Printed are the bytes of the file that emx-onnx-cgen writes, constants and all, for each construct
as exported, as onnxpool writes it for no target in particular, and for the target emx.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tests.runtimes import per_construct
from tests.runtimes.jobs import Job
from tests.runtimes.registry import by_name

RUNTIME = by_name("emx")
TIMEOUT = 120


def main(
    only: Annotated[list[str] | None, typer.Argument(help="Constructs; all, if none.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the environments are.")] = None,
) -> None:
    """Print the sizes as a table."""
    per_construct.show(RUNTIME, _in_words, only, folder)


def _in_words(python: Path, job: Job) -> str:
    return f"{code_size(python, Path(job.runs[0].model)):,}"


def code_size(python: Path, model: Path) -> int:
    """The bytes of the C file of a model.

    Raises:
        subprocess.CalledProcessError: it does not take the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "model.c"
        command = [str(python.with_name("emx-onnx-cgen")), "compile", str(model), str(written)]
        # Constants stay in the file, however large they are.
        whole = ["--large-weight-threshold", "0"]
        subprocess.run([*command, *whole], check=True, capture_output=True, timeout=TIMEOUT)
        return written.stat().st_size


if __name__ == "__main__":
    typer.run(main)
