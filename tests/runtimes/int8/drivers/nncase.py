"""int8 by nncase's calibration, for the K230 and its simulator, which is looked for on the PATH."""

import importlib.metadata
import os
from pathlib import Path

import numpy as np
from drivers.nncase import importer, nncase, simulated, version

__all__ = ["load", "version"]

os.environ["PATH"] += f"{os.pathsep}{importlib.metadata.distribution('nncase-kpu').locate_file('')}"


def load(model):
    compiler = importer(model, "k230")
    with np.load(Path(model.path).with_name("calibration.npz")) as samples:
        data = [[x] for x in samples.values()]
    calibration = nncase.PTQTensorOptions()
    calibration.samples_count = len(data)
    calibration.set_tensor_data(data)
    compiler.use_ptq(calibration)
    return simulated(compiler, model)
