"""IREE."""

from onnxpool.targets.target import Target

IREE = Target(
    name="iree",
    runtime="IREE, llvm-cpu",
    tested="3.13",
    opset=17,
    strategy="pool",
    dynamic=True,
)
