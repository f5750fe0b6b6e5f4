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
    # A runner keeps the sizes of its first inputs.
    runner_for = functools.cache(lambda shapes: OnnxRunner(model.path))

    def run(*xs):
        given = {name: Tensor(x) for name, x in zip(model.inputs, xs, strict=True)}
        results = runner_for(tuple(x.shape for x in xs))(given)
        return [results[name].numpy() for name in model.outputs]

    return run
