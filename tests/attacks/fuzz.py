"""Damaged files by number: file N of a seed is the same on every machine, whatever came before."""

from __future__ import annotations

import dataclasses
import functools
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from onnxpool.workers import Died, Workers
from tests.attacks.damage import DAMAGES
from tests.attacks.judge import IN, OUT, Verdict, judge
from tests.attacks.sources import SOURCES

_PATIENCE = 900.0
"""Seconds until a file counts as one that hangs, on a machine that does much else."""

_PROCESSOR_SECONDS = 40
"""As long, whatever else the machine does; a file that takes SECONDS of the judge is a fault."""

CALLS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (8, ("rewrite", IN, OUT)),
    (2, ("inspect", IN)),
    (1, ("rewrite", IN, OUT, "--json", "-")),
    (1, ("rewrite", IN, OUT, "--to", "custom-op")),
    (1, ("rewrite", IN, OUT, "--target", "ncnn")),
    (1, ("rewrite", IN, OUT, "--target", "opencv4")),
    (1, ("rewrite", IN, OUT, "--opset", "18")),
    (1, ("rewrite", IN, OUT, "--opset", "13")),
    (1, ("rewrite", IN, OUT, "--strategy", "pool", "--check", "full")),
    (1, ("rewrite", IN, OUT, "--traced-size", "X=1x4x7x7")),
    (1, ("rewrite", IN, OUT, "--input-shape", "X=1x4x7")),
)
"""How often each is made, beside the others."""


@dataclasses.dataclass(frozen=True)
class Attack:
    """One damaged file, and the call that is made with it."""

    number: int
    source: str
    damage: str
    arguments: tuple[str, ...]
    data: bytes

    def __str__(self) -> str:
        return f"{self.number}: {self.source}, {self.damage}, {' '.join(self.arguments)}"


def attack(seed: int, number: int) -> Attack:
    """File `number` of `seed`; one in four is damaged twice where the first left it whole."""
    rng = np.random.default_rng([seed, number])
    shares = np.array([source.share for source in SOURCES])
    source = SOURCES[int(rng.choice(len(SOURCES), p=shares / shares.sum()))]
    weights = np.array([weight for weight, _ in CALLS])
    _, arguments = CALLS[int(rng.choice(len(CALLS), p=weights / weights.sum()))]
    damage = DAMAGES[number % len(DAMAGES)]
    return Attack(number, source.name, damage.__name__, arguments, damage(rng, source.model()))


def run(seed: int, numbers: Iterable[int], jobs: int = 1) -> Iterator[tuple[int, Verdict | Died]]:
    """Try files, each in a process that may die of it; yields what came of each."""
    with Workers(functools.partial(_try, seed), jobs, time_limit=_PATIENCE) as workers:
        yield from workers.map(numbers)


def _try(seed: int, number: int) -> Verdict:
    tried = attack(seed, number)
    _limit()
    with tempfile.TemporaryDirectory() as folder:
        return judge(tried.data, tried.arguments, Path(folder))


def _limit() -> None:
    """Let the system end this process where a file takes its processor for ever."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        soon = int(time.process_time()) + _PROCESSOR_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (soon, most))


def faults(verdict: Verdict | Died) -> tuple[str, ...]:
    """What is wrong with what came of a file."""
    return (verdict.reason,) if isinstance(verdict, Died) else verdict.faults
