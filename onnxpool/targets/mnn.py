"""MNN, converted by the converter of its wheel."""

from onnxpool.rewrites.legalize import attribute_defaults, auto_pad, pool_defaults, volume_pool
from onnxpool.rewrites.legalize.resize import RESIZE_BY_MATMUL
from onnxpool.targets.conditions import (
    gives_indices,
    has_dilations,
    is_cubic,
    is_same_lower,
    is_volume_of_open_size,
    lacks_kernel_of_volume,
)
from onnxpool.targets.powers import FASTER_EXP_LOG, FASTER_PRODUCTS
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

MNN = Target(
    name="mnn",
    runtime="MNN",
    tested="3.6.1",
    measured="2026-11-22",
    runs_on="phone",
    opset=17,
    least_opset=13,
    limits=(
        Limit(
            ("AveragePool", "MaxPool"),
            "pads at the wrong side with auto_pad SAME_LOWER",
            when=is_same_lower,
            cure=auto_pad.EXPLICIT_PADS,
        ),
        Limit(
            pool_defaults.OPS,
            "ends the process where strides or pads are left to their defaults",
            when=pool_defaults.applies,
            cure=pool_defaults.STRIDES_AND_PADS,
        ),
        Limit(
            volume_pool.OPS,
            "ends the process when sizes of a volume change from run to run",
            when=is_volume_of_open_size,
            cure=volume_pool.POOL_BY_PLANES,
        ),
        Limit(
            ("Conv",),
            "of volumes does not run without kernel_shape",
            when=lacks_kernel_of_volume,
            cure=attribute_defaults.WRITTEN_OUT,
        ),
        Limit(
            attribute_defaults.NORMALIZATIONS,
            "takes 0 for an epsilon that is left out",
            when=attribute_defaults.applies,
            cure=attribute_defaults.WRITTEN_OUT,
        ),
        Limit(("Resize",), "cubic it gives wrong values", when=is_cubic, cure=RESIZE_BY_MATMUL),
        Limit(("MaxPool",), "gives no indices", when=gives_indices),
        Limit(("MaxPool",), "with dilations it ends the process", when=has_dilations),
        Limit(("Gelu",), "computes it with tanh; say --opset 17"),
        Limit(("GRU", "OneHot", "QuantizeLinear", "ScatterND"), "gives wrong values"),
        Limit(("LSTM",), "ends the process"),
        Limit(("Hardmax", "IsNaN"), "does not load"),
    ),
    faster=(FASTER_PRODUCTS, FASTER_EXP_LOG),
    driver="mnn",
    modules=("MNN",),
    known_ops=TRIED,
    convert="MNNConvert -f ONNX --modelFile model.onnx --MNNModel model.mnn --bizCode x",
    run="MNN.nn.load_module_from_file('model.mnn', inputs, outputs)",
    notes="Winograd convolutions lose digits: runtime_manager.set_hint(3, 0) turns them off; the "
    "wheel's command mnnconvert installs packages with pip, _tools.mnnconvert does not",
)
