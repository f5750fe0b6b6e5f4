"""How many sizes a plain dynamic export is right at, before and after `onnxpool rewrite`.

    python benchmarks/dynamic.py

Each module is exported by `torch.onnx.export(dynamo=True)` with dynamic batch, height and width,
and run at the square sizes 1 to 64 that the module takes, in ONNX Runtime, against the module.
"traced size" is the rewrite with --traced-size, "reference" that with --reference.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

import onnxpool
from models import attention, pyconv, pyramid
from onnxpool.rewrites.graph.run import RunError, Runner

SIZES = range(1, 65)
Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    build: Callable[[], nn.Module]
    traced: Shape

    @property
    def spatial(self) -> list[int]:
        return list(range(2, len(self.traced)))

    def shape(self, size: int) -> Shape:
        return (3, self.traced[1], *[size] * len(self.spatial))


CASES = (
    Case("AdaptiveAvgPool2d(6) traced at 13", lambda: nn.AdaptiveAvgPool2d(6), (2, 8, 13, 13)),
    Case("AdaptiveAvgPool2d(6) traced at 12", lambda: nn.AdaptiveAvgPool2d(6), (2, 8, 12, 12)),
    Case(
        "AdaptiveAvgPool2d((3, None)) traced at 13",
        lambda: nn.AdaptiveAvgPool2d((3, None)),
        (2, 8, 13, 13),
    ),
    Case("AdaptiveAvgPool1d(5) traced at 13", lambda: nn.AdaptiveAvgPool1d(5), (2, 8, 13)),
    Case("pyramid (1, 2, 3, 6) traced at 33", pyramid.ppm, (2, 16, 33, 33)),
    Case("pyramid (1, 2, 3, 6) traced at 30", pyramid.ppm, (2, 16, 30, 30)),
    Case("pyramid (1, 2, 3, 6) traced at 16", pyramid.ppm, (2, 16, 16, 16)),
    Case("PyConv's global block traced at 60", pyconv.pyconv_global, (2, 16, 60, 60)),
    Case("PVTv2-linear attention traced at 16", attention.linear_attention, (2, 16, 16, 16)),
    Case("PVTv2-linear attention traced at 14", attention.linear_attention, (2, 16, 14, 14)),
)


def main() -> None:
    table = Table("module", "sizes", "exported", "rewritten", "traced size", "reference", box=None)
    for case in track(CASES, console=Console(stderr=True), transient=True):
        table.add_row(case.name, *map(str, measure(case)))
    Console(width=110).print(table)


def measure(case: Case) -> tuple[int, ...]:
    """The number of sizes that the module takes, and of those at which each model is right."""
    torch.manual_seed(0)
    module = case.build().eval()
    model = export(module, case)
    name = model.graph.input[0].name
    taken = [size for size in SIZES if takes(module, case.shape(size))]
    models = (
        model,
        onnxpool.rewrite(model).model,
        onnxpool.rewrite(model, traced_sizes={name: case.traced}).model,
        onnxpool.rewrite(model, reference=module).model,
    )
    return len(taken), *(right(m, module, case, taken) for m in models)


def export(module: nn.Module, case: Case) -> onnx.ModelProto:
    axes = dict.fromkeys((0, *case.spatial), torch.export.Dim.DYNAMIC)
    with quiet():
        program = torch.onnx.export(
            module, (torch.randn(case.traced),), dynamo=True, dynamic_shapes=(axes,), verbose=False
        )
    assert program is not None
    return program.model_proto


def takes(module: nn.Module, shape: Shape) -> bool:
    with contextlib.suppress(RuntimeError, ValueError), torch.no_grad():
        module(torch.zeros(shape))
        return True
    return False


def right(model: onnx.ModelProto, module: nn.Module, case: Case, sizes: list[int]) -> int:
    runner = Runner(model)
    return sum(is_right(runner, model, module, case.shape(size)) for size in sizes)


def is_right(runner: Runner, model: onnx.ModelProto, module: nn.Module, shape: Shape) -> bool:
    """Whether they agree up to the rounding of float32, far below what a wrong window makes."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = module(x).numpy()
    try:
        (found,) = runner({model.graph.input[0].name: x.numpy()})
    except RunError:
        return False
    return found.shape == wanted.shape and np.allclose(found, wanted, rtol=1e-4, atol=1e-5)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


if __name__ == "__main__":
    main()
