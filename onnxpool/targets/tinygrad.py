"""tinygrad on the CPU."""

from onnxpool.rewrites.legalize import lp_pool
from onnxpool.targets.conditions import gathers_a_table, gives_indices
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

TINYGRAD = Target(
    name="tinygrad",
    runtime="tinygrad, CPU, compiled by clang",
    tested="0.14.0",
    measured="2026-11-22",
    runs_on="server",
    opset=20,
    limits=(
        Limit(lp_pool.OPS, "it has no such op", cure=lp_pool.POWER_AVERAGE),
        Limit(("GRU", "GridSample", "LSTM", "RoiAlign"), "it has no such op"),
        Limit(("Gather",), "by constant indices of several axes does not run", gathers_a_table),
        Limit(("MaxPool",), "gives other indices", when=gives_indices),
    ),
    driver="tinygrad",
    modules=("tinygrad",),
    known_ops=TRIED,
    run="OnnxRunner('model.onnx')({name: Tensor(x)})",
    notes="without clang it takes seconds per model",
)
