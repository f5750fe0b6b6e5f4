"""LiteRT (TensorFlow Lite), converted by onnx2tf, which turns the graph channels-last."""

from onnxpool.rewrites.legalize import (
    attribute_defaults,
    clip,
    constant_left,
    full_rank,
    initializer,
    volume_pool,
)
from onnxpool.rewrites.legalize.auto_pad import EXPLICIT_PADS
from onnxpool.rewrites.legalize.flatten import FLATTEN_BY_RESHAPE
from onnxpool.rewrites.legalize.grouped_conv import CONV_PER_GROUP
from onnxpool.targets.conditions import (
    gives_indices,
    has_auto_pad,
    has_constant_left,
    has_dilations,
    has_groups,
    is_cubic,
    is_volume,
    pads_unevenly,
    slices_backwards,
)
from onnxpool.targets.powers import FASTER_EXP_LOG
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

LITERT = Target(
    name="litert",
    runtime="LiteRT, through onnx2tf",
    tested="2.1.0",
    measured="2026-11-22",
    runs_on="phone",
    opset=17,
    dynamic=False,
    limits=(
        Limit(("Conv",), "with groups it does not load", when=has_groups, cure=CONV_PER_GROUP),
        Limit(
            full_rank.OPS,
            "broadcasts a constant over the wrong axes",
            when=full_rank.applies,
            cure=full_rank.CONSTANT_OF_FULL_RANK,
        ),
        Limit(
            full_rank.OPS,
            "broadcasts a constant of the plane over the wrong axes",
            when=full_rank.differs_along_plane,
            cure=full_rank.CONSTANT_OF_FULL_SHAPE,
        ),
        Limit(
            ("Expand", "Resize", *full_rank.OPS),
            "reads what a Constant node gives in another order",
            when=initializer.applies,
            cure=initializer.INITIALIZER,
        ),
        Limit(
            ("ConvTranspose",),
            "without kernel_shape it does not convert",
            when=attribute_defaults.applies,
            cure=attribute_defaults.WRITTEN_OUT,
        ),
        Limit(("Flatten",), "flattens with the channels last", cure=FLATTEN_BY_RESHAPE),
        Limit(
            constant_left.OPS,
            "exchanges a constant on the left with what is on the right",
            when=constant_left.applies,
            cure=constant_left.CONSTANT_ON_THE_RIGHT,
        ),
        Limit(
            ("Clip", "Max"),
            "with a positive lower bound, behind a convolution or pooling, it does not run",
            when=clip.has_positive_minimum,
            cure=clip.MIN_OF_NEGATIVE,
        ),
        Limit(
            ("AveragePool",),
            "of volumes it does not convert",
            when=is_volume,
            cure=volume_pool.POOL_BY_PLANES,
        ),
        Limit(
            ("AveragePool", "Conv", "MaxPool"),
            "gives wrong values or shapes with auto_pad",
            when=has_auto_pad,
            cure=EXPLICIT_PADS,
        ),
        Limit(("Conv",), "gives wrong values with uneven pads", when=pads_unevenly),
        Limit(("Slice",), "cannot step backwards", when=slices_backwards),
        Limit(("MaxPool",), "gives wrong values with dilations", when=has_dilations),
        Limit(("MaxPool",), "gives other indices", when=gives_indices),
        Limit(("Resize",), "cubic it gives other values", when=is_cubic),
        Limit(("MatMul",), "with a constant left factor it is wrong", when=has_constant_left),
        Limit(
            ("CumSum", "Einsum", "Hardmax", "RoiAlign", "ScatterND", "Trilu"), "gives wrong values"
        ),
        Limit(("GRU", "GatherElements", "LSTM", "ScatterElements"), "does not convert"),
        Limit(("GatherND",), "gives a wrong shape"),
    ),
    faster=(FASTER_EXP_LOG,),
    driver="litert",
    modules=("ai_edge_litert", "onnx2tf"),
    known_ops=TRIED,
    convert="onnx2tf -i copy-of-model.onnx (it overwrites its input)",
    run="Interpreter('model_float32.tflite').get_signature_runner()(…)",
)
