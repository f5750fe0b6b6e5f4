"""tinygrad."""

from onnxpool.targets.target import Target

TINYGRAD = Target(
    name="tinygrad",
    runtime="tinygrad, CPU",
    tested="0.14.0",
    opset=20,
    strategy="pool",
    dynamic=True,
)
