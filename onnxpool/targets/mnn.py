"""MNN."""

from onnxpool.targets.target import Target

MNN = Target(
    name="mnn",
    runtime="MNN",
    tested="3.6.1",
    opset=17,
    strategy="pool",
    dynamic=True,
)
