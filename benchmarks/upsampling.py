"""Upsampling a few pixels to a plane, as a pyramid head does: by Resize, by products, by Expand.

    python benchmarks/upsampling.py [--threads 1] [--runs 15] [--clock wall|cpu]
                                    [--statistic median|least]

Prints, for a level of 512 channels, the time of Resize in ONNX Runtime, and as multiples of it that
of two MatMuls with constant matrices and, from 1x1, of Expand; and how far apart they are. All run
in turns in one process, on the same input. The options are those of benchmarks/kernels.py.
"""

from __future__ import annotations

import argparse
import functools

import numpy as np
import onnx
from kernels import in_onnxruntime
from options import CLOCKS, STATISTICS, parser, print_machine
from rich import box
from rich.console import Console
from rich.table import Table

from onnxpool.benchmark import in_turns
from onnxpool.model.file import ModelFile
from onnxpool.model.shapes import infer
from onnxpool.rewrites.graph.replace import Emit, replace
from onnxpool.rewrites.graph.run import Runner
from onnxpool.rewrites.legalize import resize, upsample_from_one

CHANNELS = 512
LEVELS = (1, 2, 3, 6, 12)
PLANES = ((16, "half_pixel"), (33, "half_pixel"), (60, "half_pixel"), (65, "align_corners"))


def resized(length: int, size: int, coordinates: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[1,{CHANNELS},{length},{length}] X) => (float[1,{CHANNELS},{size},{size}] Y)
        <int64[4] sizes = {{1, {CHANNELS}, {size}, {size}}}>
        {{ Y = Resize<mode = "linear", coordinate_transformation_mode = "{coordinates}">
             (X, , , sizes) }}""")


def written(model: onnx.ModelProto, emit: Emit) -> onnx.ModelProto:
    """With what `emit` writes in the place of the one node."""
    file = ModelFile.from_proto(model)
    infer(file)
    replace(file.main.graph, file.main.graph.nodes[0], file.opset, emit)
    file.splice()
    return file.proto


def row(length: int, size: int, coordinates: str, arguments: argparse.Namespace) -> list[str]:
    model = resized(length, size, coordinates)
    models = {"Resize": model, "MatMul": written(model, resize.emit)}
    if length == 1:
        models["Expand"] = written(model, upsample_from_one.emit)
    x = np.random.default_rng(0).standard_normal((1, CHANNELS, length, length), dtype=np.float32)
    timings = in_turns(
        {name: in_onnxruntime(each) for name, each in models.items()},
        arguments.threads,
        [x],
        arguments.runs,
        CLOCKS[arguments.clock],
        None,
    )
    times = {timing.name: STATISTICS[arguments.statistic](timing) for timing in timings}
    results = [Runner(each)({"X": x})[0] for each in models.values()]
    apart = max(float(np.abs(y - results[0]).max() / np.abs(results[0]).max()) for y in results)
    multiple = functools.partial(_multiple, times)
    title = f"{length}x{length} to {size}x{size}, {coordinates}"
    first = f"{times['Resize']:.3f}"
    return [title, first, multiple("MatMul"), multiple("Expand"), f"{apart:.0e}"]


def _multiple(times: dict[str, float], name: str) -> str:
    return f"{times[name] / times['Resize']:.2f}" if name in times else "-"


def main() -> None:
    arguments = parser(__doc__, runs=15).parse_args()
    print_machine(["onnxruntime"], f"threads: {arguments.threads}")
    table = Table("level", "Resize, ms", "MatMul", "Expand", "apart", box=box.MARKDOWN)
    for size, coordinates in PLANES:
        for length in LEVELS:
            table.add_row(*row(length, size, coordinates, arguments))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
