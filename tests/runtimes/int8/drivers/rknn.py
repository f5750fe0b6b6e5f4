"""int8 by rknn-toolkit2: by channel, ranges by its "normal" algorithm."""

import os
from pathlib import Path

import numpy as np
from drivers.rknn import RKNN, done, version

__all__ = ["load", "version"]


def load(model):
    folder = Path(model.path).parent
    os.chdir(folder)
    rknn = RKNN()
    done(rknn.config(target_platform="rk3588"), "config")
    done(rknn.load_onnx(model.path), "load_onnx")
    done(rknn.build(do_quantization=True, dataset=str(dataset(folder))), "build")
    done(rknn.init_runtime(), "init_runtime")
    return lambda *xs: rknn.inference(inputs=list(xs), data_format="nchw")


def dataset(folder):
    """The list of files that the toolkit calibrates on."""
    names = []
    with np.load(folder / "calibration.npz") as samples:
        for name, x in samples.items():
            np.save(folder / f"{name}.npy", x)
            names.append(f"{name}.npy")
    path = folder / "dataset.txt"
    path.write_text("\n".join(names))
    return path
