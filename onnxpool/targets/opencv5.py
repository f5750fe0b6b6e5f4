"""OpenCV 5 DNN with the graph engine that it takes by default."""

from onnxpool.rewrites.legalize import auto_pad, lp_pool, volume_pool
from onnxpool.rewrites.legalize.upsample_from_one import UPSAMPLE_FROM_ONE
from onnxpool.targets.conditions import has_auto_pad, is_volume, upsamples_from_one
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

OPENCV5 = Target(
    name="opencv5",
    runtime="OpenCV 5 DNN, default engine",
    tested="5.0.0",
    measured="2026-11-22",
    runs_on="server",
    opset=17,
    limits=(
        Limit(
            ("Resize",),
            "from 1x1 behind a Conv it gives garbage",
            when=upsamples_from_one,
            cure=UPSAMPLE_FROM_ONE,
        ),
        Limit(
            ("AveragePool", "Conv", "MaxPool"),
            "gives wrong values with auto_pad",
            when=has_auto_pad,
            cure=auto_pad.EXPLICIT_PADS,
        ),
        Limit(
            ("GlobalAveragePool", "GlobalMaxPool"),
            "does not run for volumes",
            when=is_volume,
            cure=volume_pool.POOL_BY_PLANES,
        ),
        Limit(lp_pool.OPS, "does not load", cure=lp_pool.POWER_AVERAGE),
        Limit(("GRU",), "gives a wrong shape"),
    ),
    driver="opencv",
    modules=("cv2",),
    version="5.",
    known_ops=TRIED,
    run="net = cv2.dnn.readNetFromONNX('model.onnx'); net.setInput(x, name); net.forward(outputs)",
)
