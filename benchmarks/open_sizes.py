"""What it costs that only the runtime knows the sizes.

    python benchmarks/open_sizes.py [--threads 1] [--runs 31] [--clock wall|cpu]
                                    [--statistic median|least]

Prints, for the usual sizes, a pool as standard ops and as a custom op: the time where the model
fixes all sizes, and as multiples of it where batch, height and width are open, and, for the custom
op, where the size of Y is an input as well. All run in turns in one process, on the same input.
The options are those of benchmarks/kernels.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from kernels import in_onnxruntime
from lowering import lowered
from onnx import TensorProto, helper
from options import CLOCKS, STATISTICS, Statistic, parser, print_machine
from rich import box
from rich.console import Console
from rich.table import Table

from onnxpool.benchmark import Clock, in_turns
from onnxpool.ops import DOMAIN, VERSION, AdaptiveAveragePool, AdaptiveMaxPool, Op, PyramidPool

Shape = tuple[int, ...]
COLUMNS = (
    *("pool", "standard, ms", "open", "custom op, ms", "open", "size is an input"),
    "form with open sizes",
)
POOLED: tuple[tuple[int, Shape], ...] = (
    (6, (1, 2048, 65, 65)),
    (9, (1, 512, 60, 60)),
    (6, (1, 512, 33, 33)),
    (1, (1, 2048, 33, 33)),
    (6, (1, 512, 13, 13)),
    (3, (1, 512, 7, 7)),
)
BINS = (1, 2, 3, 6)


def cases() -> Iterator[tuple[str, Op, Shape]]:
    for title, op in (("average", AdaptiveAveragePool), ("max", AdaptiveMaxPool)):
        for size, shape in POOLED:
            yield f"{title} to {size}x{size}", op((size, size)), shape
    sizes = tuple(size for each in BINS for size in (each, each))
    for mode in ("average", "max"):
        for shape in ((1, 2048, 60, 60), (1, 2048, 65, 65)):
            yield f"{mode} pyramid", PyramidPool(sizes, len(BINS), mode), shape


def custom_op(op: Op, shape: Sequence[int | str], size: Sequence[int] = ()) -> onnx.ModelProto:
    """One node of the dialect; `size`: an input of it that is a constant of the model."""
    count = op.levels if isinstance(op, PyramidPool) else 1
    outputs = [f"Y{i}" for i in range(count)]
    inputs = ["X", "size"] if size else ["X"]
    node = helper.make_node(op.op_type(), inputs, outputs, domain=DOMAIN, **op.attributes())
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    constants = [onnx.numpy_helper.from_array(np.array(size, np.int64), "size")] if size else []
    graph = helper.make_graph([node], "graph", [x], results, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def row(
    title: str, op: Op, shape: Shape, threads: int, runs: int, clock: Clock, statistic: Statistic
) -> tuple[str, ...]:
    opened = ("n", shape[1], "h", "w")
    standard, _ = lowered([op], shape)
    open_standard, form = lowered([op], opened)
    models = {
        "standard": standard,
        "open standard": open_standard,
        "custom": custom_op(op, shape),
        "open custom": custom_op(op, opened),
    }
    if isinstance(op, AdaptiveAveragePool | AdaptiveMaxPool):
        computed = dataclasses.replace(op, output_size=(0, 0))
        models["computed"] = custom_op(computed, opened, op.output_size)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    made = {name: in_onnxruntime(model) for name, model in models.items()}
    timings = {t.name: t for t in in_turns(made, threads, [x], runs, clock, None)}
    for timing in timings.values():
        assert not timing.failure, f"{title}: {timing.name} does not run: {timing.failure}"
    times = {name: statistic(timing) for name, timing in timings.items()}

    def multiple(name: str, of: str) -> str:
        return f"{times[name] / times[of]:.2f}" if name in times else "-"

    return (
        f"{title}, {'x'.join(map(str, shape))}",
        f"{times['standard']:.3f}",
        multiple("open standard", "standard"),
        f"{times['custom']:.3f}",
        multiple("open custom", "custom"),
        multiple("computed", "custom"),
        form,
    )


def main() -> None:
    arguments = parser(__doc__, runs=31).parse_args()
    how = CLOCKS[arguments.clock], STATISTICS[arguments.statistic]
    print_machine(["onnxruntime"], f"threads: {arguments.threads}")
    table = Table(box=box.MARKDOWN)
    for column in COLUMNS:
        table.add_column(column, justify="right" if column[0] in "soc" else "left")
    for title, op, shape in cases():
        table.add_row(*row(title, op, shape, arguments.threads, arguments.runs, *how))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
