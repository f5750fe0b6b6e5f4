"""ESP-DL, Espressif's library for its microcontrollers, through esp-ppq."""

from onnxpool.rewrites.legalize import auto_pad, lp_pool, pool_defaults
from onnxpool.rewrites.legalize.counted_padding import PADDING_COUNTED
from onnxpool.rewrites.legalize.dropout import NOTHING_DROPPED
from onnxpool.rewrites.legalize.resize import RESIZE_BY_MATMUL
from onnxpool.rewrites.legalize.sign_magnitude import MAGNITUDE_WITH_SIGN
from onnxpool.targets.conditions import (
    gives_indices,
    has_auto_pad,
    is_linear_asymmetric,
    is_read_by_none,
    is_sign_times_magnitude,
    leaves_padding_out,
)
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

_NO_OP = """
    ArgMin Atan Ceil Celu CumSum Einsum GRU GridSample Hardmax If IsNaN LRN Mean
    QuantizeLinear ReduceProd RoiAlign Round Selu Sign Softsign ThresholdedRelu Trilu
"""

ESPDL = Target(
    name="espdl",
    runtime="ESP-DL, through esp-ppq and its executor",
    tested="1.3.12",
    measured="2026-11-28",
    runs_on="microcontroller",
    opset=20,
    dynamic=False,
    limits=(
        Limit(
            pool_defaults.OPS,
            "takes the size of the window for the strides where they are left out",
            when=pool_defaults.applies,
            cure=pool_defaults.STRIDES_AND_PADS,
        ),
        Limit(
            ("AveragePool", "MaxPool", "Conv"),
            "gives wrong values with auto_pad",
            when=has_auto_pad,
            cure=auto_pad.EXPLICIT_PADS,
        ),
        Limit(
            ("Mul",),
            "one of its factors is a Sign, which it has not",
            when=is_sign_times_magnitude,
            cure=MAGNITUDE_WITH_SIGN,
        ),
        Limit(("Dropout",), "it has no such op", cure=NOTHING_DROPPED),
        Limit(lp_pool.OPS, "it has no such op", cure=lp_pool.POWER_AVERAGE),
        Limit(
            ("Resize",),
            "linear and asymmetric it gives wrong values",
            when=is_linear_asymmetric,
            cure=RESIZE_BY_MATMUL,
        ),
        Limit(
            ("AveragePool",),
            "counts its padding",
            when=leaves_padding_out,
            cure=PADDING_COUNTED,
        ),
        Limit(("Identity",), "at the end of the graph it does not run", when=is_read_by_none),
        Limit(("MaxPool",), "gives no indices", when=gives_indices),
        Limit(("SpaceToDepth",), "gives wrong values"),
        Limit(tuple(_NO_OP.split()), "it has no such op"),
    ),
    driver="espdl",
    modules=("esp_ppq",),
    known_ops=TRIED,
    convert="esp_ppq.api.espdl_quantize_onnx('model.onnx', …), which quantizes",
    run="dl::Model(…).run(), on the device",
)
