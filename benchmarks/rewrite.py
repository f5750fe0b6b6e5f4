"""How much faster ONNX Runtime is after `onnxpool rewrite`: the table of README.md.

    python benchmarks/rewrite.py [--threads N]

Each module is exported by torch.onnx.export(dynamo=True) at a static size, rewritten, and both
models run in turns in one process. Times are medians in milliseconds; read the ratio. Errors are
against PyTorch in float64, relative to the greatest output, PyTorch's own float32 error beside.
Needs torch and onnxscript.
"""

from __future__ import annotations

import argparse
import copy
import logging
import statistics
import time
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional

import onnxpool

REPEATS = 31
Shape = tuple[int, ...]


class GeM(nn.Module):
    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([p]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        powers = x.clamp(min=1e-6).pow(self.p)
        return functional.adaptive_avg_pool2d(powers, 1).pow(1.0 / self.p)


class Pyramid(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(functional.adaptive_avg_pool2d(x, bins) for bins in (1, 2, 3, 6))


CASES: tuple[tuple[str, nn.Module, Shape], ...] = (
    ("AdaptiveAvgPool2d 13 → 6", nn.AdaptiveAvgPool2d(6), (1, 512, 13, 13)),
    ("AdaptiveAvgPool2d 13 → 6, batch 8", nn.AdaptiveAvgPool2d(6), (8, 512, 13, 13)),
    ("AdaptiveAvgPool2d 7 → 4", nn.AdaptiveAvgPool2d(4), (1, 512, 7, 7)),
    ("AdaptiveAvgPool2d 60 → 9", nn.AdaptiveAvgPool2d(9), (1, 512, 60, 60)),
    ("AdaptiveAvgPool2d 65 → 6", nn.AdaptiveAvgPool2d(6), (1, 512, 65, 65)),
    ("pyramid 1, 2, 3, 6 of 65", Pyramid(), (1, 512, 65, 65)),
    ("GeM, p = 3", GeM(3.0), (1, 512, 32, 32)),
    ("GeM, p = 2.87", GeM(2.87), (1, 512, 32, 32)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    table = Table(box=box.MARKDOWN)
    for column in (
        "module",
        "input",
        "exported",
        "rewritten",
        "times faster",
        "as",
        "error",
        "PyTorch",
    ):
        table.add_column(column, justify="left" if column in ("module", "as") else "right")
    for name, module, shape in CASES:
        table.add_row(name, "x".join(map(str, shape)), *measure(module.eval(), shape, threads))
    print(f"ONNX Runtime {onnxruntime.__version__}, threads: {threads}")
    Console(width=140).print(table)


def measure(module: nn.Module, shape: Shape, threads: int) -> tuple[str, ...]:
    torch.manual_seed(0)
    x = torch.randn(shape)
    program = torch.onnx.export(module, (x,), dynamo=True, verbose=False)
    assert program is not None
    result = onnxpool.rewrite(program.model_proto)
    sessions = [session(m, threads) for m in (program.model_proto, result.model)]
    before, after = times(sessions, x.numpy())
    with torch.no_grad():
        exact = outputs(copy.deepcopy(module).double()(x.double()))
        own = outputs(module(x))
    found = sessions[1].run(None, {sessions[1].get_inputs()[0].name: x.numpy()})
    strategy = ", ".join(f.detail for f in result.report.findings if f.action == "rewritten")
    return (
        f"{before:.2f}",
        f"{after:.2f}",
        f"{before / after:.1f}",
        strategy or "left",
        f"{worst(found, exact):.1e}",
        f"{worst(own, exact):.1e}",
    )


def session(model: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def times(sessions: list[onnxruntime.InferenceSession], x: np.ndarray) -> list[float]:
    """Median milliseconds of each session, run in turns."""
    feeds = [{s.get_inputs()[0].name: x} for s in sessions]
    for s, feed in zip(sessions, feeds, strict=True):
        s.run(None, feed)
    spent: list[list[float]] = [[] for _ in sessions]
    for _ in range(REPEATS):
        for s, feed, own in zip(sessions, feeds, spent, strict=True):
            start = time.perf_counter()
            s.run(None, feed)
            own.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(own) for own in spent]


def outputs(result: torch.Tensor | tuple[torch.Tensor, ...]) -> list[np.ndarray]:
    tensors = (result,) if isinstance(result, torch.Tensor) else result
    return [tensor.numpy() for tensor in tensors]


def worst(found: list[np.ndarray], exact: list[np.ndarray]) -> float:
    pairs = zip(found, exact, strict=True)
    return max(float(np.max(np.abs(y - e)) / np.max(np.abs(e))) for y, e in pairs)


if __name__ == "__main__":
    main()
