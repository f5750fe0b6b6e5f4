"""The measurements behind `auto`: every form of every lowering, in ONNX Runtime on the CPU.

    python benchmarks/lowering.py [--threads 1 4] [--only average max gem pyramid]
                                  [--clock wall|cpu] [--above 1.15] [--drawn 150]

Prints the time of the form that `auto` takes, and of each form as a multiple of it: 0.8 means
that the form is faster than what `auto` takes. The forms of a row run in turns, and the least of
their times counts, so other work on the machine shifts all of them alike. `--clock cpu` counts the
processor time of this process, for one thread on a busy machine; `--above 1.15` prints only the
rows in which `auto` takes more than that multiple of the best form, and how many rows there were.
`--drawn 150` adds a group of so many shapes drawn at random, which no threshold was fitted to.
Each group ends with how `auto` stands to the best form of each row.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnxruntime
from options import CLOCKS

from onnxpool.benchmark import Clock
from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool, GeMPool, Op, PyramidPool
from onnxpool.ops.op import Dim
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.lower import lower
from onnxpool.rewrites.lower.adaptive_average_pool import (
    by_gemm,
    by_kronecker,
    by_matmul,
)
from onnxpool.rewrites.lower.separable import MAX, MEAN, by_pools, by_slices

OPSET = 17
LARGEST_MATRIX = 2**18
SECONDS_PER_FORM = 0.15
LEAST_ROUNDS = 4
SEED = 20261128
LARGEST_DRAWN = 2**24

Shape = tuple[int, ...]
Spelling = Callable[[Builder, gs.Tensor, Sequence[int]], gs.Tensor]
Models = dict[str, onnx.ModelProto]
Row = tuple[str, Shape, str, Models]
"""Title, shape of X, the form that `auto` takes, and a model per form."""

AVERAGE: dict[str, Spelling] = {
    "matmul": by_matmul,
    "gemm": by_gemm,
    "kronecker": by_kronecker,
    "slice": lambda b, x, size: by_slices(b, x, size, MEAN),
    "pool": lambda b, x, size: by_pools(b, x, size, MEAN),
}
MAXIMUM: dict[str, Spelling] = {
    "slice": lambda b, x, size: by_slices(b, x, size, MAX),
    "pool": lambda b, x, size: by_pools(b, x, size, MAX),
}


def shapes() -> Iterator[tuple[Shape, int]]:
    """Input shapes and output sizes; those of the fact table, and those around the thresholds."""
    for length in (7, 13, 14, 33, 60, 65, 97):
        for size in (1, 2, 3, 4, 6, 9):
            if size < length:
                yield (1, 512, length, length), size
    for shape, sizes in (
        ((8, 512, 7, 7), (2, 3)),
        ((8, 512, 13, 13), (4, 6)),
        ((8, 512, 14, 14), (4, 7)),
        ((8, 512, 33, 33), (6,)),
        ((1, 2048, 7, 7), (1, 3)),
        ((1, 2048, 14, 14), (4,)),
        ((1, 512, 40, 40), (2, 3, 4)),
        ((1, 512, 48, 48), (3, 4)),
        ((1, 512, 56, 56), (4,)),
        ((1, 64, 56, 56), (4,)),
        ((1, 64, 112, 112), (3, 6)),
        ((1, 256, 128, 128), (2, 3, 6)),
        ((1, 512, 128, 128), (6,)),
        ((1, 1024, 64, 64), (6,)),
        ((1, 2048, 33, 33), (1, 2, 3, 4, 6)),
        ((1, 2048, 60, 60), (6,)),
        ((1, 2048, 64, 64), (3, 6)),
        ((1, 2048, 65, 65), (1, 3, 6)),
        ((1, 2048, 97, 97), (6,)),
        ((1, 256, 5, 5), (9,)),
        ((1, 256, 20, 20), (33,)),
    ):
        for size in sizes:
            yield shape, size


def drawn(count: int) -> Iterator[tuple[Shape, Shape]]:
    """Shapes of X of at most 2^24 elements, and output sizes of more than one window."""
    rng = np.random.default_rng(SEED)

    def length() -> int:
        return round(math.exp(rng.uniform(math.log(7), math.log(160))))

    while count:
        height = length()
        width = height if rng.random() < 0.5 else length()
        shape = (int(rng.choice([1, 1, 1, 2, 4, 8])), int(2 ** rng.integers(6, 12)), height, width)
        rows = int(rng.integers(1, 10))
        size = (rows, rows if rng.random() < 0.7 else int(rng.integers(1, 10)))
        if math.prod(shape) <= LARGEST_DRAWN and size != (1, 1):
            count -= 1
            yield shape, size


def average_rows() -> Iterator[Row]:
    squares = ((shape, (size, size)) for shape, size in shapes())
    return _pool_rows("average", AdaptiveAveragePool, AVERAGE, squares)


def max_rows() -> Iterator[Row]:
    squares = ((shape, (size, size)) for shape, size in shapes())
    return _pool_rows("max", AdaptiveMaxPool, MAXIMUM, squares)


def _pool_rows(
    title: str,
    op: type[AdaptiveAveragePool | AdaptiveMaxPool],
    spellings: Mapping[str, Spelling],
    cases: Iterable[tuple[Shape, Shape]],
) -> Iterator[Row]:
    for shape, size in cases:
        elements = math.prod(shape[2:]) * math.prod(size)
        models = {
            name: spelled(spelling, shape, size)
            for name, spelling in spellings.items()
            if name != "kronecker" or elements <= LARGEST_MATRIX
        }
        _, used = lowered([op(size)], shape)
        yield f"{title} to {size[0]}x{size[1]}", shape, used, models


def gem_rows() -> Iterator[Row]:
    for shape in ((1, 2048, 32, 32), (1, 512, 14, 14), (8, 512, 7, 7)):
        for p in (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 2.87):
            op = GeMPool((1, 1), 1e-6)
            auto, used = lowered([op], shape, p=p)
            plain, form = lowered([op], shape, p=p, strategy="slice")
            yield f"GeM p={p:g}", shape, used, {used: auto, form: plain}


def pyramid_rows() -> Iterator[Row]:
    bins = (1, 2, 3, 6)
    for length in (7, 14, 20, 24, 33, 60, 65):
        shape = (1, 2048 if length > 30 else 512, length, length)
        for mode, single in (("average", AdaptiveAveragePool), ("max", AdaptiveMaxPool)):
            sizes = tuple(size for each in bins for size in (each, each))
            auto, used = lowered([PyramidPool(sizes, len(bins), mode)], shape)
            separate, _ = lowered([single((size, size)) for size in bins], shape)
            yield f"{mode} pyramid", shape, used, {used: auto, "separate": separate}


ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    "average": average_rows,
    "max": max_rows,
    "gem": gem_rows,
    "pyramid": pyramid_rows,
}


def lowered(
    ops: Sequence[Op], shape: tuple[Dim, ...], p: float | None = None, strategy: str = "auto"
) -> tuple[onnx.ModelProto, str]:
    """A model of pools of one input, and what lowering used for the last one."""
    graph = _graph(shape)
    for index, op in enumerate(ops):
        count = op.levels if isinstance(op, PyramidPool) else 1
        outputs = [
            gs.Variable(f"Y{index}_{i}", np.dtype(np.float32), s)
            for i, s in enumerate(op.output_shapes(shape, count))
        ]
        inputs = [graph.inputs[0]]
        if p is not None:
            inputs.append(gs.Constant("p", np.array([p], np.float32)))
        node = gs.Node(op.op_type(), f"pool_{index}", op.attributes(), inputs, outputs)
        graph.nodes.append(node)
        graph.outputs += outputs
        used = lower(graph, node, OPSET, strategy)
    return gs.export_onnx(graph), used


def spelled(spelling: Spelling, shape: Shape, size: Shape) -> onnx.ModelProto:
    """A model of one pool in a given form."""
    graph = _graph(shape)
    y = gs.Variable("Y", np.dtype(np.float32), (*shape[:2], *size))
    node = gs.Node("Pool", "pool", {}, [graph.inputs[0]], [y])
    graph.nodes.append(node)
    graph.outputs.append(y)
    builder = Builder(graph, node, OPSET)
    builder.replace([spelling(builder, graph.inputs[0], size)])
    return gs.export_onnx(graph)


def _graph(shape: tuple[Dim, ...]) -> gs.Graph:
    x = gs.Variable("X", np.dtype(np.float32), shape)
    return gs.Graph([], [x], [], opset=OPSET, ir_version=8)


def measure(models: Models, shape: Shape, threads: int, clock: Clock) -> dict[str, float]:
    """The least time of each model in milliseconds."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    sessions = {
        name: onnxruntime.InferenceSession(model.SerializeToString(), options)
        for name, model in models.items()
    }
    times = {name: [_time(session, x, clock)] for name, session in sessions.items()}
    end = time.perf_counter() + SECONDS_PER_FORM * len(models)
    while time.perf_counter() < end or len(times[next(iter(times))]) <= LEAST_ROUNDS:
        for name, session in sessions.items():
            times[name].append(_time(session, x, clock))
    return {name: min(measured[1:]) for name, measured in times.items()}


