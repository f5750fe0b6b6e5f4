"""TensorRT, by its documentation."""

from onnxpool.targets.target import Target

TENSORRT = Target(
    name="tensorrt",
    runtime="TensorRT",
    tested="",
    opset=20,
    strategy="pool",
    dynamic=True,
)
