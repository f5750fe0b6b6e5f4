"""A few constructs on every light runtime that is installed; the full matrix is a command.

Without runtimes these are skipped: ``python -m tests.runtimes install --light`` installs them.
"""

import functools
from pathlib import Path

import pytest

from tests.runtimes import environments
from tests.runtimes.constructs import FORMS, Form
from tests.runtimes.jobs import Job, prepare
from tests.runtimes.matrix import Runner
from tests.runtimes.reasons import reason_of
from tests.runtimes.registry import RUNTIMES, Runtime

LIGHT = [runtime for runtime in RUNTIMES if runtime.light]
CONSTRUCTS = (
    "adaptive:adaptive_avg_2d",
    "adaptive:adaptive_max_2d_indices",
    "avgmax:catavgmax",
    "gem:gem",
    "power_average:lp_pool_1d",
    "pyconv:pyconv_local",
    "pyramid:ppm",
)


@functools.cache
def jobs_of(builder: str, folder: Path) -> list[Job]:
    targets = [runtime.target for runtime in LIGHT]
    return prepare(builder, targets, folder / "models", ["rewritten"])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runtimes")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("runtime", LIGHT, ids=[runtime.name for runtime in LIGHT])
@pytest.mark.parametrize(
    "builder", [pytest.param(b, id=b, marks=pytest.mark.xdist_group(b)) for b in CONSTRUCTS]
)
def test_rewritten_is_right(builder: str, runtime: Runtime, form: Form, folder: Path) -> None:
    python = environments.python_of(runtime, environments.default_folder())
    if python is None:
        pytest.skip(f"{runtime.name} is not installed; python -m tests.runtimes install --light")
    (job,) = (
        job for job in jobs_of(builder, folder) if (job.form, job.target) == (form, runtime.target)
    )
    runner = Runner(runtime, python, folder)
    try:
        cell = runner.cell(job)
    finally:
        runner.close()
    reason = reason_of(cell)
    if reason is None:
        assert cell.outcome == "right", cell.detail
    else:
        assert cell.outcome != "right", f"it is right now, so that this is outdated: {reason.text}"
        pytest.xfail(reason.text)
