"""OpenCV 5 DNN with its new graph engine."""

from onnxpool.targets.target import Target

OPENCV5 = Target(
    name="opencv5",
    runtime="OpenCV 5 DNN, default engine",
    tested="5.0.0",
    opset=17,
    strategy="pool",
    dynamic=True,
)
