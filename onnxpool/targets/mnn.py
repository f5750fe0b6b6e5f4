"""MNN, converted by the converter of its wheel."""

from onnxpool.rewrites.lower import volume_pool
from onnxpool.targets.conditions import is_volume
from onnxpool.targets.target import Limit, Target

MNN = Target(
    name="mnn",
    runtime="MNN",
    tested="3.6.1",
    opset=17,
    limits=(
        Limit(
            volume_pool.OPS,
            "pooling of volumes ends the process",
            when=is_volume,
            cure=volume_pool.POOL_BY_PLANES,
        ),
        Limit(("Einsum",), "it does not convert"),
    ),
    convert="python -c 'import _tools; _tools.mnnconvert([…])' with MNNConvert's own arguments: "
    "-f ONNX --modelFile model.onnx --MNNModel model.mnn --bizCode x",
    run="MNN.nn.load_module_from_file('model.mnn', inputs, outputs)",
    notes="Winograd convolutions lose digits: runtime_manager.set_hint(3, 0) turns them off; the "
    "command mnnconvert installs packages with pip",
)
