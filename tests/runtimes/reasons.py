"""Why rewritten models are not right on a runtime, where the rewrite cannot help it."""

from __future__ import annotations

import dataclasses

from tests.runtimes.constructs import FORMS, Form
from tests.runtimes.defects import litert, ncnn, rknn
from tests.runtimes.defects.defect import Defect
from tests.runtimes.matrix import Cell


@dataclasses.dataclass(frozen=True)
class Reason:
    """What is known about some red cells.

    Attributes:
        defect: the minimal graph that shows it.
        builders: the constructs, as "file:name".
        forms: those in which it is met.
    """

    defect: Defect
    builders: tuple[str, ...]
    forms: tuple[Form, ...] = FORMS

    @property
    def text(self) -> str:
        return f"{self.defect.says} (`{self.defect.name}`)"


REASONS = (
    Reason(ncnn.ARG_MAX, ("adaptive:adaptive_max_2d_indices",)),
    Reason(litert.EQUAL_SIZES, ("attention:linear_attention",)),
    Reason(rknn.SMALL_NUMBERS, ("stochastic:stochastic", "stochastic:stochastic_adaptive")),
    Reason(litert.GATHER_AT_SUM, ("adaptive:adaptive_max_2d_indices",)),
)


def reason_of(cell: Cell) -> Reason | None:
    """The reason for a red cell; None where there is none."""
    for reason in REASONS:
        if (
            reason.defect.runtime == cell.runtime
            and cell.builder in reason.builders
            and cell.form in reason.forms
        ):
            return reason
    return None
