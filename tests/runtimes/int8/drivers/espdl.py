"""int8 by esp-ppq: powers of two as scales, calibrated for the ESP32-P4, in its executor."""

from pathlib import Path

import numpy as np
import torch
from drivers.espdl import version
from esp_ppq import TorchExecutor
from esp_ppq.api import espdl_quantize_onnx

__all__ = ["load", "version"]


def load(model):
    torch.set_num_threads(1)
    with np.load(Path(model.path).with_name("calibration.npz")) as samples:
        data = [torch.from_numpy(x) for x in samples.values()]
    graph = espdl_quantize_onnx(
        onnx_import_file=model.path,
        espdl_export_file=model.path.replace(".onnx", ".espdl"),
        calib_dataloader=data,
        calib_steps=len(data),
        input_shape=[list(shape) for shape in model.shapes],
        target="esp32p4",
        num_of_bits=8,
        device="cpu",
        error_report=False,
        skip_export=True,
        verbose=0,
    )
    executor = TorchExecutor(graph, device="cpu")

    def run(*xs):
        given = dict(zip(model.inputs, map(torch.from_numpy, xs), strict=True))
        results = executor.forward(given, output_names=model.outputs)
        return [y.detach().numpy() for y in results]

    return run
