"""OpenVINO, CPU plugin, in float32.

Unless told so it computes in bfloat16 on CPUs that have it.
"""

import openvino as ov


def version():
    return ov.__version__.split("-")[0]


def load(model):
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = ov.Core().compile_model(model.path, "CPU", settings)

    def run(*xs):
        results = compiled(list(xs))
        return [results[i].copy() for i in range(len(model.outputs))]

    return run