def _time(session: onnxruntime.InferenceSession, x: np.ndarray, clock: Clock) -> float:
    start = clock()
    session.run(None, {"X": x})
    return 1000 * (clock() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--above", type=float, default=0.0)
    parser.add_argument("--drawn", type=int, default=0)
    arguments = parser.parse_args()
    groups = {name: ROWS[name] for name in arguments.only}
    if arguments.drawn:
        cases = list(drawn(arguments.drawn))
        groups["drawn"] = lambda: _pool_rows("average", AdaptiveAveragePool, AVERAGE, cases)
    print(f"ONNX Runtime {onnxruntime.__version__}, CPU, float32, opset {OPSET}")
    for threads in arguments.threads:
        for group, rows in groups.items():
            print(f"\n{group}, threads: {threads}\n{'':34}{'auto, ms':>9}  as a multiple of it")
            multiples = []
            for title, shape, used, models in rows():
                times = measure(models, shape, threads, CLOCKS[arguments.clock])
                multiples.append(times[used] / min(times.values()))
                if multiples[-1] <= arguments.above:
                    continue
                ratios = "  ".join(f"{n} {t / times[used]:.2f}" for n, t in times.items())
                name = f"{'x'.join(map(str, shape))} {title}"
                print(f"{name:34}{times[used]:9.3f}  {used}: {ratios}", flush=True)
            mean, tenth, most = np.mean(multiples), np.quantile(multiples, 0.9), max(multiples)
            print(
                f"{len(multiples)} rows, of the best form mean {mean:.3f}, "
                f"90 % up to {tenth:.2f}, most {most:.2f}"
            )


if __name__ == "__main__":
    main()
