"""TensorRT, by its documentation and its users' issues; it was not run here.

onnx-tensorrt's docs/operators.md (of TensorRT 8.4; newer versions take more ops); the issues
onnx/onnx-tensorrt 333 and 937 and NVIDIA/TensorRT 2094 on window volumes, and
microsoft/onnxruntime 13639 and NVIDIA/TensorRT 2564 on Pow in float16.
"""

from onnxpool.rewrites.legalize.pool_by_axes import POOL_BY_AXES
from onnxpool.rewrites.legalize.reduce_plane import PLANE_REDUCTION
from onnxpool.targets.conditions import gives_indices, has_window_of
from onnxpool.targets.target import Limit, Target

LARGEST_WINDOW = 99_999

_OPS = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast
    Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace
    DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather
    GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
    GreaterOrEqual HardSigmoid Identity If InstanceNormalization IsNaN LRN LSTM LeakyRelu Less
    LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool Mean Min Mul Neg
    NonMaxSuppression Not Or PRelu Pad Pow QuantizeLinear RNN RandomUniform RandomUniformLike Range
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
    ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence Round Scan ScatterElements
    ScatterND Selu Shape Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth
    Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Unsqueeze Where Xor
"""

_TOO_LARGE = f"its windows may have {LARGEST_WINDOW:,} positions; more end the process"

TENSORRT = Target(
    name="tensorrt",
    runtime="TensorRT, through its ONNX parser",
    tested="",
    runs_on="server",
    opset=17,
    limits=(
        Limit(
            ("GlobalAveragePool", "GlobalMaxPool"),
            _TOO_LARGE,
            when=has_window_of(LARGEST_WINDOW + 1),
            cure=PLANE_REDUCTION,
            evidence="documented",
        ),
        Limit(
            ("AveragePool", "MaxPool"),
            _TOO_LARGE,
            when=has_window_of(LARGEST_WINDOW + 1),
            cure=POOL_BY_AXES,
            evidence="documented",
        ),
        Limit(("MaxPool",), "gives no indices", when=gives_indices, evidence="documented"),
    ),
    known_ops=frozenset(_OPS.split()),
    convert="trtexec --onnx=model.onnx --saveEngine=model.engine",
    run="trtexec --loadEngine=model.engine",
    notes="with --fp16, keep the Pow and the mean of GeM in float32 (--layerPrecisions): x³ "
    "overflows float16 from x = 41",
)
