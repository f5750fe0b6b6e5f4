"""Why rewritten models are not right on a runtime, where the rewrite cannot help it."""

from __future__ import annotations

import dataclasses

from tests.runtimes.matrix import Cell


@dataclasses.dataclass(frozen=True)
class Reason:
    """What is known about some red cells.

    Attributes:
        builders: the constructs, as "file:name".
        forms: "static", "dynamic" or both.
        text: why, in words.
        evidence: the minimal graph that shows it, by its name in defects/, or where it is
            documented.
    """

    runtime: str
    builders: tuple[str, ...]
    forms: tuple[str, ...]
    text: str
    evidence: str


REASONS: tuple[Reason, ...] = ()


def reason_of(cell: Cell) -> Reason | None:
    """The reason for a red cell; None where there is none."""
    for reason in REASONS:
        if (
            reason.runtime == cell.runtime
            and cell.builder in reason.builders
            and cell.form in reason.forms
        ):
            return reason
    return None
