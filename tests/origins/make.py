"""The models of an origin: made by its framework, or unpacked where they are kept."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

from tests.origins.registry import Origin
from tests.runtimes import environments

_STAMP = (2026, 1, 1, 0, 0, 0)
"""Of the files in an archive: the same models make the same archive."""


def python_of(origin: Origin, folder: Path) -> Path | None:
    """The Python of its environment; None where that is not installed."""
    python = folder / "environments" / origin.environment.name / "bin" / "python"
    return python if python.exists() else None


def default_folder() -> Path:
    """Where the environments of the runtimes are, too."""
    return environments.default_folder()


def make(origin: Origin, folder: Path, out: Path) -> Path | None:
    """Its models in a new folder `out`; None where it is neither kept nor installed.

    Raises:
        subprocess.CalledProcessError: the maker fails; the error holds what it has printed.
    """
    if origin.kept:
        with zipfile.ZipFile(origin.archive) as archive:
            archive.extractall(out)
        return out
    python = python_of(origin, folder)
    if python is None:
        return None
    call(python, origin, out)
    return out


def call(python: Path, origin: Origin, out: Path) -> None:
    subprocess.run(
        [str(python), str(origin.maker_path), str(out)],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def keep(origin: Origin, made: Path) -> None:
    """Put models that were made where they are kept."""
    origin.archive.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(origin.archive, "w") as archive:
        for path in sorted(made.iterdir()):
            entry = zipfile.ZipInfo(path.name, _STAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
