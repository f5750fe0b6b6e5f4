"""Rockchip's NPU by the simulator of rknn-toolkit2: RK3588, float16.

It writes files into the working directory.
"""

import importlib.metadata
import os
from pathlib import Path

from rknn.api import RKNN


def version():
    return importlib.metadata.version("rknn-toolkit2")


def load(model):
    os.chdir(Path(model.path).parent)
    rknn = built(model.path)
    done(rknn.init_runtime(), "init_runtime")
    return lambda *xs: rknn.inference(inputs=list(xs), data_format="nchw")


def built(path, verbose=False):
    rknn = RKNN(verbose=verbose)
    done(rknn.config(target_platform="rk3588"), "config")
    done(rknn.load_onnx(path), "load_onnx")
    done(rknn.build(do_quantization=False), "build")
    return rknn


def done(status, step):
    if status:
        raise RuntimeError(f"{step} ends with status {status}")
