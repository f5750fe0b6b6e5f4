"""What became of one model of a call."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import onnxpool
from onnxpool.pipeline.report import LEVELS, Report
from onnxpool.rewrites.lift.construct import Level

SCHEMA = 1
"""Version of what `--json` writes: it grows when a key goes or gets another meaning."""

Result = Literal["written", "copied", "inspected", "skipped", "failed", "interrupted"]
FailOn = Literal["note", "warning", "error", "never"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One model: a report, or the reason why there is none.

    Attributes:
        model: where it came from.
        out: what was to be written; empty where nothing was.
        result: "copied" is written, byte for byte as it came; "skipped" is there from before.
        error: why there is no report, in one line.
        exit_status: of a call with this model alone.
        seconds: how long it took.
        traceback: of an exception that nobody foresaw.
    """

    model: str
    out: str
    result: Result
    report: Report | None = None
    error: str = ""
    exit_status: int = 0
    seconds: float = 0.0
    traceback: str = ""

    def to_json(self) -> dict[str, Any]:
        """The facts; a model without a report has the same keys, empty."""
        facts = dataclasses.asdict(self)
        del facts["traceback"], facts["report"]
        report = self.report or Report.empty(self.model)
        return {**stamp(), **report.to_json(), **facts}


def stamp() -> dict[str, Any]:
    """What stands in everything that `--json` writes."""
    return {"schema": SCHEMA, "onnxpool": onnxpool.__version__}


def is_as_bad(level: Level, fail_on: FailOn) -> bool:
    """Whether something that bad makes a call fail."""
    return fail_on != "never" and LEVELS.index(level) >= LEVELS.index(fail_on)


def worst(statuses: Sequence[int]) -> int:
    """The exit status of a call with several models: what is not there counts most."""
    return max(statuses, key=(0, 3, 1, 2, 130).index, default=0)
