"""int8 by nncase's calibration, for the K230 and its simulator, which is looked for on the PATH."""

import importlib.metadata
import os
from pathlib import Path

import numpy as np
from drivers.nncase import nncase, version

__all__ = ["load", "version"]

os.environ["PATH"] += f"{os.pathsep}{importlib.metadata.distribution('nncase-kpu').locate_file('')}"


def load(model):
    options = nncase.CompileOptions()
    options.target = "k230"
    options.dump_dir = str(Path(model.path).parent / "nncase")
    compiler = nncase.Compiler(options)
    compiler.import_onnx(Path(model.path).read_bytes(), nncase.ImportOptions())
    with np.load(Path(model.path).with_name("calibration.npz")) as samples:
        data = [[x] for x in samples.values()]
    calibration = nncase.PTQTensorOptions()
    calibration.samples_count = len(data)
    calibration.set_tensor_data(data)
    compiler.use_ptq(calibration)
    compiler.compile()
    simulator = nncase.Simulator()
    simulator.load_model(compiler.gencode_tobytes())

    def run(*xs):
        for k, x in enumerate(xs):
            simulator.set_input_tensor(k, nncase.RuntimeTensor.from_numpy(x))
        simulator.run()
        outputs = range(len(model.outputs))
        return [simulator.get_output_tensor(k).to_numpy() for k in outputs]

    return run
