"""A model in the runtime that it was written for, compared with ONNX Runtime.

The runtime runs in a process of its own, of this Python or of another (targets/running). Inputs are
drawn at one size where the model fixes it, else at two, from values that float16 holds as well.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx

from onnxpool.errors import ArgumentError
from onnxpool.inputs.sizes import Axes, Shapes, in_words
from onnxpool.inputs.values import INTEGERS, ModelInput, distributions, draw, model_inputs
from onnxpool.ops.op import Array
from onnxpool.rewrites.graph import limits
from onnxpool.rewrites.graph.run import RunError, Runner
from onnxpool.targets import Target
from onnxpool.targets.running.process import CannotStart, Worker, driver_path, running

Outcome = Literal["right", "wrong", "refused", "crashed", "timeout", "not run"]

DRAWN_FROM = ("normal", "positive")
LENGTHS = ((64, 64, 64), (48, 80, 56), (224, 224, 224), (33, 33, 33), (8, 8, 8))
"""What open axes are tried with, in turns; the first that ONNX Runtime runs are taken."""
MOST_SIZES = 2

LARGEST_ERROR = 1e-3
"""Of the greatest value: a hundred layers summed in another order lose less in float32."""
LARGEST_HALF_ERROR = 3e-2
"""The same in float16, as in runnable.py. A wrong op is off by more."""


@dataclasses.dataclass(frozen=True)
class TargetRun:
    """What became of a model in the runtime of its target.

    Attributes:
        target: its name.
        version: of the runtime; empty where it was not started.
        outcome: "right" where all outputs are near to ONNX Runtime's; "refused" where the runtime
            says that it cannot load or run the model; "not run" where nobody asked it.
        detail: in the words of the runtime, or why it was not run.
        error: greatest difference from ONNX Runtime, relative to the greatest value of the output;
            of whole numbers, the share of those that differ. None where nothing was compared, and
            where a shape is another.
        sizes: of the inputs, in words.
    """

    target: str
    version: str
    outcome: Outcome
    detail: str = ""
    error: float | None = None
    sizes: tuple[str, ...] = ()


def run_in_target(model: Path, target: Target, python: Path | None = None) -> TargetRun:
    """Run a model in the runtime of a target, within the limits of `limits.current()`.

    Args:
        model: a file in a folder of its own, where the runtime may write.
        python: an interpreter that has the runtime; None: this one, if it has.

    Raises:
        ArgumentError: `python` does not have the runtime.
    """
    nothing = TargetRun(target.name, "", "not run")
    if not target.driver:
        if python is not None:
            raise ArgumentError(f"nothing here runs {target.name}; leave --target-python out")
        return dataclasses.replace(nothing, detail="nothing here runs it")
    if python is None and not _is_installed_here(target):
        return dataclasses.replace(nothing, detail=_absent())
    try:
        given, wanted = _reference(model)
    except _NotRun as reason:
        return dataclasses.replace(nothing, detail=str(reason))
    with tempfile.TemporaryDirectory() as folder:
        try:
            worker = _started(target, python, Path(folder))
        except CannotStart as error:
            if python is not None:
                raise ArgumentError(f"{python} does not run {target.name}: {error}") from error
            return dataclasses.replace(nothing, detail=str(error))
        with running(worker):
            if not worker.version.startswith(target.version):
                if python is not None:
                    raise ArgumentError(f"{python} has {worker.version}, not {target.name}")
                return dataclasses.replace(nothing, detail=f"{worker.version} is here; {_absent()}")
            return _compared(model, target, worker, given, wanted)


class _NotRun(Exception):
    pass


def _is_installed_here(target: Target) -> bool:
    try:
        found = [importlib.util.find_spec(module) for module in target.modules]
    except ModuleNotFoundError:
        return False
    return bool(found) and all(found)


def _absent() -> str:
    return "it is not installed here; --target-python PATH names a Python that has it"


def _started(target: Target, python: Path | None, folder: Path) -> Worker:
    interpreter = python or Path(sys.executable)
    memory = limits.current().memory
    try:
        return Worker(target.name, driver_path(target.driver), interpreter, folder, memory)
    except OSError as error:
        raise CannotStart(f"it cannot be started: {error.strerror}") from error


def _reference(model: Path) -> tuple[list[Mapping[str, Array]], list[Sequence[Array]]]:
    """Values of the inputs, and what ONNX Runtime makes of them.

    Raises:
        _NotRun: it runs none.
    """
    try:
        inputs = model_inputs(onnx.load(model, load_external_data=False))
        run = Runner(str(model))
        drawn_from = [d for d in distributions(inputs) if d in (*DRAWN_FROM, INTEGERS)]
        candidates = list(_candidates(inputs))
    except (ArgumentError, RunError) as error:
        raise _NotRun(str(error)) from error
    given: list[Mapping[str, Array]] = []
    wanted: list[Sequence[Array]] = []
    why_not = ""
    for shapes in candidates:
        try:
            drawn = [_rounded(draw(inputs, shapes, d, seed=0)) for d in drawn_from]
            wanted += [run(values) for values in drawn]
        except (RunError, MemoryError) as error:
            why_not = str(error)
            continue
        given += drawn
        if len(given) >= MOST_SIZES * len(drawn_from):
            break
    if not given:
        raise _NotRun(f"ONNX Runtime runs it at none of the sizes tried: {why_not}")
    return given, wanted[: len(given)]


def _candidates(inputs: Sequence[ModelInput]) -> Iterator[Shapes]:
    axes = Axes.of(inputs, None)
    found = (
        axes.shapes({name: lengths[i % 3] for i, name in enumerate(axes.swept)})
        for lengths in LENGTHS
    )
    yield from dict.fromkeys(found)


def _rounded(values: Mapping[str, Array]) -> dict[str, Array]:
    """Numbers that float16 holds too: else a comparison may go another way there."""
    return {
        name: x.astype(np.float16).astype(x.dtype) if x.dtype.kind == "f" else x
        for name, x in values.items()
    }


def _compared(
    model: Path,
    target: Target,
    worker: Worker,
    given: Sequence[Mapping[str, Array]],
    wanted: Sequence[Sequence[Array]],
) -> TargetRun:
    names = [value.name for value in onnx.load(model, load_external_data=False).graph.output]
    sizes = dict.fromkeys(", ".join(in_words(x.shape) for x in xs.values()) for xs in given)
    result = TargetRun(target.name, worker.version, "right", sizes=tuple(sizes))
    # One that converts for fixed sizes is asked for each anew.
    by_size: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for i, xs in enumerate(given):
        by_size.setdefault(tuple(x.shape for x in xs.values()), []).append(i)
    found: dict[int, list[Array]] = {}
    for runs in [list(range(len(given)))] if target.dynamic else by_size.values():
        inputs = [given[i] for i in runs]
        answer, outputs = worker.run(model, inputs, names, limits.current().seconds)
        if answer.stage != "done":
            outcome: Outcome = "refused"
            if answer.stage in ("crashed", "timeout"):
                outcome = answer.stage
            return dataclasses.replace(result, outcome=outcome, detail=answer.in_words())
        found.update(zip(runs, outputs, strict=True))
    return _judged(result, names, [found[i] for i in range(len(given))], wanted, target.half)


def _judged(
    result: TargetRun,
    names: Sequence[str],
    found: Sequence[Sequence[Array]],
    wanted: Sequence[Sequence[Array]],
    half: bool,
) -> TargetRun:
    most = LARGEST_HALF_ERROR if half else LARGEST_ERROR
    errors: dict[str, float] = dict.fromkeys(names, 0.0)
    for outputs, right in zip(found, wanted, strict=True):
        for name, y, z in zip(names, outputs, right, strict=True):
            if y.shape != z.shape:
                detail = f"output {name!r} is {in_words(y.shape)}, not {in_words(z.shape)}"
                return dataclasses.replace(result, outcome="wrong", detail=detail)
            errors[name] = max(errors[name], error(y, z))
    worst = max(errors, key=errors.__getitem__)
    if errors[worst] <= most:
        return dataclasses.replace(result, error=errors[worst])
    detail = f"output {worst!r} is off by {errors[worst]:.0e} of its greatest value"
    return dataclasses.replace(result, outcome="wrong", detail=detail, error=errors[worst])


def error(found: Array, wanted: Array) -> float:
    """How far an output is off, where it is finite, relative to its greatest value.

    Of whole numbers it is the share of those that differ: near a tie, an index is another one.
    """
    if wanted.dtype.kind != "f":
        return float(np.mean(found != wanted)) if wanted.size else 0.0
    finite = np.isfinite(wanted)
    right = wanted[finite].astype(np.float64)
    off = np.abs(found[finite].astype(np.float64) - right)
    largest = float(np.abs(right).max(initial=0.0)) or 1.0
    return float(np.nan_to_num(off, nan=np.inf).max(initial=0.0)) / largest
