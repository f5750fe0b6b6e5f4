"""Caffe 1.0, by its layer catalogue; it was not run here, and converters differ.

GeM is the sandwich Power / Pooling / Power: Power computes (shift + scale·x)^power with exact
scalars, and Pooling takes global_pooling. A clamp is Power, ReLU, Power. Pooling is of planes, and
rounds the size of its output up.
"""

from onnxpool.rewrites.legalize import lp_pool, volume_pool
from onnxpool.rewrites.legalize.auto_pad import EXPLICIT_PADS
from onnxpool.rewrites.legalize.clip import CLIP_BY_RELU
from onnxpool.rewrites.legalize.reduce_plane import GLOBAL_POOLING
from onnxpool.targets.conditions import (
    gives_indices,
    has_auto_pad,
    has_dilations,
    is_no_number,
    is_volume,
    leaves_a_rest,
    pads_unevenly,
    reduces_plane,
)
from onnxpool.targets.target import Limit, Target

_OPS = """
    Abs Add AveragePool BatchNormalization Concat Constant Conv ConvTranspose Div Dropout Elu Exp
    Flatten Gemm GlobalAveragePool GlobalMaxPool Identity LRN LeakyRelu Log Max MaxPool Mul Neg
    PRelu Pow Relu Reshape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Sum Tanh Unsqueeze
"""

_NO_LAYER = ("Einsum", "Expand", "Gather", "GatherND", "If", "Loop", "Resize", "Shape", "Where")
_POOLS = ("AveragePool", "MaxPool")

CAFFE = Target(
    name="caffe",
    runtime="Caffe 1.0, through a converter",
    tested="",
    runs_on="server",
    opset=11,
    dynamic=False,
    limits=(
        Limit(_NO_LAYER, "it has no such layer", evidence="documented"),
        Limit(("Clip",), "1.0 has no such layer", cure=CLIP_BY_RELU, evidence="documented"),
        Limit(
            ("ReduceMax", "ReduceMean"),
            "reduces trailing axes alone, and knows no maximum",
            when=reduces_plane,
            cure=GLOBAL_POOLING,
            evidence="documented",
        ),
        Limit(
            volume_pool.OPS,
            "pools planes alone",
            when=is_volume,
            cure=volume_pool.POOL_BY_PLANES,
            evidence="documented",
        ),
        Limit(
            lp_pool.OPS, "it has no such layer", cure=lp_pool.POWER_AVERAGE, evidence="documented"
        ),
        Limit(
            (*_POOLS, "Conv"),
            "pads as it is told",
            when=has_auto_pad,
            cure=EXPLICIT_PADS,
            evidence="documented",
        ),
        Limit(
            (*_POOLS, "Conv"),
            "pads both sides alike",
            when=pads_unevenly,
            evidence="documented",
        ),
        Limit(
            _POOLS, "rounds the size of the output up", when=leaves_a_rest, evidence="documented"
        ),
        Limit(("MaxPool",), "ignores dilations", when=has_dilations, evidence="documented"),
        Limit(("MaxPool",), "gives a mask, no indices", gives_indices, evidence="documented"),
        Limit(
            ("Pow",), "its exponent is one number, fixed", when=is_no_number, evidence="documented"
        ),
    ),
    known_ops=frozenset(_OPS.split()),
    convert="a converter of its ecosystem, such as onnx2caffe",
    run="caffe.Net('model.prototxt', 'model.caffemodel', caffe.TEST).forward()",
)
