"""ESP-DL for Espressif's microcontrollers, by esp-ppq's executor, in float32."""

import importlib.metadata

import torch
from esp_ppq import TorchExecutor
from esp_ppq.api import load_onnx_graph


def version():
    return importlib.metadata.version("esp-ppq")


def load(model):
    torch.set_num_threads(1)
    executor = TorchExecutor(load_onnx_graph(model.path), device="cpu")

    def run(*xs):
        given = dict(zip(model.inputs, map(torch.from_numpy, xs), strict=True))
        results = executor.forward(given, output_names=model.outputs)
        return [y.numpy() for y in results]

    return run
