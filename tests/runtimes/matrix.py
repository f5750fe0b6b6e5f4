"""Every construct x {as exported, rewritten} x every runtime: each cell is run, and judged."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx

from onnxpool.inputs.values import DISTRIBUTIONS
from onnxpool.targets.running.process import WORKER, Answer, Worker
from onnxpool.validation.accuracy import Accuracy
from tests.runtimes.constructs import HALF_DISTRIBUTIONS, Form, Shape, State, Values
from tests.runtimes.jobs import Job, load_values, values_path
from tests.runtimes.registry import Runtime

Outcome = Literal["right", "wrong", "refused", "crashed", "timeout", "not made"]
TIMEOUT = 120.0
"""Seconds for loading a model and running it on all its inputs; the slowest takes ten."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """What became of a model on a runtime.

    Attributes:
        outcome: "right" by the rule of onnxpool/validation/accuracy.py at every size on every
            distribution; "refused" where the runtime says that it cannot load or run it; "not
            made" where there is no model.
        detail: how wrong, or the runtime's own words.
        units: the greatest error, in units of PyTorch's own; None where nothing was compared.
    """

    runtime: str
    builder: str
    form: Form
    state: State
    outcome: Outcome
    detail: str = ""
    units: float | None = None


class Runner:
    """Runs the jobs of one runtime, one after the other."""

    def __init__(self, runtime: Runtime, python: Path, folder: Path) -> None:
        """Start the runtime.

        Args:
            folder: for what is kept from run to run, and scratch files.

        Raises:
            RuntimeError: the runtime cannot be imported.
        """
        self._runtime = runtime
        self._cells = folder / "cells"
        scratch, logs = folder / "scratch", folder / "logs"
        for place in (self._cells, scratch, logs):
            place.mkdir(parents=True, exist_ok=True)
        # Of its own, so that two runs at a time do not read each other's files.
        self._scratch = Path(tempfile.mkdtemp(prefix=f"{runtime.name}-", dir=scratch))
        self._worker = Worker(runtime.name, runtime.driver_path, python, logs)
        self._code = WORKER.read_text() + runtime.driver_path.read_text()

    @property
    def version(self) -> str:
        return self._worker.version

    def close(self) -> None:
        self._worker.close()
        shutil.rmtree(self._scratch)

    def cell(self, job: Job) -> Cell:
        """Run a job, unless the same model was run by the same runtime on the same values."""
        cell = Cell(self._runtime.name, job.builder, job.form, job.state, "right")
        if job.not_made:
            return dataclasses.replace(cell, outcome="not made", detail=job.not_made)
        kept = self._cells / f"{self._key(job)}.json"
        if kept.exists():
            return Cell(**json.loads(kept.read_text()))
        for model, shapes in self._requests(job):
            found = self._run(cell, model, shapes)
            if found.outcome != "right" and not self._worker.fresh:
                # Whatever the runs before have left behind is not to be blamed on this one.
                self._worker.restart()
                found = self._run(cell, model, shapes)
            units = max(cell.units or 0.0, found.units or 0.0)
            cell = dataclasses.replace(found, units=units)
            if cell.outcome != "right":
                break
        kept.write_text(json.dumps(dataclasses.asdict(cell)))
        return cell

    def _requests(self, job: Job) -> Iterator[tuple[str, tuple[Shape, ...]]]:
        for run in job.runs:
            if self._runtime.dynamic:
                yield run.model, run.shapes
            else:
                yield from ((run.model, (shape,)) for shape in run.shapes)

    def _key(self, job: Job) -> str:
        digest = hashlib.sha256(f"{self._runtime}{self.version}{self._code}".encode())
        digest.update(f"{job.builder} {job.form} {job.state}".encode())
        for run in job.runs:
            digest.update(Path(run.model).read_bytes())
            for shape in run.shapes:
                digest.update(values_path(run.model, shape).read_bytes())
        return digest.hexdigest()

    def _run(self, cell: Cell, model: str, shapes: Sequence[Shape]) -> Cell:
        values = [load_values(values_path(model, shape), shape) for shape in shapes]
        distributions = HALF_DISTRIBUTIONS if self._runtime.half else tuple(DISTRIBUTIONS)
        inputs = [v.inputs[d] for v in values for d in distributions]
        answer, found = self.run(Path(model), inputs)
        if answer.stage != "done":
            outcome: Outcome = "refused"
            if answer.stage in ("crashed", "timeout"):
                outcome = answer.stage
            return dataclasses.replace(cell, outcome=outcome, detail=answer.in_words())
        return judged(cell, values, distributions, found, self._runtime.half)

    def run(self, model: Path, inputs: Sequence[np.ndarray]) -> tuple[Answer, list[Any]]:
        """Run a model with one input; return the outputs for each of the values of its input."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        path = self._scratch / "model.onnx"
        shutil.copyfile(model, path)
        graph = onnx.load(path).graph
        (name,) = (x.name for x in graph.input)
        return self._worker.run(
            path, [{name: x} for x in inputs], [y.name for y in graph.output], TIMEOUT
        )


def judged(
    cell: Cell,
    values: Sequence[Values],
    distributions: Sequence[str],
    found: Sequence[list[np.ndarray]],
    half: bool,
) -> Cell:
    """Compare the outputs, which are in the order of the shapes and distributions."""
    pairs = [(v, distribution) for v in values for distribution in distributions]
    judged_all: list[tuple[Shape, Accuracy]] = []
    for (v, distribution), outputs in zip(pairs, found, strict=True):
        judged_all += [(v.shape, accuracy) for accuracy in v.judge(distribution, outputs, half)]
    shape, worst = max(judged_all, key=lambda pair: (not pair[1].passed, pair[1].units))
    units = max(accuracy.units for _, accuracy in judged_all)
    if worst.passed:
        return dataclasses.replace(cell, units=units)
    size = "x".join(map(str, shape))
    failing = sorted({a.distribution for _, a in judged_all if not a.passed})
    detail = f"{worst.failure} (at {size}, {worst.distribution}; in {', '.join(failing)})"
    return dataclasses.replace(cell, outcome="wrong", detail=detail, units=units)
