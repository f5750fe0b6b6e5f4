"""What the page tells of a model as it came and as it is now."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpool import steps
from onnxpool.errors import ArgumentError, OnnxpoolError
from onnxpool.model.diff import Diff, Replacement, diff, replacements
from onnxpool.model.file import ModelFile
from onnxpool.pipeline import conform
from onnxpool.pipeline.report import Report
from onnxpool.pipeline.rewrite import inspect, load
from onnxpool.targets import Target, every
from onnxpool.validation.compare import Validation, compare

if TYPE_CHECKING:
    from onnxpool.validation.source import Source


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A model against a reference, or why the two could not be compared."""

    model: str
    reference: str
    validation: Validation | None = None
    failure: str = ""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a target would not take, as the model came and as it is now.

    Attributes:
        opsets: of both; that of the target may be less.
    """

    target: Target
    refused: tuple[tuple[str, ...], tuple[str, ...]]
    opsets: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Facts:
    """All that the page tells.

    Attributes:
        report: of the rewrite; of `inspect` where that is long ago.
        comparisons: of both models against the source, or of the second against the first.
        timings: as `bench --json` writes them; empty where nothing was timed.
    """

    before: str
    after: str
    report: Report
    diff: Diff
    replacements: tuple[Replacement, ...]
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[Verdict, ...]
    timings: Mapping[str, Any]


def gather(
    before: Path,
    after: Path,
    *,
    report: Report | None = None,
    reference: str | Source | None = None,
    shapes: Sequence[Sequence[int]] | None = None,
    weights: Path | None = None,
    seed: int = 0,
    timings: Mapping[str, Any] | None = None,
) -> Facts:
    """Look at both models, run both and compare them.

    Args:
        report: of the rewrite, where that was just done.
        reference: what both are compared with; else the second is compared with the first.
        shapes, weights, seed: as `compare` takes them.

    Raises:
        OnnxpoolError: a model cannot be read.
    """
    if report is None:
        report = dataclasses.replace(inspect(before), model=str(before))
    pairs: list[tuple[Path, str | Path | Source]] = [(after, before)]
    if reference is not None:
        pairs = [(before, reference), (after, reference)]
    options = {"shapes": shapes, "weights": weights, "seed": seed}
    return Facts(
        before=str(before),
        after=str(after),
        report=report,
        diff=diff(before, after),
        replacements=tuple(replacements(before, after)),
        comparisons=tuple(_compared(*pair, options) for pair in pairs),
        verdicts=_verdicts(before, after),
        timings=timings or {},
    )


def _compared(
    model: Path, reference: str | Path | Source, options: Mapping[str, Any]
) -> Comparison:
    words = str(reference) if isinstance(reference, str | Path) else reference.name
    steps.at(f"comparing {model} with {words}")
    try:
        return Comparison(str(model), words, compare(model, reference, **options))
    except OnnxpoolError as error:
        return Comparison(str(model), words, failure=str(error))


def _verdicts(before: Path, after: Path) -> tuple[Verdict, ...]:
    first, second = (load(path) for path in (before, after))
    found = []
    for target in every():
        steps.at(f"what {target.name} takes")
        refused = _refused(first, target), _refused(second, target)
        found.append(Verdict(target, refused, (first.opset, second.opset)))
    return tuple(found)


def _refused(file: ModelFile, target: Target) -> tuple[str, ...]:
    refusals = conform.refusals(file, target)
    return tuple(f"{r.node}: {r.reason}{'' if r.certain else ' (perhaps)'}" for r in refusals)


def read_timings(path: Path) -> dict[str, Any]:
    """What `bench --json` wrote.

    Raises:
        ArgumentError: the file holds something else.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        for comparison in facts["comparisons"]:
            f"{comparison['threads']:d} {comparison['size']}"
            for timing in comparison["timings"]:
                if "failure" not in timing:
                    low, high = timing["quartiles"]
                    sum((timing["median"], timing["ratio"], low, high), 0.0)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArgumentError(
            f"{path} is not what `onnxpool bench --json` writes ({type(error).__name__}: {error})"
        ) from error
    return dict(facts)
