"""MNN, converted by the converter of its wheel."""

from onnxpool.rewrites.lower import pool_defaults
from onnxpool.targets.target import Limit, Target

MNN = Target(
    name="mnn",
    runtime="MNN",
    tested="3.6.1",
    opset=17,
    limits=(
        Limit(
            pool_defaults.OPS,
            "ends the process where strides or pads are left to their defaults",
            when=pool_defaults.applies,
            cure=pool_defaults.STRIDES_AND_PADS,
        ),
        Limit(("Gelu",), "computes it with tanh; say --opset 17"),
        Limit(("Einsum",), "it does not convert"),
    ),
    convert="python -c 'import _tools; _tools.mnnconvert([…])' with MNNConvert's own arguments: "
    "-f ONNX --modelFile model.onnx --MNNModel model.mnn --bizCode x",
    run="MNN.nn.load_module_from_file('model.mnn', inputs, outputs)",
    notes="Winograd convolutions lose digits: runtime_manager.set_hint(3, 0) turns them off; the "
    "command mnnconvert installs packages with pip",
)
