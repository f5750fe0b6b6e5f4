"""Other frameworks' exports, judged: ``python -m tests.origins install``, then ``… run``.

`install` builds the environments of TensorFlow and Paddle (3 GB, some minutes). Old versions of
torch are too large for that: their models are kept in exports/, and `keep` makes them anew. `run`
exports, rewrites, compares with the framework's own outputs, and prints the tables of
docs/origins.md; `--before CHECKOUT` does the same with an older state of onnxpool beside it.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tests.origins import document, make
from tests.origins.document import Line
from tests.origins.judge import cases, is_right, judge
from tests.origins.registry import ORIGINS, Origin
from tests.runtimes import environments

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)

Names = Annotated[list[str] | None, typer.Argument(help="Origins; all, where none is named.")]
Folder = Annotated[
    Path | None,
    typer.Option(help=f"For environments; ${environments.VARIABLE}, or .runtimes."),
]


@app.command()
def install(names: Names = None, folder: Folder = None) -> None:
    """Build the environments; of torch's, those that are named."""
    for origin in _chosen(names):
        if names or not origin.kept:
            typer.echo(f"{origin.name}, about {origin.environment.megabytes} MB", err=True)
            environments.install(origin.environment, folder or make.default_folder())


@app.command()
def keep(names: Names = None, folder: Folder = None) -> None:
    """Make the models that are kept anew, by the environments that are installed."""
    for origin in _chosen(names):
        python = make.python_of(origin, folder or make.default_folder())
        if origin.kept and python is not None:
            with tempfile.TemporaryDirectory() as scratch:
                make.call(python, origin, Path(scratch))
                make.keep(origin, Path(scratch))


@app.command()
def run(
    names: Names = None,
    folder: Folder = None,
    before: Annotated[
        Path | None, typer.Option(help="A checkout of an older state, for its columns.")
    ] = None,
    write: Annotated[Path | None, typer.Option(help="A page to write the tables into.")] = None,
) -> None:
    """Judge the models of every origin that is there."""
    if write is not None and not write.is_file():
        typer.echo(f"--write {write} is no file; it takes a page that has tables", err=True)
        raise typer.Exit(2)
    found: list[tuple[str, list[Line]]] = []
    text: list[str] = []
    for origin in _chosen(names):
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            models = make.make(origin, folder or make.default_folder(), Path(scratch))
            if models is None:
                typer.echo(f"{origin.name} is left out: it is not installed", err=True)
                continue
            producer, lines = judged(models, before)
        seconds = time.monotonic() - start
        found.append((producer, lines))
        text += document.tables(producer, lines, seconds)
        typer.echo(f"{producer}: {seconds:.0f} s", err=True)
    page = "\n".join([*document.summary(found), "", *text])
    if write is None:
        typer.echo(page)
    else:
        intro, _, _ = write.read_text().partition(START)
        write.write_text(f"{intro}{START}\n\n{page}")


START = "<!-- What follows is printed. -->"


def judged(models: Path, before: Path | None = None) -> tuple[str, list[Line]]:
    """What wrote the models of a folder, and what becomes of each."""
    producer, own = cases(models)
    older = judge(models, before) if before else {}
    now = judge(models)
    return producer, [
        Line(case, is_right(case.model, case.pairs), older.get(case.name), now[case.name])
        for case in own
    ]


def _chosen(names: Sequence[str] | None) -> list[Origin]:
    known = [origin.name for origin in ORIGINS]
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(f"there is no origin {name}; use {', '.join(known)}")
    return [origin for origin in ORIGINS if not names or origin.name in names]


if __name__ == "__main__":
    try:
        app()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{error}\n{error.stdout[-2000:]}") from error
