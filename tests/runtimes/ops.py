"""What a runtime takes, op by op: ``python -m tests.runtimes.ops NAME``.

Every graph of forms.py is run on the runtime as it is and as `onnxpool rewrite --target` writes it,
and compared with ONNX Runtime on two inputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer
from rich.console import Console
from rich.progress import track

import onnxpool
from onnxpool.errors import OnnxpoolError
from onnxpool.rewrites.graph.run import Runner
from tests.runtimes import environments
from tests.runtimes.forms import Array, forms
from tests.runtimes.process import Worker
from tests.runtimes.registry import by_name

LARGEST_ERROR = 1e-4
"""Of the greatest output: what float32 loses in these graphs is less by far."""

LARGEST_HALF_ERROR = 1e-2
"""The same of float16, whose roundings are 2^13 times as large."""

TIMEOUT = 120.0


def main(
    name: Annotated[str, typer.Argument(help="A runtime.")],
    folder: Annotated[Path | None, typer.Option(help="Where the environments are.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Forms that begin so.")] = None,
) -> None:
    """Print the forms that the runtime does not take, and what becomes of them."""
    place = folder or environments.default_folder()
    runtime = by_name(name)
    python = environments.python_of(runtime, place)
    if python is None:
        raise typer.BadParameter(f"{name} is not installed in {place}")
    scratch = place / "scratch" / f"{name}-ops"
    scratch.mkdir(parents=True, exist_ok=True)
    worker = Worker(runtime, python, scratch)
    chosen = {k: m for k, m in forms().items() if not only or k.startswith(tuple(only))}
    console = Console()
    most = LARGEST_HALF_ERROR if runtime.half else LARGEST_ERROR
    wrong = 0
    for form, model in track(chosen.items(), name, console=Console(stderr=True), transient=True):
        raw = _verdict(worker, model, model, scratch, most)
        written = _rewritten(worker, model, runtime.target, scratch, most)
        wrong += raw != "right"
        if (raw, written) != ("right", "right"):
            console.print(f"{form}: {raw}; rewritten: {written}", markup=False, highlight=False)
    worker.close()
    console.print(f"{name} {worker.version}: {len(chosen) - wrong} of {len(chosen)} forms right")


def _rewritten(
    worker: Worker, model: onnx.ModelProto, target: str, scratch: Path, most: float
) -> str:
    try:
        result = onnxpool.rewrite(model, target=target)
    except OnnxpoolError as error:
        return f"refused: {error}"
    return _verdict(worker, result.model, model, scratch, most)


def _verdict(
    worker: Worker,
    model: onnx.ModelProto,
    reference: onnx.ModelProto,
    scratch: Path,
    most: float,
) -> str:
    """Whether the runtime computes with `model` what ONNX Runtime does with `reference`."""
    given, results = scratch / "given.npz", scratch / "results.npz"
    results.unlink(missing_ok=True)
    onnx.save(model, scratch / "model.onnx")
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    rng = np.random.default_rng(0)
    drawn = [rng.uniform(0.05, 1, shape).astype(np.float32) for _ in range(2)]
    # Numbers that float16 holds too: else a comparison may go the other way there.
    inputs = [x.astype(np.float16).astype(np.float32) for x in drawn]
    arrays: dict[str, Any] = {str(i): x for i, x in enumerate(inputs)}
    np.savez(given, **arrays)
    request = {
        "model": str(scratch / "model.onnx"),
        "input": "x",
        "outputs": ["y"],
        "shape": shape,
        "given": str(given),
        "results": str(results),
    }
    answer = worker.ask(request, TIMEOUT)
    if answer.stage != "done":
        return f"{answer.stage}: {' '.join(answer.error.split())[:120]}"
    run = Runner(reference)
    with np.load(results) as found:
        if len(found.files) < len(inputs):
            return "no output"
        errors = [_error(found[f"{i}.0"], run({"x": x})[0]) for i, x in enumerate(inputs)]
    return "right" if max(errors) <= most else f"wrong by {max(errors):.1g}"


def _error(found: Array, wanted: Array) -> float:
    if found.size != wanted.size:
        return float("inf")
    largest = float(np.abs(wanted).max(initial=0)) or 1.0
    return float(np.abs(found.reshape(wanted.shape) - wanted).max(initial=0)) / largest


if __name__ == "__main__":
    typer.run(main)
