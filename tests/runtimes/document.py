"""The matrix as docs/portability.md, as a table on the terminal, and as JSON."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.table import Table

from tests.runtimes.constructs import FORMS, STATES, Form, State
from tests.runtimes.matrix import TIMEOUT, Cell
from tests.runtimes.reasons import reason_of

SYMBOLS = {
    "right": "✓",
    "wrong": "✗",
    "refused": "r",
    "crashed": "c",
    "timeout": "t",
    "not made": "–",
}


def counts(cells: Sequence[Cell], runtime: str, form: Form, state: State) -> tuple[int, int]:
    """How many cells are right, of how many."""
    own = [c for c in cells if (c.runtime, c.form, c.state) == (runtime, form, state)]
    return sum(cell.outcome == "right" for cell in own), len(own)


def summary_rows(versions: Mapping[str, str], cells: Sequence[Cell]) -> Iterator[tuple[str, ...]]:
    """For each runtime, and for all: name, version, right for each form and state."""
    totals = [0] * 4
    number = 0
    for name, version in versions.items():
        pairs = [counts(cells, name, form, state) for form in FORMS for state in STATES]
        totals = [total + right for total, (right, _) in zip(totals, pairs, strict=True)]
        number += pairs[0][1]
        yield (name, version, *(f"{right} / {of}" for right, of in pairs))
    yield ("all", "", *(f"{total} / {number}" for total in totals))


SUMMARY = ("runtime", "version", *(f"{form}, {state}" for form in FORMS for state in STATES))


def summary_table(versions: Mapping[str, str], cells: Sequence[Cell]) -> Table:
    summary = Table(*SUMMARY, box=None, header_style="bold")
    for row in summary_rows(versions, cells):
        summary.add_row(*row)
    return summary


def as_json(versions: Mapping[str, str], cells: Sequence[Cell]) -> str:
    facts = {"versions": versions, "cells": [dataclasses.asdict(cell) for cell in cells]}
    return json.dumps(facts, indent=1) + "\n"


def red(cells: Iterable[Cell]) -> Iterator[Cell]:
    """The cells that the rewrite should have made right."""
    return (cell for cell in cells if cell.state == "rewritten" and cell.outcome != "right")


def unexplained(cells: Iterable[Cell]) -> Iterator[str]:
    """The red cells without a reason, a line each."""
    for cell in red(cells):
        if reason_of(cell) is None:
            yield f"{cell.runtime}, {cell.builder}, {cell.form}, {cell.outcome}: {cell.detail}"


def markdown(versions: Mapping[str, str], cells: Sequence[Cell]) -> str:
    """The text of docs/portability.md."""
    outcomes = [f"- {state}: {_outcomes(cells, state)}" for state in STATES]
    parts = [
        INTRODUCTION.format(
            cells=len(cells),
            constructs=len({cell.builder for cell in cells}),
            runtimes=len(versions),
        ),
        table(SUMMARY, summary_rows(versions, cells)),
        "\n".join(outcomes),
        LEGEND,
    ]
    for form in FORMS:
        parts += [f"## {form.capitalize()} sizes", _matrix(versions, cells, form)]
    parts += ["## What stays red after the rewrite, and why", _reasons(cells)]
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """\
# Portability

Every construct of `models/` ({constructs}), as `torch.onnx.export(dynamo=True)` writes it and
rewritten for the runtime (`onnxpool rewrite --target NAME`), run on {runtimes} runtimes: {cells}
cells, each of them run. Written by

    python -m tests.runtimes install
    python -m tests.runtimes run --write docs/portability.md

What has not changed since the last run is not run again.

Static models are run at the size of the example in `models/`. Dynamic ones leave N, H and W open
and are run at three sizes, one longer and one shorter than the example and not square; for a
runtime without dynamic sizes the rewritten model is fixed to each of them (`--input-shape`). The
rewritten models come from the plain export where it is static and torch can export the construct,
else from `onnxpool export`.

**Right** means right at every size on each of seven distributions of input values (`validate`'s),
by the rule of `onnxpool/validation/accuracy.py`: the error against float64 is at most 8 times what
PyTorch's own float32 makes, or may make by summation in another order. Weights and inputs are
seeded.

Right, of all constructs:"""

LEGEND = f"""\
In the tables: exported → rewritten, or one symbol for both. ✓ right; ✗ wrong values or shape;
r refused, at load or at run; c crashed; t no answer within {TIMEOUT:g} s; – no model: torch's
exporter, or the rewrite, refuses."""


DEFECTS_SHOWN = """\
A name in brackets is that of a minimal graph in `tests/runtimes/defects/`;
`python -m tests.runtimes defects` runs them all."""


REASONS_HEAD = ("runtime", "construct", "sizes", "outcome", "why")


def _outcomes(cells: Sequence[Cell], state: State) -> str:
    counted: collections.Counter[str] = collections.Counter(
        cell.outcome for cell in cells if cell.state == state
    )
    return ", ".join(f"{counted[outcome]} {outcome}" for outcome in SYMBOLS if counted[outcome])


def _matrix(versions: Mapping[str, str], cells: Sequence[Cell], form: Form) -> str:
    found = {(c.builder, c.runtime, c.state): c for c in cells if c.form == form}
    constructs = dict.fromkeys(cell.builder for cell in cells)
    rows = []
    for builder in constructs:
        row = [f"`{builder}`"]
        for runtime in versions:
            before, after = (SYMBOLS[found[builder, runtime, state].outcome] for state in STATES)
            row.append(before if before == after else f"{before} → {after}")
        rows.append(tuple(row))
    return table(("construct", *versions), rows)


def _reasons(cells: Sequence[Cell]) -> str:
    rows = [
        (cell.runtime, f"`{cell.builder}`", cell.form, cell.outcome, _why(cell))
        for cell in red(cells)
    ]
    if not rows:
        return "Nothing."
    return f"{DEFECTS_SHOWN}\n\n{table(REASONS_HEAD, rows)}"


def _why(cell: Cell) -> str:
    reason = reason_of(cell)
    detail = cell.detail.replace("|", "\\|")[:MOST_DETAIL]
    return reason.text if reason else f"{NOT_EXPLAINED}: {detail}"


MOST_DETAIL = 160
NOT_EXPLAINED = "not explained"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
