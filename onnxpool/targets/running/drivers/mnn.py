"""MNN, converted by the library behind its mnnconvert command.

The command itself installs packages and reports its use over the network. Convolutions are computed
without Winograd's larger tiles, which keep only three digits.
"""

import _tools
import MNN
from MNN import expr, nn

WINOGRAD_MEMORY_LEVEL = 3
"""Its number among MNN's hints."""


def version():
    return MNN.version()


def load(model):
    converted = model.path.removesuffix(".onnx") + ".mnn"
    files = ["--modelFile", model.path, "--MNNModel", converted]
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *files, "--bizCode", "onnxpool"])
    settings = {"backend": "CPU", "precision": "high", "numThread": 1}
    manager = nn.create_runtime_manager((settings,))
    manager.set_hint(WINOGRAD_MEMORY_LEVEL, 0)
    module = nn.load_module_from_file(
        converted, model.inputs, model.outputs, runtime_manager=manager
    )

    def run(*xs):
        results = module.forward([expr.const(x, x.shape, expr.NCHW) for x in xs])
        return [expr.convert(y, expr.NCHW).read().copy() for y in results]

    return run
