"""tract."""

from onnxpool.targets.target import Target

TRACT = Target(
    name="tract",
    runtime="tract",
    tested="0.23.9",
    opset=17,
    strategy="pool",
    dynamic=True,
)
