"""The defects that the documentation names are there, on the runtimes that are installed."""

from pathlib import Path

import pytest

from tests.runtimes import environments
from tests.runtimes.defects import DEFECTS, Defect, observe
from tests.runtimes.matrix import Runner
from tests.runtimes.registry import by_name


@pytest.mark.parametrize("defect", DEFECTS, ids=[f"{d.runtime}-{d.name}" for d in DEFECTS])
def test_defect_is_there(defect: Defect, tmp_path: Path) -> None:
    runtime = by_name(defect.runtime)
    python = environments.python_of(runtime, environments.default_folder())
    if python is None:
        pytest.skip(f"{runtime.name} is not installed; python -m tests.runtimes install")
    runner = Runner(runtime, python, tmp_path)
    try:
        assert observe(defect, runner), f"it is cured, so that this is outdated: {defect.says}"
    finally:
        runner.close()
