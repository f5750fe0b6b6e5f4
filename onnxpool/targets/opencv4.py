"""OpenCV 4 DNN."""

from onnxpool.targets.target import Target

OPENCV4 = Target(
    name="opencv4",
    runtime="OpenCV 4 DNN",
    tested="4.14.0",
    opset=17,
    strategy="pool",
    dynamic=False,
)
