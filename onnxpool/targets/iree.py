"""IREE, compiled for the CPU."""

from onnxpool.rewrites.lower import lp_pool
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

IREE = Target(
    name="iree",
    runtime="IREE, llvm-cpu",
    tested="3.13.0",
    opset=17,
    limits=(
        Limit(lp_pool.OPS, "does not compile", cure=lp_pool.POWER_AVERAGE),
        Limit(("Softsign",), "does not compile"),
    ),
    known_ops=TRIED,
    convert="iree-import-onnx model.onnx -o model.mlir; iree-compile --iree-input-type=onnx "
    "--iree-hal-target-backends=llvm-cpu model.mlir -o model.vmfb",
    run="iree-run-module --module=model.vmfb --input=…",
)
