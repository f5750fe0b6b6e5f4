"""Rockchip's NPU, through rknn-toolkit2, in float16."""

from onnxpool.rewrites.legalize import volume_pool
from onnxpool.rewrites.legalize.pad_by_concat import PAD_BY_CONCAT
from onnxpool.rewrites.legalize.power import PRODUCTS, is_whole_power
from onnxpool.rewrites.legalize.reduce_plane import GLOBAL_POOLING
from onnxpool.rewrites.legalize.resize import RESIZE_BY_MATMUL
from onnxpool.rewrites.legalize.sign_magnitude import MAGNITUDE_WITH_SIGN
from onnxpool.rewrites.legalize.zeros_around import ZEROS_AROUND
from onnxpool.targets.conditions import (
    all_of,
    counts_padding,
    is_cubic,
    is_linear_between_positions,
    is_read_by,
    is_sign_times_magnitude,
    is_volume,
    pads_by_constant,
    pads_by_reflection,
    pads_unevenly,
    reduces_plane,
)
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

RKNN = Target(
    name="rknn",
    runtime="Rockchip NPU, through rknn-toolkit2, float16, simulated for RK3588",
    tested="2.5.0",
    measured="2026-11-28",
    runs_on="NPU",
    opset=16,
    least_opset=13,
    dynamic=False,
    limits=(
        Limit(
            ("GlobalMaxPool", "MaxPool"),
            "of volumes it ends the process",
            when=is_volume,
            cure=volume_pool.POOL_BY_PLANES,
        ),
        Limit(
            ("AveragePool",),
            "with uneven pads that it counts gives wrong values",
            when=all_of(counts_padding, pads_unevenly),
            cure=ZEROS_AROUND,
        ),
        Limit(
            ("Pad",),
            "with zeros in front of a pooling or convolution gives wrong values, or does not build",
            when=all_of(
                pads_by_constant,
                is_read_by("AveragePool", "Conv", "GlobalAveragePool", "MaxPool", "ReduceMean"),
            ),
            cure=PAD_BY_CONCAT,
        ),
        Limit(
            ("Pad",),
            "with mode reflect in front of a maximum gives wrong values",
            when=all_of(pads_by_reflection, is_read_by("MaxPool")),
        ),
        Limit(("Resize",), "cubic it ends the process", when=is_cubic, cure=RESIZE_BY_MATMUL),
        Limit(("Mod",), "gives wrong values"),
        Limit(("If", "LayerNormalization"), "does not load"),
    ),
    faster=(
        Limit(
            ("ReduceMax", "ReduceMean"),
            "of a plane, or its Reshape, runs on its CPU",
            when=reduces_plane,
            cure=GLOBAL_POOLING,
        ),
        Limit(("Pow",), "runs on its CPU", when=is_whole_power, cure=PRODUCTS),
        Limit(
            ("Resize",),
            "linear, by no whole ratio or with align_corners, runs on its CPU",
            when=is_linear_between_positions,
            cure=RESIZE_BY_MATMUL,
        ),
        Limit(
            ("Mul",),
            "one of its factors is a Sign, which runs on its CPU",
            when=is_sign_times_magnitude,
            cure=MAGNITUDE_WITH_SIGN,
        ),
    ),
    driver="rknn",
    modules=("rknn",),
    half=True,
    known_ops=TRIED,
    convert="RKNN(): config(target_platform='rk3588'), load_onnx('model.onnx'), "
    "build(do_quantization=False), export_rknn('model.rknn')",
    run="init_runtime(), inference(inputs=[x], data_format='nchw')",
    notes="its simulator writes files into the working directory; int8 loses less with --strategy "
    "matmul",
)
