"""Whole nets in each runtime: ``python -m tests.runtimes.real_models [NAME…]``.

The nets are those that the onnx package carries without their weights; these are drawn here, of the
size that keeps a signal from layer to layer. What `onnxpool rewrite --target` makes of a net is run
in the runtime and compared with ONNX Runtime: it is right, or it has to be refused.
"""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import onnx.backend.test
import typer
from onnx import numpy_helper
from rich.console import Console

import onnxpool
from onnxpool.errors import OnnxpoolError
from onnxpool.rewrites.graph import limits
from onnxpool.targets import find
from onnxpool.validation.in_target import run_in_target
from tests.runtimes import environments
from tests.runtimes.grid import Words, grid
from tests.runtimes.grid import read as read_grid
from tests.runtimes.registry import RUNTIMES, Runtime, by_name

LIGHT = Path(onnx.backend.test.__file__).parent / "data" / "light"
NETS = ("densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet")
NAMES = tuple(runtime.name for runtime in RUNTIMES)
GAINS = {"resnet50": 1.0, "shufflenet": 0.5}
"""Of the variance in a layer, where branches are summed; 2 is kept by the ReLU behind it."""
TIMEOUT = 300.0
MOST_DETAIL = 90

PAGE_HEAD = """\
# Whole nets in the runtimes

What `onnxpool rewrite --target NAME` makes of whole nets, run in the runtime and compared with ONNX
Runtime on random input: the error relative to the greatest output, or why the net is refused. A
runtime that computes in float16 is held to 3 %, another one to 0.1 %. The nets are those that the
onnx package carries; their weights are drawn. Written by

    python -m tests.runtimes.real_models --write docs/real_models.md
"""


@functools.cache
def net(name: str) -> onnx.ModelProto:
    """A net of the onnx package, with weights."""
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    rng = np.random.default_rng(0)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made = [node for node in model.graph.node if node.op_type == "ConstantOfShape"]
    scales = _scales(model.graph)
    for node in made:
        shape = tuple(stored[node.input[0]])
        weights = _drawn(rng, shape, GAINS.get(name, 2.0), node.output[0] in scales)
        model.graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
        model.graph.node.remove(node)
    shapes = {node.input[0] for node in made}
    for values in (model.graph.initializer, model.graph.input):
        for value in [v for v in values if v.name in shapes]:
            values.remove(value)
    # From version 4 on, a weight is no input.
    model.ir_version = 4
    weights_alone = {tensor.name for tensor in model.graph.initializer}
    for value in [v for v in model.graph.input if v.name in weights_alone]:
        model.graph.input.remove(value)
    onnx.checker.check_model(model)
    return model


def _scales(graph: onnx.GraphProto) -> set[str]:
    """The vectors that are multiplied with, or divided by."""
    behind = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Unsqueeze"}
    places = {"BatchNormalization": (1, 4), "Mul": (0, 1)}
    names = [n.input[k] for n in graph.node for k in places.get(n.op_type, ())]
    return {behind.get(name, name) for name in names}


def _drawn(
    rng: np.random.Generator, shape: tuple[int, ...], gain: float, scales: bool
) -> np.ndarray:
    """Weights of a layer; of a vector, those that scale are near to 1, the others to 0."""
    if len(shape) > 1:
        values = np.sqrt(gain / np.prod(shape[1:])) * rng.standard_normal(shape)
    else:
        values = rng.uniform(0.5, 1.5, shape) if scales else 0.1 * rng.standard_normal(shape)
    return values.astype(np.float32)


def verdict(name: str, runtime: Runtime, python: Path) -> str:
    """What becomes of a net for a runtime, in words."""
    target = find(runtime.target)
    try:
        result = onnxpool.rewrite(net(name), target=target.name)
    except OnnxpoolError as error:
        return f"refused: {_short(str(error))}"
    with tempfile.TemporaryDirectory() as folder, limits.within(TIMEOUT):
        path = Path(folder) / "model.onnx"
        result.save(path)
        run = run_in_target(path, target, python)
    return f"right, {run.error:.0e}" if run.outcome == "right" else f"{run.outcome}: {run.detail}"


def _short(text: str) -> str:
    """The reason alone, without what is said around it."""
    reason = re.sub(r"^\S+ would not take the result: |; nothing was written$", "", text)
    return " ".join(reason.split())[:MOST_DETAIL]


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Runtimes; all, if none.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the environments are.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Nets; all, if none.")] = None,
    write: Annotated[Path | None, typer.Option(help="The Markdown file to write.")] = None,
) -> None:
    """Print what becomes of each net; the page keeps what it says of runtimes that are not run."""
    place = folder or environments.default_folder()
    page = write.read_text() if write and write.exists() else ""
    found = read(page)
    for runtime in [by_name(name) for name in names] if names else RUNTIMES:
        python = environments.python_of(runtime, place)
        if python is None:
            continue
        for each in only or NETS:
            found[runtime.name, each] = verdict(each, runtime, python)
            Console().print(f"{runtime.name}, {each}: {found[runtime.name, each]}", markup=False)
            if write:
                write.write_text(markdown(found))


def markdown(found: Words) -> str:
    """The page: a row for each runtime."""
    return f"{PAGE_HEAD}\n{grid('runtime', NETS, NAMES, found)}\n"


def read(page: str) -> dict[tuple[str, str], str]:
    """What a page that `markdown` has written says."""
    return dict(read_grid(page, NETS, NAMES))


if __name__ == "__main__":
    typer.run(main)
