"""The pages of docs/: their code runs, and what they say of the code is what the code says."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def make() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "make.py"))


def blocks(page: str) -> list[str]:
    text = (DOCS / page).read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "source", [pytest.param(b, id=str(i)) for i, b in enumerate(blocks("howto.md"))]
)
def test_the_code_of_the_how_to(source: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "models" / "ppm.onnx", tmp_path)
    # A process of its own, in which warnings are no errors, as a reader runs it.
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_table_of_targets_is_that_of_the_code(make: dict[str, Any]) -> None:
    page = (DOCS / "targets.md").read_text("utf-8")
    assert page == make["filled"](page, "targets", make["targets"]()), (
        "python docs/make.py targets writes it anew"
    )


@pytest.mark.slow
def test_the_tables_of_constructs_are_those_of_the_code(
    make: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "constructs").mkdir()
    make["construct"].__globals__["DOCS"] = tmp_path
    for name in make["CONSTRUCTS"]:
        page = (DOCS / "constructs" / f"{name}.md").read_text("utf-8")
        assert page == make["filled"](page, "exporters", make["construct"](name)), (
            "python docs/make.py constructs writes it anew"
        )
        for side in ("before", "after"):
            drawing = f"constructs/{name}-{side}.svg"
            assert (tmp_path / drawing).read_bytes() == (DOCS / drawing).read_bytes()


def test_a_page_without_the_place(make: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"there is no <!-- made by docs/make\.py: targets"):
        make["filled"]("# Targets\n", "targets", "")


def test_every_page_is_in_the_site() -> None:
    """mkdocs itself says so too, where it is installed."""
    listed = set(
        re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    )
    assert listed == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


def test_links_between_pages_lead_somewhere() -> None:
    for page in DOCS.rglob("*.md"):
        # Code has brackets of its own.
        text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
            assert (page.parent / link).exists(), f"{page}: {link}"
