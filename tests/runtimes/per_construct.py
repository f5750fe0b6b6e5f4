"""A word on every construct, as a toolchain gets it in each of its states, as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from tests.runtimes import environments
from tests.runtimes.constructs import STATIC, TOOLCHAIN_STATES, builders
from tests.runtimes.document import table
from tests.runtimes.jobs import DEFAULT, Job, jobs_of, prepare
from tests.runtimes.registry import Runtime


def show(
    runtime: Runtime,
    word: Callable[[Path, Job], str],
    only: Sequence[str] | None = None,
    folder: Path | None = None,
) -> None:
    """Print it.

    Args:
        word: of the runtime's interpreter and a job whose model was made.
        only: the constructs; all, where none is named.
        folder: where the environments are.

    Raises:
        typer.BadParameter: the runtime is not installed there.
    """
    place = folder or environments.default_folder()
    python = environments.python_of(runtime, place)
    if python is None:
        raise typer.BadParameter(f"{runtime.name} is not installed in {place}")
    rows = []
    for builder in only or builders():
        made = prepare(builder, sorted({DEFAULT, runtime.target}), place / "models", forms=STATIC)
        words = [
            "not made" if job.not_made else word(python, job) for job in jobs_of(runtime, made)
        ]
        rows.append((f"`{builder}`", *words))
    print(table(("construct", *TOOLCHAIN_STATES), rows))
