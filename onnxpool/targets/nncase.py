"""nncase, for Kendryte's chips."""

from onnxpool.rewrites.legalize import allow_zero, auto_pad, lp_pool, volume_pool
from onnxpool.rewrites.legalize.dropout import NOTHING_DROPPED
from onnxpool.rewrites.legalize.lowest_around import LOWEST_AROUND, pads_what_may_be_negative
from onnxpool.rewrites.legalize.pad_by_concat import PAD_BY_CONCAT
from onnxpool.rewrites.legalize.resize import RESIZE_BY_MATMUL
from onnxpool.targets.conditions import (
    all_of,
    ends_in_one_number,
    gives_indices,
    has_auto_pad,
    has_ceil_mode,
    is_cubic,
    is_read_by,
    is_volume,
    pads_by_constant,
    resizes_channels,
)
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

_ENDS_THE_PROCESS = """
    Atan Einsum GRU GridSample If IsNaN LSTM LayerNormalization Mean OneHot Reciprocal RoiAlign
    ScatterElements Tan ThresholdedRelu
"""

_TO_ONE_NUMBER = """
    Add ArgMax ArgMin Cast Div Gather Identity Mul ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
    Reshape Sigmoid Slice Sqrt Squeeze Sub
"""

NNCASE = Target(
    name="nncase",
    runtime="nncase, compiled for the CPU, and its simulator",
    tested="2.11.0",
    measured="2026-11-28",
    runs_on="NPU",
    opset=16,
    dynamic=False,
    limits=(
        Limit(
            ("AveragePool", "MaxPool"),
            "ignores auto_pad",
            when=has_auto_pad,
            cure=auto_pad.EXPLICIT_PADS,
        ),
        Limit(
            ("AveragePool", "MaxPool"),
            "of volumes it gives wrong shapes",
            when=is_volume,
            cure=volume_pool.POOL_BY_PLANES,
        ),
        Limit(
            ("Reshape",),
            "with allowzero ends the process",
            when=allow_zero.applies,
            cure=allow_zero.WITHOUT_ALLOW_ZERO,
        ),
        Limit(
            ("MaxPool",),
            "takes its padding for zeros",
            when=pads_what_may_be_negative,
            cure=LOWEST_AROUND,
        ),
        Limit(
            ("Pad",),
            "in front of an average gives wrong values",
            when=all_of(pads_by_constant, is_read_by("AveragePool", "GlobalAveragePool")),
            cure=PAD_BY_CONCAT,
        ),
        Limit(
            ("Resize",),
            "of channels gives wrong shapes, or ends the process",
            when=resizes_channels,
        ),
        Limit(
            tuple(_TO_ONE_NUMBER.split()),
            "what it gives, one number alone at the end of the graph, is that of the first run; "
            "keep an axis more",
            when=ends_in_one_number,
        ),
        Limit(("Dropout",), "ends the process in front of others", cure=NOTHING_DROPPED),
        Limit(lp_pool.OPS, "ends the process", cure=lp_pool.POWER_AVERAGE),
        Limit(("Resize",), "cubic it ends the process", when=is_cubic, cure=RESIZE_BY_MATMUL),
        Limit(("AveragePool", "MaxPool"), "ignores ceil_mode", when=has_ceil_mode),
        Limit(("MaxPool",), "with indices it ends the process", when=gives_indices),
        Limit(("Conv",), "of volumes it ends the process", when=is_volume),
        Limit(("QuantizeLinear",), "gives wrong values"),
        Limit(("LpNormalization",), "does not run"),
        Limit(tuple(_ENDS_THE_PROCESS.split()), "ends the process"),
    ),
    driver="nncase",
    modules=("nncase",),
    known_ops=TRIED,
    convert="nncase.Compiler(options): import_onnx(…), compile(), gencode_tobytes()",
    run="nncase.Simulator(): load_model(…), run()",
    notes="its dotnet needs the execute bit, DOTNET_ROOT, and DOTNET_ROLL_FORWARD=Major",
)
