"""Latency and size of networks with their channels last, before and after `onnxpool rewrite`.

    python benchmarks/layouts.py

Each is exported by `torch.onnx.export(dynamo=True)` at a fixed size and run in ONNX Runtime, on one
thread, both forms in turn; what is printed is the least processor time of a run, and the ratio. A
second table has windows of D, H and W of (N, D, H, W, C), which torch does not export: before, a
Slice and a reduction per window.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import logging
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
import torch.nn.functional as F  # noqa: N812 - as in the sources that are exported here
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

import onnxpool
from onnxpool.ops.windows import windows

ROUNDS = 100


class PyramidTokens(nn.Module):
    """Attention whose keys are tokens of a pyramid, as P2T has it, on (N, H, W, C)."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.norm, self.keys = nn.LayerNorm(channels), nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        plane = self.norm(x).permute(0, 3, 1, 2)
        levels = (F.adaptive_avg_pool2d(plane, n) for n in (1, 2, 3, 6))
        tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], 1)
        scores = x.flatten(1, 2) @ self.keys(tokens).transpose(1, 2)
        attended: Tensor = scores.softmax(-1) @ tokens
        return attended


class Reduction(nn.Module):
    """A plane of tokens pooled to 7x7 and back, as PVTv2 has it, on (N, H, W, C)."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(channels, channels), nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(self.first(x).permute(0, 3, 1, 2), 7)
        return F.gelu(self.last(pooled.permute(0, 2, 3, 1)))


class Retrieval(nn.Module):
    """A generalised mean with a learned exponent over (N, H, W, C), normalised."""

    def __init__(self, channels: int = 384) -> None:
        super().__init__()
        self.norm, self.p = nn.LayerNorm(channels), nn.Parameter(torch.tensor(2.87))

    def forward(self, x: Tensor) -> Tensor:
        powers = self.norm(x).clamp(min=1e-6).pow(self.p)
        return F.normalize(powers.mean((1, 2)).pow(1 / self.p))


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]


CASES = tuple(
    Case(f"{build.__name__}, batch {n}", build, (n, *plane))
    for build, plane in (
        (PyramidTokens, (33, 33, 64)),
        (Reduction, (58, 58, 64)),
        (Retrieval, (14, 14, 384)),
    )
    for n in (1, 8)
)


Volume = tuple[str, tuple[int, ...], tuple[int, ...]]

VOLUMES: tuple[Volume, ...] = tuple(
    (op, (n, *rest), size)
    for op in ("ReduceMean", "ReduceMax")
    for rest, size in (
        ((8, 14, 14, 64), (2, 3, 3)),
        ((16, 28, 28, 32), (2, 7, 7)),
        ((4, 7, 7, 256), (3, 3, 3)),
        ((5, 6, 7, 3), (2, 2, 2)),
        ((8, 14, 14, 64), (1, 3, 3)),
    )
    for n in (1, 8)
)
"""A reduction, the shape of X, and the size that D, H and W are pooled to."""


def window_by_window(volume: Volume) -> onnx.ModelProto:
    op, shape, size = volume
    axes = [1, 2, 3]
    tables = [windows(length, bins) for length, bins in zip(shape[1:4], size, strict=True)]
    constants = [onnx.numpy_helper.from_array(np.array(axes), "axes")]
    nodes = []
    for place in itertools.product(*map(range, size)):
        name = "_".join(map(str, place))
        bounds = zip(*(table[i] for table, i in zip(tables, place, strict=True)), strict=True)
        for key, bound in zip(("start", "end"), bounds, strict=True):
            constants.append(onnx.numpy_helper.from_array(np.array(bound), f"{key}_{name}"))
        ends = [f"start_{name}", f"end_{name}"]
        nodes.append(onnx.helper.make_node("Slice", ["X", *ends, "axes"], [f"part_{name}"]))
        nodes.append(onnx.helper.make_node(op, [f"part_{name}"], [f"Y_{name}"], axes=axes))
    for depth in (2, 1, 0):
        for place in itertools.product(*map(range, size[:depth])):
            name = "_".join(("Y", *map(str, place)))
            parts = [f"{name}_{i}" for i in range(size[depth])]
            nodes.append(onnx.helper.make_node("Concat", parts, [name], axis=depth + 1))
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims)
        for name, dims in (("X", shape), ("Y", None))
    )
    graph = onnx.helper.make_graph(nodes, "windows", [x], [y], constants)
    opsets = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def exported(case: Case) -> onnx.ModelProto:
    torch.manual_seed(0)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        program = torch.onnx.export(
            case.build().eval(), (torch.randn(case.shape),), dynamo=True, verbose=False
        )
    assert program is not None
    return program.model_proto


def latencies(models: list[onnx.ModelProto], shape: tuple[int, ...]) -> list[float]:
    """The least processor time of a run of each, in milliseconds."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [ort.InferenceSession(model.SerializeToString(), options) for model in models]
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    least = [float("inf")] * len(models)
    for _ in range(ROUNDS):
        for index, session in enumerate(sessions):
            start = time.process_time()
            session.run(None, {session.get_inputs()[0].name: x})
            least[index] = min(least[index], 1e3 * (time.process_time() - start))
    return least


def print_heading(name: str) -> None:
    print(f"| {name} | nodes | kB | before, ms | after, ms | times faster |")
    print("|---|--:|--:|--:|--:|--:|")


def row(name: str, before: onnx.ModelProto, shape: tuple[int, ...]) -> str:
    after = onnxpool.rewrite(before).model
    slow, fast = latencies([before, after], shape)
    nodes = " → ".join(str(len(m.graph.node)) for m in (before, after))
    size = " → ".join(f"{m.ByteSize() / 1000:.0f}" for m in (before, after))
    return f"| {name} | {nodes} | {size} | {slow:.2f} | {fast:.2f} | {slow / fast:.1f} |"


def main() -> None:
    print_heading("network")
    for case in CASES:
        print(row(case.name, exported(case), case.shape), flush=True)
    print()
    print_heading("windows of D, H and W")
    for volume in VOLUMES:
        op, shape, size = volume
        name = f"{op}, {'x'.join(map(str, shape))} to {'x'.join(map(str, size))}"
        print(row(name, window_by_window(volume), shape), flush=True)


if __name__ == "__main__":
    main()
