"""What a runtime takes, op by op: ``python -m tests.runtimes.ops NAME``.

Every graph of forms.py (or of ranks.py or pairs.py: ``--sweep``) is run on the runtime as it is and
as `onnxpool rewrite --target` writes it, and compared with ONNX Runtime on two inputs, one of them
positive.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import typer
from rich.console import Console
from rich.progress import track

import onnxpool
from onnxpool.errors import OnnxpoolError
from onnxpool.rewrites.graph.run import RunError, Runner
from onnxpool.targets.running.process import Worker
from tests.runtimes import environments
from tests.runtimes.forms import Array, forms
from tests.runtimes.pairs import pairs
from tests.runtimes.ranks import ranks
from tests.runtimes.registry import by_name

LARGEST_ERROR = 1e-4
"""Of the greatest output: what float32 loses in these graphs is less by far."""

LARGEST_HALF_ERROR = 1e-2
"""The same of float16, whose roundings are 2^13 times as large."""

TIMEOUT = 120.0

SWEEPS = {"forms": forms, "ranks": ranks, "pairs": pairs}


def main(
    name: Annotated[str, typer.Argument(help="A runtime.")],
    folder: Annotated[Path | None, typer.Option(help="Where the environments are.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Forms that begin so.")] = None,
    sweep: Annotated[str, typer.Option(help=f"One of {', '.join(SWEEPS)}.")] = "forms",
) -> None:
    """Print the forms that the runtime does not take, and what becomes of them."""
    place = folder or environments.default_folder()
    runtime = by_name(name)
    python = environments.python_of(runtime, place)
    if python is None:
        raise typer.BadParameter(f"{name} is not installed in {place}")
    scratch = place / "scratch" / f"{name}-ops"
    scratch.mkdir(parents=True, exist_ok=True)
    worker = Worker(name, runtime.driver_path, python, scratch)
    chosen = {k: m for k, m in SWEEPS[sweep]().items() if not only or k.startswith(tuple(only))}
    console = Console()
    most = LARGEST_HALF_ERROR if runtime.half else LARGEST_ERROR
    wrong = 0
    for form, model in track(chosen.items(), name, console=Console(stderr=True), transient=True):
        try:
            raw = verdict(worker, model, model, scratch, most)
        except RunError:
            continue  # No input of this shape.
        written = rewritten(worker, model, runtime.target, scratch, most)
        wrong += raw != "right"
        if (raw, written) != ("right", "right"):
            console.print(f"{form}: {raw}; rewritten: {written}", markup=False, highlight=False)
    worker.close()
    console.print(f"{name} {worker.version}: {len(chosen) - wrong} of {len(chosen)} forms right")


def rewritten(
    worker: Worker,
    model: onnx.ModelProto,
    target: str,
    scratch: Path,
    most: float = LARGEST_ERROR,
) -> str:
    """The verdict on what `rewrite` makes of it: as `verdict` says, or why there is nothing."""
    try:
        result = onnxpool.rewrite(model, target=target)
    except OnnxpoolError as error:
        return f"refused: {error}"
    return verdict(worker, result.model, model, scratch, most)


def verdict(
    worker: Worker,
    model: onnx.ModelProto,
    reference: onnx.ModelProto,
    scratch: Path,
    most: float = LARGEST_ERROR,
) -> str:
    """Whether the runtime computes with `model` what ONNX Runtime does with `reference`.

    Raises:
        RunError: ONNX Runtime does not run `reference`.
    """
    onnx.save(model, scratch / "model.onnx")
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    rng = np.random.default_rng(0)
    drawn = [rng.uniform(low, 1, shape).astype(np.float32) for low in (0.05, -1)]
    # Numbers that float16 holds too: else a comparison may go the other way there.
    inputs = [x.astype(np.float16).astype(np.float32) for x in drawn]
    run = Runner(reference)
    wanted = [run({"x": x})[0] for x in inputs]
    answer, found = worker.run(scratch / "model.onnx", [{"x": x} for x in inputs], ["y"], TIMEOUT)
    if answer.stage != "done":
        return f"{answer.stage}: {' '.join(answer.error.split())[:120]}"
    errors = [_error(y, right) for (y,), right in zip(found, wanted, strict=True)]
    return "right" if max(errors) <= most else f"wrong by {max(errors):.1g}"


def _error(found: Array, wanted: Array) -> float:
    if found.size != wanted.size:
        return float("inf")
    numbers = np.isfinite(wanted)
    largest = float(np.abs(wanted, where=numbers, out=np.zeros_like(wanted)).max(initial=0)) or 1.0
    error = np.abs(found.reshape(wanted.shape)[numbers].astype(np.float64) - wanted[numbers])
    return float(np.nan_to_num(error, nan=np.inf).max(initial=0)) / largest


if __name__ == "__main__":
    typer.run(main)
