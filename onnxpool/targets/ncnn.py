"""ncnn, converted by pnnx, which takes one batch and fixed sizes."""

from onnxpool.rewrites.lower.reduce_plane import GLOBAL_POOLING
from onnxpool.rewrites.lower.sign_magnitude import MAGNITUDE_WITH_SIGN
from onnxpool.targets.conditions import is_sign_times_magnitude, reduces_plane
from onnxpool.targets.target import Limit, Target

NCNN = Target(
    name="ncnn",
    runtime="ncnn, through pnnx",
    tested="1.0.20261020",
    opset=17,
    dynamic=False,
    limits=(
        Limit(
            ("ReduceMax",),
            "over several axes it does not load",
            when=reduces_plane,
            cure=GLOBAL_POOLING,
        ),
        Limit(("Mul",), "Sign does not load", is_sign_times_magnitude, MAGNITUDE_WITH_SIGN),
        Limit(("Sign",), "pnnx leaves it, and ncnn has no such layer"),
        Limit(("ArgMax", "GatherElements"), "pnnx leaves it, and ncnn has no such layer"),
        Limit(("Tile",), "pnnx leaves it, and ncnn has no such layer"),
        Limit(("CumSum",), "it gives wrong values"),
    ),
    convert="pnnx model.onnx inputshape=[1,3,224,224]f32 fp16=0",
    run="ncnn.Net().load_param('model.ncnn.param'); .load_model('model.ncnn.bin')",
    notes="computes in float16 unless net.opt.use_fp16_* are False; has no batch axis",
)
