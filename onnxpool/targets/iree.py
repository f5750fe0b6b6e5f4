"""IREE, compiled for the CPU."""

from onnxpool.rewrites.legalize import lp_pool
from onnxpool.targets.conditions import gives_indices
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

IREE = Target(
    name="iree",
    runtime="IREE, llvm-cpu",
    tested="3.13.0",
    measured="2026-11-22",
    runs_on="server",
    opset=17,
    limits=(
        Limit(("LpPool",), "does not compile", cure=lp_pool.POWER_AVERAGE),
        Limit(("RoiAlign", "Softsign"), "does not compile"),
        Limit(("MaxPool",), "gives other indices", when=gives_indices),
    ),
    driver="iree",
    modules=("iree.compiler", "iree.runtime"),
    known_ops=TRIED,
    convert="iree-import-onnx model.onnx -o model.mlir; iree-compile --iree-input-type=onnx "
    "--iree-hal-target-backends=llvm-cpu model.mlir -o model.vmfb",
    run="iree-run-module --module=model.vmfb --input=…",
)
