"""Where the runtimes are installed, and how they get there."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import venv
from pathlib import Path

from packaging.requirements import Requirement

from tests.runtimes.registry import JOINT, PYPROJECT, Environment, Runtime

VARIABLE = "ONNXPOOL_RUNTIMES"
DEFAULT_FOLDER = PYPROJECT.parent / ".runtimes"


def default_folder() -> Path:
    """The folder of ``ONNXPOOL_RUNTIMES``, else .runtimes in the checkout."""
    return Path(os.environ.get(VARIABLE, DEFAULT_FOLDER))


def python_of(runtime: Runtime, folder: Path) -> Path | None:
    """The Python that has the runtime: its environment's, or this one; None where neither has."""
    python = folder / "environments" / runtime.environment.name / "bin" / "python"
    if python.exists():
        return python
    if runtime.environment is JOINT and _is_installed_here(runtime):
        return Path(sys.executable)
    return None


def _is_installed_here(runtime: Runtime) -> bool:
    (wanted,) = (r for r in map(Requirement, JOINT.requirements) if r.name == runtime.distribution)
    try:
        return importlib.metadata.version(wanted.name) in wanted.specifier
    except importlib.metadata.PackageNotFoundError:
        return False


def install(environment: Environment, folder: Path) -> None:
    """Make the environment, or bring it up to date.

    Raises:
        subprocess.CalledProcessError: pip or npm fails; the error holds what it has printed.
    """
    place = folder / "environments" / environment.name
    if not (place / "bin" / "python").exists():
        venv.create(place, with_pip=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    _call(*pip, "numpy", *environment.requirements)
    if environment.without_dependencies:
        _call(*pip, "--no-deps", *environment.without_dependencies)
    if environment.npm:
        _call("npm", "install", "--no-audit", "--no-fund", "--prefix", str(place), *environment.npm)


def _call(*command: str) -> None:
    subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
