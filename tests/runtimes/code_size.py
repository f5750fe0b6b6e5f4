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

from tests.runtimes import environments
from tests.runtimes.constructs import STATIC, TOOLCHAIN_STATES, builders
from tests.runtimes.document import table
from tests.runtimes.jobs import DEFAULT, Job, jobs_of, prepare
from tests.runtimes.registry import by_name

RUNTIME = by_name("emx")
TIMEOUT = 120


def main(
    only: Annotated[list[str] | None, typer.Argument(help="Constructs; all, if none.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the environments are.")] = None,
) -> None:
    """Print the sizes as a table."""
    place = folder or environments.default_folder()
    python = environments.python_of(RUNTIME, place)
    if python is None:
        raise typer.BadParameter(f"{RUNTIME.name} is not installed in {place}")
    rows = []
    for builder in only or builders():
        made = prepare(builder, [RUNTIME.target, DEFAULT], place / "models", forms=STATIC)
        sizes = [_in_words(python, job) for job in jobs_of(RUNTIME, made)]
        rows.append((f"`{builder}`", *sizes))
    print(table(("construct", *TOOLCHAIN_STATES), rows))


def _in_words(python: Path, job: Job) -> str:
    if job.not_made:
        return "not made"
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
