"""OpenCV 5 DNN with the graph engine that it takes by default."""

from onnxpool.rewrites.lower.upsample_from_one import UPSAMPLE_FROM_ONE
from onnxpool.targets.conditions import upsamples_from_one
from onnxpool.targets.target import Limit, Target

OPENCV5 = Target(
    name="opencv5",
    runtime="OpenCV 5 DNN, default engine",
    tested="5.0.0",
    opset=17,
    limits=(
        Limit(
            ("Resize",),
            "from 1x1 behind a Conv it gives garbage",
            when=upsamples_from_one,
            cure=UPSAMPLE_FROM_ONE,
        ),
    ),
    run="net = cv2.dnn.readNetFromONNX('model.onnx'); net.setInput(x, name); net.forward(outputs)",
)
