"""What becomes of every look-alike, by default: ``python -m tests.lookalikes [FAMILY…]``."""

from __future__ import annotations

import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence

from tests.lookalikes.judge import Verdict, judge
from tests.lookalikes.registry import FAMILIES

_COLUMNS = (
    "graphs",
    "left",
    "equal",
    "changed",
    "refused",
    "repaired",
    "caught",
    "pooling",
    "found",
)


def main(families: Sequence[str]) -> None:
    warnings.simplefilter("ignore")
    print(f"{'family':<12}", *(f"{column:>8}" for column in _COLUMNS), f"{'seconds':>8}")
    total: Counter[str] = Counter()
    wrong: list[str] = []
    for family in families or FAMILIES:
        start, counts = time.monotonic(), Counter[str]()
        for graph in FAMILIES[family]():
            verdict = judge(graph)
            counts += Counter(graphs=1, pooling=graph.found, caught=verdict.caught)
            counts += Counter({verdict.outcome: 1, "found": graph.found and bool(verdict.found)})
            if not verdict.right:
                wrong.append(_line(family, graph.name, verdict))
        _row(family, counts, time.monotonic() - start)
        total += counts
    _row("all", total)
    print(*wrong, sep="\n")


def _row(name: str, counts: Counter[str], seconds: float | None = None) -> None:
    numbers = (f"{counts[column]:>8}" for column in _COLUMNS)
    print(f"{name:<12}", *numbers, "" if seconds is None else f"{seconds:>8.1f}", flush=True)


def _line(family: str, name: str, verdict: Verdict) -> str:
    caught = ", caught by the check" if verdict.caught else ""
    ops = ", ".join(verdict.found)
    return f"{family}: {name}: {verdict.outcome}{caught} [{ops}] {verdict.detail}"


if __name__ == "__main__":
    main(sys.argv[1:])
