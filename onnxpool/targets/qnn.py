"""Qualcomm's NPU (HTP), through ONNX Runtime's QNN execution provider, in float16."""

from onnxpool.rewrites.legalize import flat_activation, lp_pool, number_by_channel, volume_pool
from onnxpool.rewrites.legalize.counted_padding import PADDING_COUNTED
from onnxpool.rewrites.legalize.dropout import NOTHING_DROPPED
from onnxpool.rewrites.legalize.pad_by_concat import PAD_BY_CONCAT
from onnxpool.rewrites.legalize.resize import RESIZE_BY_MATMUL
from onnxpool.rewrites.legalize.sign_magnitude import MAGNITUDE_WITH_SIGN
from onnxpool.targets.conditions import (
    all_of,
    gives_indices,
    has_ceil_mode,
    has_dilations,
    is_along_one,
    is_behind_slice,
    is_of_planes,
    is_read_by,
    is_sign_times_magnitude,
    is_volume,
    leaves_padding_out,
    pads_by_constant,
    pads_by_edge,
    resizes_channels,
    truncates,
)
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

_ON_THE_CPU = """
    Celu Einsum Erf Hardmax Mod OneHot ReduceL1 ReduceLogSum ReduceProd ReduceSumSquare
    Softsign Trilu
"""

QNN = Target(
    name="qnn",
    runtime="Qualcomm HTP, through ONNX Runtime QNN, float16, simulated for SM8650",
    tested="2.7.0",
    measured="2026-11-28",
    runs_on="NPU",
    opset=20,
    strategy="auto",
    dynamic=False,
    limits=(
        Limit(("Dropout",), "stays on the CPU", cure=NOTHING_DROPPED),
        Limit(lp_pool.OPS, "stays on the CPU", cure=lp_pool.POWER_AVERAGE),
        Limit(
            ("GlobalMaxPool", "MaxPool"),
            "of volumes stays on the CPU",
            when=is_volume,
            cure=volume_pool.POOL_BY_PLANES,
        ),
        Limit(
            ("Mul",),
            "of a Sign of volumes it does not build",
            when=is_sign_times_magnitude,
            cure=MAGNITUDE_WITH_SIGN,
        ),
        Limit(
            ("Pad",),
            "in front of a pooling may give wrong values, and not end",
            when=all_of(pads_by_constant, is_read_by("AveragePool", "MaxPool")),
            cure=PAD_BY_CONCAT,
        ),
        Limit(
            ("AveragePool",),
            "of a large plane gives wrong values where it leaves its padding out",
            when=leaves_padding_out,
            cure=PADDING_COUNTED,
        ),
        Limit(
            flat_activation.OPS,
            "behind a pooling of windows that overlap it may give wrong values",
            when=flat_activation.is_behind_sliding_pool,
            cure=flat_activation.ON_LINES,
        ),
        Limit(
            ("Softplus",),
            "of planes may give wrong values",
            when=is_of_planes,
            cure=flat_activation.ON_LINES,
        ),
        Limit(
            ("LogSoftmax",), "along an axis of one element it gives wrong values", when=is_along_one
        ),
        Limit(
            ("Mul",),
            "by a number is left out behind an Add of a vector, and does not build before Softmax",
            when=number_by_channel.is_between,
            cure=number_by_channel.NUMBER_BY_CHANNEL,
        ),
        Limit(
            ("Resize",),
            "of channels stays on the CPU",
            when=resizes_channels,
            cure=RESIZE_BY_MATMUL,
        ),
        Limit(("AveragePool",), "behind a Slice it may be wrong", when=is_behind_slice),
        Limit(("AveragePool",), "with ceil_mode it gives garbage", when=has_ceil_mode),
        Limit(("MaxPool",), "with dilations it stays on the CPU", when=has_dilations),
        Limit(("MaxPool",), "gives no indices", when=gives_indices),
        Limit(("Pad",), "with mode edge it gives wrong values", when=pads_by_edge),
        Limit(("Cast",), "to integers gives wrong values", when=truncates),
        Limit(tuple(_ON_THE_CPU.split()), "stays on the CPU"),
    ),
    driver="qnn",
    modules=("onnxruntime_qnn",),
    half=True,
    known_ops=TRIED,
    run="onnxruntime.InferenceSession('model.onnx') with the QNN provider's device; "
    "htp_arch, soc_model, enable_htp_fp16_precision=1",
    notes="without soc_model it fails on some graphs; session.disable_cpu_ep_fallback=1 makes what "
    "stays on the CPU an error; int8 loses less with --strategy matmul",
)
