"""tinygrad on the CPU, compiled by clang."""

import functools
import importlib.metadata
import os

os.environ.setdefault("DEV", "CPU")

from tinygrad import Tensor
from tinygrad.nn.onnx import OnnxRunner


def version():
    return importlib.metadata.version("tinygrad")


def load(model):
    # A runner keeps the sizes of its first input.
    runner_for = functools.cache(lambda shape: OnnxRunner(model.path))

    def run(x):
        results = runner_for(x.shape)({model.input: Tensor(x)})
        return [results[name].numpy() for name in model.outputs]

    return run
