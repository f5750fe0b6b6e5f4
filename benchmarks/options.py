"""What the benchmarks that time in turns have in common: their options, and what they say first."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

from onnxpool.benchmark import Clock, Timing, processor, versions

Statistic = Callable[[Timing], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
STATISTICS: dict[str, Statistic] = {
    "median": lambda timing: timing.median,
    "least": lambda timing: min(timing.milliseconds),
}


def parser(
    description: str | None, runs: int, threads: Sequence[int] = ()
) -> argparse.ArgumentParser:
    """--threads, --runs, --clock and --statistic.

    Args:
        description: the first line of it is shown.
        threads: those by default, where several may be given; else it is one, 1.
    """
    made = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    if threads:
        made.add_argument("--threads", type=int, nargs="+", default=list(threads))
    else:
        made.add_argument("--threads", type=int, default=1)
    made.add_argument("--runs", type=int, default=runs)
    made.add_argument("--clock", choices=CLOCKS, default="wall")
    made.add_argument("--statistic", choices=STATISTICS, default="median")
    return made


def print_machine(packages: Sequence[str], *others: str) -> None:
    """The versions of these packages, the CPU, and what else is said of it."""
    print(", ".join(f"{name} {version}" for name, version in versions(packages).items()))
    print("; ".join((processor(), *others)))
