"""The kernels of the custom-op library, side by side with all that could stand for them.

    python benchmarks/kernels.py [--threads 1 4] [--runs 31] [--only gem …]
                                 [--clock wall|cpu] [--statistic median|least]

Prints the tables of docs/performance.md. The contenders of a row run in turns in one process, on
the same input: one sum of the input by ONNX Runtime and one by PyTorch (the floors), the kernel,
PyTorch eager, OpenVINO (its own op where it has one, else the exported graph), every standard
spelling that `onnxpool rewrite` writes, of which the fastest is shown, and what torch.onnx.export
(dynamo) makes of the module. Times are medians; read the ratios. ONNXPOOL_ISA=avx2 in the
environment takes the kernels for AVX2. Needs torch and onnxscript, and openvino for its column.

Where other work disturbs: `--clock cpu` counts the processor time of this process, which says
nothing about several threads, and `--statistic least` takes the round that was disturbed least.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from lowering import lowered
from options import CLOCKS, STATISTICS, parser, print_machine
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional

from onnxpool.benchmark import (
    FLOOR,
    TORCH_FLOOR,
    Clock,
    Contender,
    Run,
    Timing,
    floors,
    in_pytorch,
    in_turns,
)
from onnxpool.inputs.values import model_inputs
from onnxpool.ops import (
    DOMAIN,
    VERSION,
    AdaptiveAveragePool,
    AdaptiveMaxPool,
    GeMPool,
    Op,
    PyramidPool,
    register,
)
from onnxpool.ops.op import Array
from onnxpool.validation.source import Source

Shape = tuple[int, ...]
COLUMNS = (
    *("shape", "ReduceSum", "torch.sum", "kernel", "× ReduceSum", "× torch.sum"),
    *("PyTorch", "OpenVINO", "standard", "exported"),
)
HAS_OPENVINO = importlib.util.find_spec("openvino") is not None


class Adaptive(nn.Module):
    def __init__(self, kind: str, *sizes: Shape) -> None:
        super().__init__()
        self.pool = getattr(functional, f"adaptive_{kind}_pool{len(sizes[0])}d")
        self.sizes = sizes

    def forward(self, x: torch.Tensor) -> Any:
        pools = tuple(self.pool(x, size) for size in self.sizes)
        return pools if len(pools) > 1 else pools[0]


class GeM(nn.Module):
    """As models/gem.py; a learned p is a tensor."""

    def __init__(self, p: float, learned: bool) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([p])) if learned else p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        powers = x.clamp(min=1e-6).pow(self.p)
        return functional.avg_pool2d(powers, (x.size(-2), x.size(-1))).pow(1.0 / self.p)


@dataclasses.dataclass(frozen=True)
class Case:
    title: str
    shape: Shape
    op: Op
    module: nn.Module
    p: float | None = None

    @property
    def name(self) -> str:
        return f"{self.title}, {'x'.join(map(str, self.shape))}"

    @property
    def outputs(self) -> int:
        return self.op.levels if isinstance(self.op, PyramidPool) else 1


POOLED: tuple[tuple[Shape, Shape], ...] = (
    ((1, 2048, 65, 65), (6, 6)),
    ((1, 512, 60, 60), (9, 9)),
    ((1, 512, 33, 33), (6, 6)),
    ((1, 2048, 33, 33), (1, 1)),
    ((1, 512, 13, 13), (6, 6)),
    ((8, 512, 13, 13), (6, 6)),
    ((1, 512, 7, 7), (3, 3)),
    ((8, 512, 400), (7,)),
    ((1, 64, 16, 33, 33), (4, 6, 6)),
)


def adaptive_cases(kind: str) -> Iterator[Case]:
    op = AdaptiveAveragePool if kind == "avg" else AdaptiveMaxPool
    for shape, size in POOLED:
        yield Case(f"to {'x'.join(map(str, size))}", shape, op(size), Adaptive(kind, size))


def pyramid_cases() -> Iterator[Case]:
    bins = (1, 2, 3, 6)
    sizes = tuple((b, b) for b in bins)
    for mode, kind, shapes in (
        ("average", "avg", ((1, 2048, 65, 65), (1, 2048, 60, 60), (1, 512, 33, 33))),
        ("max", "max", ((1, 2048, 65, 65), (1, 2048, 60, 60))),
    ):
        op = PyramidPool(sum(sizes, ()), len(sizes), mode)
        for shape in shapes:
            yield Case(f"{mode} 1, 2, 3, 6", shape, op, Adaptive(kind, *sizes))


def gem_cases() -> Iterator[Case]:
    for shape in ((1, 2048, 32, 32), (1, 512, 14, 14), (8, 2048, 7, 7)):
        for p, learned in ((2.87, True), (3.0, False)):
            title = f"{'learned ' * learned}p = {p:g}"
            yield Case(title, shape, GeMPool((1, 1), 1e-6), GeM(p, learned), p)


GROUPS: dict[str, tuple[str, Callable[[], Iterator[Case]]]] = {
    "average": ("AdaptiveAveragePool", lambda: adaptive_cases("avg")),
    "max": ("AdaptiveMaxPool", lambda: adaptive_cases("max")),
    "pyramid": ("PyramidPool", pyramid_cases),
    "gem": ("GeMPool", gem_cases),
}


def contenders(case: Case) -> dict[str, Contender]:
    """By name; a standard spelling is named "standard: " and how it is spelled."""
    made: dict[str, Contender] = {"kernel": in_onnxruntime(kernel_model(case))}
    exported = export(case)
    inputs = model_inputs(kernel_model(case))
    made["PyTorch"] = in_pytorch(Source(case.name, case.module), inputs)
    if HAS_OPENVINO and not (isinstance(case.op, GeMPool) and exported is None):
        made["OpenVINO"] = in_openvino(case, exported)
    for strategy in ("auto", "matmul", "slice", "pool"):
        model, used = lowered([case.op], case.shape, case.p, strategy)
        made.setdefault(f"standard: {used}", in_onnxruntime(model))
    if exported is not None:
        made["exported"] = in_onnxruntime(exported)
    return made | floors()


def kernel_model(case: Case) -> onnx.ModelProto:
    """One node of the dialect."""
    names = ["X"] if case.p is None else ["X", "p"]
    outputs = [f"Y{i}" for i in range(case.outputs)]
    node = onnx.helper.make_node(
        case.op.op_type(), names, outputs, domain=DOMAIN, **case.op.attributes()
    )
    x = onnx.helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, case.shape)
    values = [] if case.p is None else [np.array([case.p], np.float32)]
    constants = [onnx.numpy_helper.from_array(value, "p") for value in values]
    results = [onnx.helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = onnx.helper.make_graph([node], "graph", [x], results, constants)
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid(DOMAIN, VERSION)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def export(case: Case) -> onnx.ModelProto | None:
    """What torch's exporter makes of the module; None where it fails."""
    try:
        program = torch.onnx.export(
            case.module.eval(), (torch.zeros(case.shape),), dynamo=True, verbose=False
        )
    except Exception:
        return None
    assert program is not None
    return program.model_proto


