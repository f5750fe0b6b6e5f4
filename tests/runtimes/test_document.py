"""The page of the matrix: what it counts, and that it explains what is red."""

import dataclasses
import re
from pathlib import Path

import pytest

from tests.runtimes import document
from tests.runtimes.constructs import State, builders
from tests.runtimes.defects import DEFECTS
from tests.runtimes.document import NOT_EXPLAINED
from tests.runtimes.matrix import Cell, Outcome
from tests.runtimes.reasons import REASONS, Reason
from tests.runtimes.registry import RUNTIMES

PAGE = Path(__file__).parents[2] / "docs" / "portability.md"
EXPLAINED = REASONS[0]


def cell(outcome: Outcome, builder: str = "gem:gem", state: State = "rewritten") -> Cell:
    return Cell(EXPLAINED.defect.runtime, builder, "static", state, outcome, "what it says")


def test_red_cells_have_a_reason_or_are_told() -> None:
    explained = cell("refused", EXPLAINED.builders[0])
    cells = [cell("right"), cell("wrong", state="exported"), explained, cell("crashed")]
    assert list(document.red(cells)) == cells[2:]
    (line,) = document.unexplained(cells)
    assert line == f"{EXPLAINED.defect.runtime}, gem:gem, static, crashed: what it says"


def test_the_page_says_which_cells_are_not_explained() -> None:
    builder = EXPLAINED.builders[0]
    cells = [cell("wrong", builder, state) for state in ("exported", "rewritten")]
    cells += [
        Cell(EXPLAINED.defect.runtime, builder, "dynamic", state, "right")
        for state in ("exported", "rewritten")
    ]
    versions = {EXPLAINED.defect.runtime: "1"}
    page = document.markdown(versions, cells)
    assert EXPLAINED.text in page
    assert NOT_EXPLAINED not in page
    unexplained = [Cell(**{**vars(c), "builder": "gem:gem"}) for c in cells]
    assert f"{NOT_EXPLAINED}: what it says" in document.markdown(versions, unexplained)


def test_the_committed_page_explains_every_red_cell() -> None:
    page = PAGE.read_text()
    assert NOT_EXPLAINED not in page
    named = set(re.findall(r"\(`(\w+)`\) \|$", page, re.MULTILINE))
    assert named == {reason.defect.name for reason in REASONS}


def test_the_committed_page_has_every_construct_and_runtime() -> None:
    lines = PAGE.read_text().splitlines()
    rows = [line.split("|")[1].strip(" `") for line in lines if line.startswith("| `")]
    assert rows == [*builders()] * 3
    heads = [line for line in lines if line.startswith("| construct |")]
    named = [[name.strip() for name in head.split("|")[2:-1]] for head in heads]
    general = [r.name for r in RUNTIMES if not r.toolchain]
    assert named == [general, general, [r.name for r in RUNTIMES if r.toolchain]]


def test_the_page_keeps_what_it_says_of_runtimes_that_are_not_run() -> None:
    page = PAGE.read_text()
    versions, cells = found = document.read(page)
    assert list(versions) == [runtime.name for runtime in RUNTIMES]
    assert document.markdown(*document.merged(found, ({}, []))) == page
    new = [dataclasses.replace(c, outcome="timeout") for c in cells if c.runtime == "tract"]
    merged = document.markdown(*document.merged(found, ({"tract": "9"}, new)))
    assert "| tract | 9 | 0 / 43 | 0 / 43 | 0 / 43 | 0 / 43 |" in merged
    assert document.read(merged)[0] == {**versions, "tract": "9"}
    others = [c for c in document.read(merged)[1] if c.runtime != "tract"]
    assert others == [c for c in cells if c.runtime != "tract"]


@pytest.mark.parametrize("reason", REASONS, ids=[reason.defect.name for reason in REASONS])
def test_a_reason_is_about_a_known_defect_and_constructs(reason: Reason) -> None:
    assert reason.defect in DEFECTS
    assert set(reason.builders) <= set(builders())
