"""ncnn, converted by pnnx, which takes one batch and fixed sizes."""

from onnxpool.rewrites.legalize import lp_pool
from onnxpool.rewrites.legalize.auto_pad import EXPLICIT_PADS
from onnxpool.rewrites.legalize.gather import GATHER_BY_SLICES
from onnxpool.rewrites.legalize.power import POWER_WITHOUT_ZERO
from onnxpool.rewrites.legalize.reduce_plane import GLOBAL_POOLING
from onnxpool.rewrites.legalize.resize import RESIZE_BY_MATMUL
from onnxpool.rewrites.legalize.sign_magnitude import MAGNITUDE_WITH_SIGN
from onnxpool.targets.conditions import (
    casts_floats,
    gathers_a_vector,
    gathers_several,
    gives_indices,
    has_auto_pad,
    has_dilations,
    is_linear_asymmetric,
    is_same_upper,
    is_sign_times_magnitude,
    needs_logarithm_of_zero,
    pads_more_at_the_start,
    pads_unevenly,
    reduces_plane,
    reduces_several_axes,
    steps_over,
)
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

_NO_LAYER = """
    And ArgMax ArgMin CumSum DepthToSpace DequantizeLinear Equal GRU GatherElements GatherND
    Greater GreaterOrEqual Hardmax If IsNaN LSTM Less LessOrEqual LpNormalization Mean Not OneHot
    QuantizeLinear RoiAlign ScatterElements ScatterND Softsign ThresholdedRelu Tile TopK
    Trilu Where
"""

NCNN = Target(
    name="ncnn",
    runtime="ncnn, through pnnx",
    tested="1.0.20261020",
    measured="2026-11-22",
    runs_on="phone",
    opset=17,
    least_opset=13,
    dynamic=False,
    limits=(
        Limit(
            ("ReduceMax",),
            "over several axes it does not load",
            when=reduces_plane,
            cure=GLOBAL_POOLING,
        ),
        Limit(
            ("Mul",),
            "pnnx takes it for a part of lp_pool, which ncnn has not",
            when=is_sign_times_magnitude,
            cure=MAGNITUDE_WITH_SIGN,
        ),
        Limit(
            ("AveragePool",),
            "gives wrong values with auto_pad",
            when=has_auto_pad,
            cure=EXPLICIT_PADS,
        ),
        Limit(
            ("MaxPool",),
            "gives wrong values with auto_pad SAME_UPPER",
            when=is_same_upper,
            cure=EXPLICIT_PADS,
        ),
        Limit(("MaxPool",), "cannot pad more at the start", when=pads_more_at_the_start),
        Limit(
            ("Pow",),
            "of 0 or less it gives garbage, unless squared",
            when=needs_logarithm_of_zero,
            cure=POWER_WITHOUT_ZERO,
        ),
        Limit(lp_pool.OPS, "it has no such layer", cure=lp_pool.POWER_AVERAGE),
        Limit(
            ("Resize",),
            "linear and asymmetric it gives wrong values",
            when=is_linear_asymmetric,
            cure=RESIZE_BY_MATMUL,
        ),
        Limit(("Gather",), "gives a wrong shape", when=gathers_a_vector, cure=GATHER_BY_SLICES),
        Limit(("Gather",), "with several indices it does not load", when=gathers_several),
        Limit(("AveragePool",), "with uneven pads it does not load", when=pads_unevenly),
        Limit(("MaxPool",), "with dilations it does not load", when=has_dilations),
        Limit(("MaxPool",), "gives no indices", when=gives_indices),
        Limit(
            ("ReduceMax", "ReduceMin"), "over several axes it does not load", reduces_several_axes
        ),
        Limit(("Slice",), "with steps it does not load", when=steps_over),
        Limit(("Cast",), "of a map it does not load", when=casts_floats),
        Limit(("SpaceToDepth",), "gives wrong values"),
        Limit(tuple(_NO_LAYER.split()), "it has no such layer"),
    ),
    driver="ncnn",
    modules=("ncnn", "pnnx"),
    known_ops=TRIED,
    convert="pnnx model.onnx inputshape=[1,3,224,224]f32 fp16=0",
    run="ncnn.Net().load_param('model.ncnn.param'); .load_model('model.ncnn.bin')",
    notes="computes in float16 unless net.opt.use_fp16_* are False; has no batch axis",
)
