"""The matrix as docs/portability.md, as a table on the terminal, and as JSON."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.table import Table

from tests.runtimes.constructs import FORMS, STATES, STATIC, TOOLCHAIN_STATES, Form, State
from tests.runtimes.matrix import TIMEOUT, Cell, Outcome
from tests.runtimes.reasons import reason_of
from tests.runtimes.registry import RUNTIMES

SYMBOLS: dict[Outcome, str] = {
    "right": "✓",
    "wrong": "✗",
    "refused": "r",
    "crashed": "c",
    "timeout": "t",
    "not made": "–",
}

Found = tuple[Mapping[str, str], Sequence[Cell]]
"""The versions of runtimes, by name, and their cells."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the page: runtimes that are measured alike."""

    runtimes: tuple[str, ...]
    forms: tuple[Form, ...]
    states: tuple[State, ...]

    @property
    def columns(self) -> list[tuple[Form, State]]:
        return [(form, state) for form in self.forms for state in self.states]

    @property
    def head(self) -> tuple[str, ...]:
        return ("runtime", "version", *(f"{form}, {state}" for form, state in self.columns))


GENERAL = Part(tuple(r.name for r in RUNTIMES if not r.toolchain), FORMS, STATES)
TOOLCHAINS = Part(tuple(r.name for r in RUNTIMES if r.toolchain), STATIC, TOOLCHAIN_STATES)
PARTS = (GENERAL, TOOLCHAINS)


def counts(cells: Sequence[Cell], runtime: str, form: Form, state: State) -> tuple[int, int]:
    """How many cells are right, of how many."""
    own = [c for c in cells if (c.runtime, c.form, c.state) == (runtime, form, state)]
    return sum(cell.outcome == "right" for cell in own), len(own)


def summary_rows(
    part: Part, versions: Mapping[str, str], cells: Sequence[Cell]
) -> Iterator[tuple[str, ...]]:
    """For each runtime, and for all: name, version, right for each form and state."""
    totals = [0] * len(part.columns)
    number = 0
    for name in (name for name in part.runtimes if name in versions):
        pairs = [counts(cells, name, form, state) for form, state in part.columns]
        totals = [total + right for total, (right, _) in zip(totals, pairs, strict=True)]
        number += pairs[0][1]
        yield (name, versions[name], *(f"{right} / {of}" for right, of in pairs))
    yield ("all", "", *(f"{total} / {number}" for total in totals))


def summary_tables(versions: Mapping[str, str], cells: Sequence[Cell]) -> Iterator[Table]:
    for part in PARTS:
        if set(part.runtimes) & set(versions):
            summary = Table(*part.head, box=None, header_style="bold")
            for row in summary_rows(part, versions, cells):
                summary.add_row(*row)
            yield summary


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


def read(page: str) -> Found:
    """What a page that `markdown` has written says: the outcomes, not their details."""
    versions: dict[str, str] = {}
    cells: list[Cell] = []
    outcomes = {symbol: outcome for outcome, symbol in SYMBOLS.items()}
    form: Form = "static"
    runtimes: list[str] = []
    for line in page.splitlines():
        first, *rest = [text.strip() for text in line.strip("|").split("|")]
        if line.startswith("## "):
            form = "dynamic" if line == _heading("dynamic") else "static"
        elif first == "construct":
            runtimes = rest
        elif first in _NAMES and len(rest) > 1 and rest[1].endswith(tuple("0123456789")):
            versions.setdefault(first, rest[0])
        elif line.startswith("| `") and len(rest) == len(runtimes):
            for name, text in zip(runtimes, rest, strict=True):
                states = _part_of(name).states
                symbols = text.split(" → ") if " → " in text else [text] * len(states)
                cells += [
                    Cell(name, first.strip("`"), form, state, outcomes[symbol])
                    for state, symbol in zip(states, symbols, strict=True)
                ]
    return versions, cells


def merged(kept: Found, new: Found) -> Found:
    """Runtimes in the order of the registry: as they are now, else as they were."""
    (old_versions, old_cells), (versions, cells) = kept, new
    both = {**old_versions, **versions}
    names = [name for name in _NAMES if name in both]
    every = [*(cell for cell in old_cells if cell.runtime not in versions), *cells]
    constructs = list(dict.fromkeys(cell.builder for cell in every))
    every.sort(key=lambda cell: (names.index(cell.runtime), constructs.index(cell.builder)))
    return {name: both[name] for name in names}, every


