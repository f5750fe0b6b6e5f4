"""Whole pyramid heads in ONNX Runtime: as exported, as standard ops, as custom ops, and where each
spends its time.

    python benchmarks/modules.py [--threads 1] [--runs 15] [--only semseg …]
                                 [--clock wall|cpu] [--statistic median|least]

Prints two tables of docs/performance.md: the time of each head and what the others take as a
multiple of its custom ops, timed in turns in one process; and, of each form, milliseconds by op,
the least of some profiled runs. "apart" are the custom ops with a Resize for each level and a
Concat in the place of PyramidUpsample. Needs torch and onnxscript, and openvino for its column.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnxruntime
import torch
from kernels import HAS_OPENVINO, Shape, in_onnxruntime
from options import CLOCKS, STATISTICS, parser, print_machine
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

import onnxpool
from models.pyramid import PyramidPooling, upsample
from onnxpool.benchmark import Contender, Run, in_pytorch, in_turns
from onnxpool.inputs.values import model_inputs
from onnxpool.ops import PyramidUpsample, register
from onnxpool.ops.op import Array
from onnxpool.rewrites.lower import lower
from onnxpool.validation.source import Source

Times = Mapping[str, float]
"""Milliseconds by op."""

_PROFILED_RUNS = 12


class Head(PyramidPooling):
    """A pyramid of 1/4 of the channels per level, behind 1x1 or 3x3 convolutions."""

    def __init__(self, channels: int, align_corners: bool) -> None:
        super().__init__(channels)
        self.align_corners = align_corners

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = x.shape[-2:]
        levels = [upsample(level(x), size, self.align_corners) for level in self.levels]
        return torch.cat([x, *levels], dim=1)


class UPerHead(nn.Module):
    """As UPerNet uses it (Xiao et al., ECCV 2018): levels of 512, and a 3x3 convolution behind."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pyramid = Head(channels, align_corners=False)
        self.bottleneck = nn.Conv2d(2 * channels, 512, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu(self.bottleneck(self.pyramid(x)))


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    module: nn.Module
    shape: Shape

    @property
    def title(self) -> str:
        return f"{self.name}, {'x'.join(map(str, self.shape))}"


def cases() -> Iterator[Case]:
    for length in (60, 65):
        shape = (1, 2048, length, length)
        yield Case("align_corners", Head(2048, align_corners=True), shape)
        yield Case("half pixel", Head(2048, align_corners=False), shape)
    yield Case("UPerNet", UPerHead(512), (1, 512, 32, 32))


def export(case: Case) -> onnx.ModelProto:
    program = torch.onnx.export(
        case.module.eval(), (torch.zeros(case.shape),), dynamo=True, verbose=False
    )
    assert program is not None
    return program.model_proto


def forms(case: Case) -> dict[str, onnx.ModelProto]:
    exported = export(case)
    custom = onnxpool.rewrite(exported, to="custom-op", check="none").model
    return {
        "custom op": custom,
        "apart": upsampled_apart(custom),
        "standard": onnxpool.rewrite(exported, check="none").model,
        "exported": exported,
    }


def upsampled_apart(model: onnx.ModelProto) -> onnx.ModelProto:
    """With a Resize for each level, and a Concat."""
    graph = gs.import_onnx(model)
    for node in [n for n in graph.nodes if n.op == PyramidUpsample.op_type()]:
        lower(graph, node, graph.opset)
    apart: onnx.ModelProto = gs.export_onnx(graph, do_type_check=False)
    return apart


def in_openvino(model: onnx.ModelProto) -> Contender:
    import openvino

    def prepare(threads: int, inputs: Sequence[Array]) -> Run:
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
        }
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", settings)
        request = compiled.create_infer_request()
        request.set_input_tensor(openvino.Tensor(inputs[0], shared_memory=True))
        return lambda: request.infer()

    return prepare


def profile(model: onnx.ModelProto, x: Array, threads: int) -> Times:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_profiling = True
    register(options)
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        for _ in range(_PROFILED_RUNS):
            session.run(None, {session.get_inputs()[0].name: x})
        events = json.loads(Path(session.end_profiling()).read_text())
    by_node = collections.defaultdict(list)
    for event in events:
        if event.get("name", "").endswith("_kernel_time"):
            by_node[event["name"], event["args"]["op_name"]].append(event["dur"] / 1000)
    times: dict[str, float] = collections.defaultdict(float)
    for (_, op), durations in by_node.items():
        times[op] += min(durations)
    return times


def in_words(times: Times, most: int = 5) -> str:
    ordered = sorted(times.items(), key=lambda pair: -pair[1])
    shown = [f"{op} {time:.1f}" for op, time in ordered[:most] if time >= 0.05]
    return ", ".join(shown)


def main() -> None:
    options = parser(__doc__, runs=15)
    options.add_argument("--only", nargs="+", help="parts of the names of cases")
    arguments = options.parse_args()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    statistic = STATISTICS[arguments.statistic]
    packages = ["onnxruntime", "torch", *["openvino"] * HAS_OPENVINO]
    isa = os.environ.get("ONNXPOOL_ISA", "the widest that there is")
    print_machine(packages, f"threads: {arguments.threads}", f"ONNXPOOL_ISA: {isa}")
    torch.set_num_threads(arguments.threads)
    names = ("apart", "standard", "exported", "PyTorch", "OpenVINO")
    latencies = Table("head", "custom op, ms", *names, box=box.MARKDOWN)
    profiles = Table("head", "form", "nodes", "ms by op", box=box.MARKDOWN)
    for case in cases():
        if arguments.only and not any(part in case.title for part in arguments.only):
            continue
        models = forms(case)
        made: dict[str, Contender] = {name: in_onnxruntime(m) for name, m in models.items()}
        made["PyTorch"] = in_pytorch(
            Source(case.name, case.module), model_inputs(models["exported"])
        )
        if HAS_OPENVINO:
            made["OpenVINO"] = in_openvino(models["standard"])
        x = np.random.default_rng(0).standard_normal(case.shape, dtype=np.float32)
        clock = CLOCKS[arguments.clock]
        timings = in_turns(made, arguments.threads, [x], arguments.runs, clock, None)
        by_name = {t.name: statistic(t) for t in timings if not t.failure}
        ours = by_name["custom op"]
        multiples = [f"{by_name[name] / ours:.1f}" if name in by_name else "-" for name in names]
        latencies.add_row(case.title, f"{ours:.1f}", *multiples)
        for name, model in models.items():
            times = profile(model, x, arguments.threads)
            profiles.add_row(case.title, name, str(len(model.graph.node)), in_words(times))
    Console(width=160).print(latencies)
    Console(width=160).print(profiles)


if __name__ == "__main__":
    main()
