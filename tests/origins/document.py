"""The table of docs/origins.md."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from tests.origins.judge import Case, Outcome

_MARKS = {True: "yes", False: "no", None: ""}


@dataclasses.dataclass(frozen=True)
class Line:
    """A model of an origin.

    Attributes:
        exported: whether it is right as it came.
        before: what an older onnxpool made of it, where one was asked.
    """

    case: Case
    exported: bool
    before: Outcome | None
    after: Outcome

    @property
    def is_mended(self) -> bool:
        """Whether all pools are found, and some result is right."""
        right = self.after.rewritten or bool(self.after.restored)
        return right and self.after.found == self.case.pools


def row(line: Line) -> str:
    """What `--write` and the test agree on is all but the columns of the older state."""
    case, after = line.case, line.after
    found = f"{after.found} of {case.pools}"
    return (
        f"| {case.says} | {_MARKS[line.exported]} | {found} | {_MARKS[after.rewritten]} "
        f"| {_MARKS[after.restored]} |"
    )


def tables(producer: str, lines: Sequence[Line], seconds: float) -> Iterator[str]:
    yield f"## {producer}"
    yield ""
    yield f"{len(lines)} models, {seconds:.0f} s."
    yield ""
    older = " found before | right before |" if _has_before(lines) else ""
    yield f"| model | exported | found | right | restored |{older}"
    yield "|---|---|---|---|---|" + ("---|---|" if older else "")
    for line in lines:
        yield row(line) + _older(line)
    yield ""


def summary(origins: Sequence[tuple[str, Sequence[Line]]]) -> Iterator[str]:
    yield "| origin | models | exported | before: found, right | now: found, right | restored |"
    yield "|---|--:|--:|--:|--:|--:|"
    for producer, lines in origins:
        pools = sum(line.case.pools for line in lines)
        restored = [line.after.restored for line in lines if line.after.restored is not None]
        cells = (
            producer,
            str(len(lines)),
            str(sum(line.exported for line in lines)),
            _counts([line.before for line in lines], pools),
            _counts([line.after for line in lines], pools),
            f"{sum(restored)} of {len(restored)}" if restored else "",
        )
        yield f"| {' | '.join(cells)} |"


def _counts(outcomes: Sequence[Outcome | None], pools: int) -> str:
    known = [outcome for outcome in outcomes if outcome is not None]
    if not known:
        return ""
    found, right = sum(o.found for o in known), sum(o.rewritten for o in known)
    return f"{found} of {pools}, {right} of {len(known)}"


def _has_before(lines: Sequence[Line]) -> bool:
    return any(line.before is not None for line in lines)


def _older(line: Line) -> str:
    if line.before is None:
        return ""
    return f" {line.before.found} of {line.case.pools} | {_MARKS[line.before.rewritten]} |"