def markdown(versions: Mapping[str, str], cells: Sequence[Cell]) -> str:
    """The text of docs/portability.md."""
    general = [cell for cell in cells if cell.runtime in GENERAL.runtimes]
    of_toolchains = [cell for cell in cells if cell.runtime in TOOLCHAINS.runtimes]
    outcomes = [f"- {state}: {_outcomes(general, state)}" for state in STATES]
    parts = [
        INTRODUCTION.format(
            cells=len(cells),
            constructs=len({cell.builder for cell in cells}),
            runtimes=len(versions),
        ),
        table(GENERAL.head, summary_rows(GENERAL, versions, general)),
        "\n".join(outcomes),
        LEGEND,
    ]
    for form in FORMS:
        parts += [_heading(form), _matrix(GENERAL, versions, general, form)]
    if of_toolchains:
        parts += [
            TOOLCHAINS_TEXT,
            table(TOOLCHAINS.head, summary_rows(TOOLCHAINS, versions, of_toolchains)),
            TOOLCHAINS_LEGEND,
            _matrix(TOOLCHAINS, versions, of_toolchains, "static"),
        ]
    parts += ["## What stays red after the rewrite, and why", _reasons(cells)]
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """\
# Portability

Every construct of `models/` ({constructs}), as `torch.onnx.export(dynamo=True)` writes it and
rewritten for the runtime (`onnxpool rewrite --target NAME`), run on {runtimes} runtimes: {cells}
cells, each of them run. Written by

    python -m tests.runtimes install
    python -m tests.runtimes run --write docs/portability.md

A first run takes hours on two cores (a toolchain 2 to 11 minutes); what has not changed since is
not run again, and where `run` is given names, the page keeps what it says of the others. `--json
FILE` writes how far each cell is off, in units of PyTorch's own error, and what the runtime says.

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

TOOLCHAINS_TEXT = """\
## Toolchains of vendors

What makers of NPUs and microcontrollers give to deploy on them, run in their simulators on a PC,
at static sizes: as exported (opset 20), as `onnxpool rewrite` writes it for no target in
particular, and as it does for this one. A simulator is not the device: what is wrong here is wrong
there too, most likely; what is right here has still to be tried there.

Those that compute in float16 have a rule of their own: the error against float64 is at most 8
times what the PyTorch module makes in float16 on the same input, or may make by one rounding, on
the four distributions whose values float16 holds (normal, positive, negative, constant).

[placement.md](placement.md) says what is computed on the NPU, [int8.md](int8.md) what int8 builds
take away.

Not measured, as they cannot be had from a package index: tpu-mlir (Sophgo), TensorRT, whose
packages on PyPI hold no libraries, and the import of ONNX files into ExecuTorch."""

TOOLCHAINS_LEGEND = "In the table: exported → default → rewritten, or one symbol for all three."

DEFECTS_SHOWN = """\
A name in brackets is that of a minimal graph in `tests/runtimes/defects/`;
`python -m tests.runtimes defects` runs them all."""


REASONS_HEAD = ("runtime", "construct", "sizes", "outcome", "why")


_NAMES = tuple(runtime.name for runtime in RUNTIMES)


def _part_of(runtime: str) -> Part:
    return next(part for part in PARTS if runtime in part.runtimes)


def _heading(form: Form) -> str:
    return f"## {form.capitalize()} sizes"


def _outcomes(cells: Sequence[Cell], state: State) -> str:
    counted: collections.Counter[str] = collections.Counter(
        cell.outcome for cell in cells if cell.state == state
    )
    return ", ".join(f"{counted[outcome]} {outcome}" for outcome in SYMBOLS if counted[outcome])


def _matrix(part: Part, versions: Mapping[str, str], cells: Sequence[Cell], form: Form) -> str:
    found = {(c.builder, c.runtime, c.state): c for c in cells if c.form == form}
    constructs = dict.fromkeys(cell.builder for cell in cells)
    names = [name for name in part.runtimes if name in versions]
    rows = []
    for builder in constructs:
        row = [f"`{builder}`"]
        for name in names:
            symbols = [SYMBOLS[found[builder, name, state].outcome] for state in part.states]
            row.append(symbols[0] if len(set(symbols)) == 1 else " → ".join(symbols))
        rows.append(tuple(row))
    return table(("construct", *names), rows)


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
