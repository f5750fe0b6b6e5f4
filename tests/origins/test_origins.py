"""Other frameworks' exports: what docs/origins.md says of them is what becomes of them.

``python -m tests.origins install && python -m pytest -m origins`` runs all; without the environment
of a framework, its test is skipped. The judge is each framework's own outputs.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

import onnxpool
from tests.origins import make
from tests.origins.__main__ import app, judged
from tests.origins.document import row
from tests.origins.judge import cases, is_right
from tests.origins.registry import ORIGINS, Origin

PAGE = Path(__file__).parents[2] / "docs" / "origins.md"
KEPT = [origin for origin in ORIGINS if origin.kept]
QUICK = ("dynamo_equal", "aten_line")


@pytest.mark.origins
@pytest.mark.parametrize("origin", ORIGINS, ids=lambda origin: origin.name)
def test_what_becomes_of_its_models(origin: Origin, tmp_path: Path) -> None:
    models = make.make(origin, make.default_folder(), tmp_path)
    if models is None:
        pytest.skip(f"{origin.name} is not installed; python -m tests.origins install")
    _, lines = judged(models)
    page = PAGE.read_text()
    assert [line.case.name for line in lines if row(line) not in page] == []
    assert [n.case.name for n in lines if n.exported and not n.after.rewritten] == []


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("origin", KEPT, ids=lambda origin: origin.name)
def test_a_few_that_are_kept(origin: Origin, name: str, tmp_path: Path) -> None:
    models = make.make(origin, tmp_path, tmp_path)
    assert models is not None
    (case,) = (case for case in cases(models)[1] if case.name == name)
    result = onnxpool.rewrite(case.model)
    assert result.report.rewritten == case.pools
    result.save(tmp_path / "out.onnx")
    assert is_right(tmp_path / "out.onnx", case.pairs)


def test_a_page_that_is_missing_is_told_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["run", "torch-2.6", "--write", str(tmp_path / "none.md")])
    assert result.exit_code == 2
    line = f"--write {tmp_path}/none.md is no file; it takes a page that has tables"
    assert result.output == f"{line}\n"


@pytest.mark.parametrize("origin", KEPT, ids=lambda origin: origin.name)
def test_what_is_kept_holds_no_place(origin: Origin) -> None:
    with zipfile.ZipFile(origin.archive) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            assert not any(place in content for place in (b"/work", b"/home", b"/tmp", b"/usr"))
