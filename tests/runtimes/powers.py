"""How fast a runtime raises to a power: ``python -m tests.runtimes.powers [NAME…]``.

GeM over 1x512x32x32 with its power written in three ways, timed in turns in one process of the
runtime, with the threads that its driver in drivers/ gives it. Printed is how many times faster
than Pow a way is; what is below 1 is slower.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import onnx.parser
import typer

from onnxpool.targets.running.process import WORKER
from tests.runtimes import environments
from tests.runtimes.document import table
from tests.runtimes.registry import HERE, RUNTIMES, Runtime, by_name

SHAPE = (1, 512, 32, 32)
EXPONENTS = (3.0, 4.0, 6.0, 2.87)
TIMEOUT = 600


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Runtimes; all, if none.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the environments are.")] = None,
    seconds: Annotated[float, typer.Option(help="For each exponent.")] = 2.0,
) -> None:
    """Print how many times faster than Pow products and Exp(p·Log(X)) are."""
    place = folder or environments.default_folder()
    columns = [f"p = {p:g}, {way}" for p in EXPONENTS for way in ways(p) if way != "Pow"]
    rows = []
    for runtime in map(by_name, names or [runtime.name for runtime in RUNTIMES]):
        python = environments.python_of(runtime, place)
        if python is not None:
            found = [r for p in EXPONENTS for r in ratios(runtime, python, p, seconds)]
            rows.append((runtime.name, *found))
    print(table(("runtime", *columns), rows))


def ways(p: float) -> dict[str, str]:
    """The power of c as nodes, by name."""
    found = {"Pow": "power = Pow(c, p)", "Exp-Log": "l = Log(c) m = Mul(l, p) power = Exp(m)"}
    products = {
        3.0: "s = Mul(c, c) power = Mul(s, c)",
        4.0: "s = Mul(c, c) power = Mul(s, s)",
        6.0: "s = Mul(c, c) t = Mul(s, c) power = Mul(t, t)",
    }
    return found | ({"products": products[p]} if p in products else {})


def model_of(way: str, p: float) -> onnx.ModelProto:
    n, c, h, w = SHAPE
    return onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[{n},{c},{h},{w}] x) => (float[{n},{c},1,1] y)
        <float epsilon = {{1e-6}}, float p = {{{p}}}, float root = {{{1 / p}}}>
        {{ c = Max(x, epsilon)
           {way}
           mean = GlobalAveragePool(power)
           y = Pow(mean, root) }}""")


def ratios(runtime: Runtime, python: Path, p: float, seconds: float) -> list[str]:
    """The time of Pow over that of the others, each as text."""
    spellings = ways(p)
    with tempfile.TemporaryDirectory() as name:
        models = []
        for i, way in enumerate(spellings.values()):
            # Drivers write beside the model.
            place = Path(name) / str(i)
            place.mkdir()
            models.append(str(place / "model.onnx"))
            onnx.save(model_of(way, p), models[-1])
        given = Path(name) / "x.npy"
        np.save(given, np.random.default_rng(0).uniform(0, 2, SHAPE).astype(np.float32))
        times = _times(runtime, python, models, given, seconds)
    by_way = dict(zip(spellings, times, strict=True))
    power = by_way.pop("Pow")
    return [_in_words(power, time) for time in by_way.values()]


def _times(
    runtime: Runtime, python: Path, models: Sequence[str], given: Path, seconds: float
) -> list[float | str]:
    request = {
        "models": list(models),
        "input": "x",
        "outputs": ["y"],
        "given": str(given),
        "seconds": seconds,
    }
    command = [str(python), str(HERE / "stopwatch.py"), str(runtime.driver_path)]
    done = subprocess.run(
        command,
        input=json.dumps(request),
        env={**os.environ, "PYTHONPATH": str(WORKER.parent)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    if done.returncode:
        return [f"ended with status {done.returncode}"] * len(models)
    return list(json.loads(done.stdout.splitlines()[-1]))


def _in_words(power: float | str, time: float | str) -> str:
    if isinstance(power, str) or isinstance(time, str):
        return "does not run"
    return f"{power / time:.2f}"


if __name__ == "__main__":
    typer.run(main)
