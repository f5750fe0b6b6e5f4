"""Caffe, as `rewrite --to caffe` writes it (see onnxpool/caffe), run by OpenCV 4.

GeM is the sandwich Power / Pooling / Power: Power computes (shift + scale·x)^power with exact
scalars, and Pooling takes global_pooling. A clamp is Power, ReLU, Power. Pooling is of planes.
"""

import onnx_graphsurgeon as gs

from onnxpool.caffe.layers import LAYERS
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
    leaves_padding_out,
    pads_unevenly,
    reduces_plane,
)
from onnxpool.targets.target import Limit, Target

_NO_LAYER = ("Einsum", "Expand", "Gather", "GatherND", "If", "Loop", "Shape", "Where")
_POOLS = ("AveragePool", "MaxPool")


def is_no_interpolation(node: gs.Node) -> bool:
    """Whether a Resize is neither linear with its corners aligned, nor of one element."""
    x, y = node.inputs[0].shape, node.outputs[0].shape
    planes = x is not None and y is not None and len(x) == 4
    if planes and all(a in (1, b) for a, b in zip(x[2:], y[2:], strict=True)):
        return False
    mode = node.attrs.get("coordinate_transformation_mode", "half_pixel")
    return (node.attrs.get("mode", "nearest"), mode) != ("linear", "align_corners")


CAFFE = Target(
    name="caffe",
    runtime="Caffe's layers, as --to caffe writes them, in OpenCV 4",
    tested="4.14.0",
    measured="2026-11-28",
    runs_on="server",
    opset=17,
    dynamic=False,
    limits=(
        Limit(_NO_LAYER, "it has no such layer"),
        Limit(
            ("Resize",),
            "it interpolates between corners that are aligned",
            when=is_no_interpolation,
        ),
        Limit(("Clip",), "1.0 has no such layer", cure=CLIP_BY_RELU),
        Limit(
            ("ReduceMax", "ReduceMean"),
            "reduces trailing axes alone, and knows no maximum",
            when=reduces_plane,
            cure=GLOBAL_POOLING,
        ),
        Limit(
            volume_pool.OPS,
            "pools planes alone",
            when=is_volume,
            cure=volume_pool.POOL_BY_PLANES,
        ),
        Limit(lp_pool.OPS, "it has no such layer", cure=lp_pool.POWER_AVERAGE),
        Limit((*_POOLS, "Conv"), "pads as it is told", when=has_auto_pad, cure=EXPLICIT_PADS),
        Limit((*_POOLS, "Conv"), "pads both sides alike", when=pads_unevenly),
        Limit(("AveragePool",), "counts its padding", when=leaves_padding_out),
        Limit(("MaxPool",), "ignores dilations", when=has_dilations),
        Limit(("MaxPool",), "gives a mask, no indices", gives_indices),
        Limit(("Pow",), "its exponent is one number, fixed", when=is_no_number),
    ),
    driver="caffe",
    modules=("cv2",),
    version="4.",
    known_ops=frozenset((*LAYERS, "Constant")),
    convert="onnxpool rewrite model.onnx model.prototxt --to caffe",
    run="cv2.dnn.readNetFromCaffe('model.prototxt', 'model.caffemodel'); "
    "caffe.Net('model.prototxt', 'model.caffemodel', caffe.TEST)",
    notes="Interp, and ceil_mode of Pooling, are OpenCV's and of many Caffes, not of 1.0",
)
