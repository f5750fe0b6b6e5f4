"""LiteRT (TensorFlow Lite), converted by onnx2tf."""

from onnxpool.targets.target import Target

LITERT = Target(
    name="litert",
    runtime="LiteRT, through onnx2tf",
    tested="2.3",
    opset=17,
    strategy="pool",
    dynamic=False,
)
