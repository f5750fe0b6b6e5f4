"""OpenCV 4 DNN."""

from onnxpool.rewrites.legalize import attribute_defaults, auto_pad, lp_pool, volume_pool
from onnxpool.rewrites.legalize.resize import RESIZE_BY_MATMUL
from onnxpool.rewrites.legalize.upsample_from_one import UPSAMPLE_FROM_ONE
from onnxpool.rewrites.legalize.zeros_around import ZEROS_AROUND
from onnxpool.targets.conditions import (
    counts_padding,
    gives_indices,
    has_dilations,
    is_cubic,
    is_same_lower,
    is_volume,
    slices_backwards,
    truncates,
    upsamples_from_one,
)
from onnxpool.targets.powers import FASTER_PRODUCTS
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

_NOT_IMPORTED = (
    "And",
    "GRU",
    "GatherND",
    "GridSample",
    "Hardmax",
    "If",
    "IsNaN",
    "LpNormalization",
    "OneHot",
    "RoiAlign",
    "Trilu",
)

OPENCV4 = Target(
    name="opencv4",
    runtime="OpenCV 4 DNN",
    tested="4.14.0",
    measured="2026-11-22",
    runs_on="server",
    opset=17,
    dynamic=False,
    limits=(
        Limit(
            ("AveragePool", "MaxPool"),
            "pads at the wrong side with auto_pad SAME_LOWER",
            when=is_same_lower,
            cure=auto_pad.EXPLICIT_PADS,
        ),
        Limit(
            ("AveragePool",),
            "does not count padding (count_include_pad)",
            when=counts_padding,
            cure=ZEROS_AROUND,
        ),
        Limit(
            ("GlobalAveragePool", "GlobalMaxPool"),
            "does not load for volumes",
            when=is_volume,
            cure=volume_pool.POOL_BY_PLANES,
        ),
        Limit(lp_pool.OPS, "does not load", cure=lp_pool.POWER_AVERAGE),
        Limit(
            ("Resize",), "from 1x1 it may not load", when=upsamples_from_one, cure=UPSAMPLE_FROM_ONE
        ),
        Limit(("Resize",), "cubic does not load", when=is_cubic, cure=RESIZE_BY_MATMUL),
        Limit(
            ("Resize",),
            "does not load without coordinate_transformation_mode",
            when=attribute_defaults.applies,
            cure=attribute_defaults.WRITTEN_OUT,
        ),
        Limit(("MaxPool",), "ignores dilations", when=has_dilations),
        Limit(("MaxPool",), "its indices cannot be read", when=gives_indices),
        Limit(("Slice",), "cannot step backwards", when=slices_backwards),
        Limit(("Cast",), "keeps the fraction of integers", when=truncates),
        Limit(_NOT_IMPORTED, "does not load"),
    ),
    faster=(FASTER_PRODUCTS,),
    known_ops=TRIED,
    run="net = cv2.dnn.readNetFromONNX('model.onnx'); net.setInput(x, name); net.forward(outputs)",
    notes="integers are computed as floats",
)
