"""tinygrad on the CPU, compiled by clang."""

import importlib.metadata
import os

os.environ.setdefault("DEV", "CPU")

from tinygrad import Tensor
from tinygrad.nn.onnx import OnnxRunner


def version():
    return importlib.metadata.version("tinygrad")


def load(model):
    runner = OnnxRunner(model.path)

    def run(x):
        results = runner({model.input: Tensor(x)})
        return [results[name].numpy() for name in model.outputs]

    return run
