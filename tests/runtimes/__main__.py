"""Portability, measured: ``python -m tests.runtimes install``, then ``… run``.

`install` builds the environments of the runtimes, which takes about 5 GB and a few minutes; name
some to have only those. `run` runs every construct on every runtime that is there, and writes
docs/portability.md. What has not changed since the last run is not run again, and where some are
named, the page keeps what it says of the others.
"""

from __future__ import annotations

import concurrent.futures
import functools
import multiprocessing
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.runtimes import document, environments
from tests.runtimes.constructs import FORMS, STATIC, builders
from tests.runtimes.defects import DEFECTS, observe
from tests.runtimes.jobs import DEFAULT, Job, jobs_of, prepare
from tests.runtimes.matrix import Cell, Runner
from tests.runtimes.registry import RUNTIMES, Runtime

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
console = Console()

Names = Annotated[list[str] | None, typer.Argument(help="Runtimes; all, where none is named.")]
Light = Annotated[bool, typer.Option("--light", help="Those that continuous integration runs.")]
Folder = Annotated[
    Path | None,
    typer.Option(help=f"For environments and models; ${environments.VARIABLE}, or .runtimes."),
]


@app.command()
def install(names: Names = None, light: Light = False, folder: Folder = None) -> None:
    """Build the environments of the runtimes."""
    wanted = dict.fromkeys(runtime.environment for runtime in _chosen(names, light))
    for environment in wanted:
        start = time.monotonic()
        with console.status(f"{environment.name}, about {environment.megabytes} MB"):
            try:
                environments.install(environment, folder or environments.default_folder())
            except subprocess.CalledProcessError as error:
                console.print(f"[red]{environment.name}: {error}[/red]\n{error.stdout[-2000:]}")
                raise typer.Exit(1) from error
        console.print(f"{environment.name}: installed in {time.monotonic() - start:.0f} s")


@app.command()
def run(
    names: Names = None,
    light: Light = False,
    folder: Folder = None,
    only: Annotated[
        list[str] | None, typer.Option(help='Constructs, such as "gem:gem"; all, if not given.')
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runtimes, or exports, at a time.")] = 2,
    write: Annotated[Path | None, typer.Option(help="The Markdown file to write.")] = None,
    json: Annotated[Path | None, typer.Option(help="A file for all cells, as JSON.")] = None,
) -> None:
    """Run every construct, as exported and rewritten, on every runtime.

    The exit status is 1 where a rewritten model is not right and reasons.py does not say why.
    """
    place = folder or environments.default_folder()
    chosen = _installed(_chosen(names, light), place)
    start = time.monotonic()
    with _progress() as progress:
        made = _prepare_all(only or builders(), chosen, place / "models", jobs, progress)
        versions, cells = _run_all(chosen, made, place, jobs, progress)
    minutes = (time.monotonic() - start) / 60
    for summary in document.summary_tables(versions, cells):
        console.print(summary)
    console.print(f"{len(cells)} cells in {minutes:.0f} min")
    if write:
        kept = document.read(write.read_text() if write.exists() else "")
        write.write_text(document.markdown(*document.merged(kept, (versions, cells))))
    if json:
        json.write_text(document.as_json(versions, cells))
    missing = list(document.unexplained(cells))
    for line in missing:
        console.print(f"not explained: {line}", style="red", markup=False)
    if missing:
        raise typer.Exit(1)


@app.command()
def defects(folder: Folder = None) -> None:
    """Show the defects that docs/portability.md names, on the runtimes that are there."""
    place = folder or environments.default_folder()
    for runtime, python in _installed(RUNTIMES, place).items():
        own = [defect for defect in DEFECTS if defect.runtime == runtime.name]
        if not own:
            continue
        runner = Runner(runtime, python, place)
        for defect in own:
            seen = observe(defect, runner) or "right"
            console.print(
                f"{runtime.name} {runner.version}, {defect.name}: {defect.says}\n    {seen}"
            )
        runner.close()


def _chosen(names: Sequence[str] | None, light: bool) -> list[Runtime]:
    known = [runtime.name for runtime in RUNTIMES]
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(f"there is no runtime {name}; use {', '.join(known)}")
    chosen = [runtime for runtime in RUNTIMES if not names or runtime.name in names]
    return [runtime for runtime in chosen if runtime.light or not light]


def _installed(runtimes: Sequence[Runtime], folder: Path) -> dict[Runtime, Path]:
    found = {runtime: environments.python_of(runtime, folder) for runtime in runtimes}
    for runtime, python in found.items():
        if python is None:
            console.print(f"{runtime.name} is left out: it is not installed in {folder}")
    return {runtime: python for runtime, python in found.items() if python is not None}


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _prepare_all(
    constructs: Sequence[str],
    runtimes: Iterable[Runtime],
    folder: Path,
    workers: int,
    progress: Progress,
) -> list[Job]:
    """Export and rewrite in processes of their own, in the order of `constructs`."""
    targets = sorted({DEFAULT, *(runtime.target for runtime in runtimes)})
    forms = STATIC if all(runtime.toolchain for runtime in runtimes) else FORMS
    work = functools.partial(prepare, targets=targets, folder=folder, forms=forms)
    # Spawned: a fork takes over the locks of the threads that torch has started.
    context = multiprocessing.get_context("spawn")
    bar = progress.add_task("export and rewrite", total=len(constructs))
    made: list[Job] = []
    with concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
        for some in pool.map(work, constructs):
            made += some
            progress.advance(bar)
    return made


def _run_all(
    runtimes: dict[Runtime, Path],
    made: Sequence[Job],
    folder: Path,
    workers: int,
    progress: Progress,
) -> tuple[dict[str, str], list[Cell]]:
    def run_one(runtime: Runtime) -> tuple[str, list[Cell]]:
        own = list(jobs_of(runtime, made))
        bar = progress.add_task(runtime.name, total=len(own))
        runner = Runner(runtime, runtimes[runtime], folder)
        try:
            cells = []
            for job in own:
                cells.append(runner.cell(job))
                progress.advance(bar)
            return runner.version, cells
        finally:
            runner.close()

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(run_one, runtimes))
    versions = {r.name: version for r, (version, _) in zip(runtimes, results, strict=True)}
    return versions, [cell for _, cells in results for cell in cells]


if __name__ == "__main__":
    app()