def in_onnxruntime(model: onnx.ModelProto) -> Contender:
    def prepare(threads: int, inputs: Sequence[Array]) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Threads that look for more work after a run would slow down what runs next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        register(options)
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        feed = {session.get_inputs()[0].name: inputs[0]}
        return lambda: session.run(None, feed)

    return prepare


def in_openvino(case: Case, exported: onnx.ModelProto | None) -> Contender:
    import openvino

    def prepare(threads: int, inputs: Sequence[Array]) -> Run:
        core = openvino.Core()
        if isinstance(case.op, GeMPool):
            assert exported is not None
            model = core.read_model(exported.SerializeToString())
        else:
            model = openvino_pools(case)
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
        }
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        request.set_input_tensor(openvino.Tensor(inputs[0], shared_memory=True))
        return lambda: request.infer()

    return prepare


def openvino_pools(case: Case) -> Any:
    """OpenVINO's own AdaptiveAvgPool or AdaptiveMaxPool, one per level."""
    from openvino import Model, opset8

    x = opset8.parameter(case.shape, np.float32)
    is_max = isinstance(case.op, AdaptiveMaxPool) or getattr(case.op, "mode", "") == "max"
    pool = opset8.adaptive_max_pool if is_max else opset8.adaptive_avg_pool
    index = ["i32"] if is_max else []
    levels: Any = case.module.sizes
    sizes = [np.array(size, np.int64) for size in levels]
    return Model([pool(x, opset8.constant(size), *index).output(0) for size in sizes], [x])


def row(
    case: Case, threads: int, runs: int, clock: Clock, statistic: Callable[[Timing], float]
) -> tuple[str, ...]:
    x = np.random.default_rng(0).standard_normal(case.shape, dtype=np.float32)
    torch.set_num_threads(threads)
    made = contenders(case)
    timings = {t.name: t for t in in_turns(made, threads, [x], runs, clock, None)}
    for timing in timings.values():
        if timing.failure and not timing.name.startswith("standard"):
            print(f"{case.name}: {timing.name} does not run: {timing.failure}")
    standard = min(
        (t for t in timings.values() if t.name.startswith("standard") and not t.failure),
        key=statistic,
    )
    kernel, *sums = (statistic(timings[name]) for name in ("kernel", FLOOR, TORCH_FLOOR))

    def multiple(timing: Timing | None, words: str = "") -> str:
        if timing is None or timing.failure:
            return "-"
        return f"{statistic(timing) / kernel:.1f}{words}"

    return (
        case.name,
        *(f"{each:.3f}" for each in (*sums, kernel)),
        *(f"{kernel / each:.2f}" for each in sums),
        multiple(timings["PyTorch"]),
        multiple(timings.get("OpenVINO")),
        multiple(standard, f" ({standard.name.partition(': ')[2]})"),
        multiple(timings.get("exported")),
    )


def main() -> None:
    options = parser(__doc__, runs=31, threads=(1, 4))
    options.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS))
    arguments = options.parse_args()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    how = CLOCKS[arguments.clock], STATISTICS[arguments.statistic]
    how_many = f"{arguments.statistic} of {arguments.runs}"
    packages = ["onnxruntime", "torch", *["openvino"] * HAS_OPENVINO]
    isa = os.environ.get("ONNXPOOL_ISA", "the widest that there is")
    print_machine(packages, f"ONNXPOOL_ISA: {isa}")
    print(f"{arguments.clock} time in ms: {how_many}, in turns")
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    for threads in arguments.threads:
        for group in arguments.only:
            title, cases = GROUPS[group]
            print(f"\n{title}, {'1 thread' if threads == 1 else f'{threads} threads'}")
            table = Table(box=box.MARKDOWN)
            for column in COLUMNS:
                table.add_column(column, justify="left" if column == "shape" else "right")
            for case in cases():
                table.add_row(*row(case, threads, arguments.runs, *how))
            Console(width=200).print(table)


if __name__ == "__main__":
    main()
