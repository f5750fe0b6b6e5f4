"""What is declared: the oldest versions, and the same in the workflow that runs on them."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def test_the_workflow_installs_the_floors() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text("utf-8"))["jobs"]
    steps = jobs["oldest"]["steps"]
    (python,) = (s["with"]["python-version"] for s in steps if "setup-python" in s.get("uses", ""))
    assert project["requires-python"] == f">={python}"
    (install,) = (s["run"] for s in steps if s.get("run", "").startswith("pip install"))
    pinned = dict(word.split("==") for word in install.split() if "==" in word)
    found = (each.partition(">=") for each in project["dependencies"])
    floors = {name: version.partition(",")[0] for name, _, version in found}
    del floors["onnx-graphsurgeon"]  # One minor version of it is taken.
    assert pinned.keys() == floors.keys()
    for name, version in pinned.items():
        assert f"{version}.".startswith(f"{floors[name]}."), name


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda p: p.name)
def test_the_files_of_github_are_yaml(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text("utf-8")), dict)


@pytest.mark.parametrize("folder", ["onnxpool", "rewrites", "ops"])
def test_the_packages_are_in_the_grammar_of_the_oldest_python(folder: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    oldest = tuple(map(int, project["requires-python"].removeprefix(">=").split(".")))
    assert oldest <= sys.version_info[:2]
    for path in (ROOT / folder).rglob("*.py"):
        text = path.read_text("utf-8")
        ast.parse(text, feature_version=oldest)  # type: ignore[arg-type]
        # Of Python 3.11; for type checkers it may be imported.
        assert not re.search(r"^from typing import .*\bSelf\b", text, re.MULTILINE), path
