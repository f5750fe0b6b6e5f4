"""LiteRT (TensorFlow Lite), converted by onnx2tf for one input shape, float32.

onnx2tf overwrites the .onnx file, so it needs one of its own. It keeps the layout of inputs when
told to, and leaves outputs channels-last or not as it went.
"""

import importlib.metadata
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import onnx
import onnx2tf
from ai_edge_litert.interpreter import Interpreter


def version():
    return "{}, onnx2tf {}".format(*map(importlib.metadata.version, ("ai-edge-litert", "onnx2tf")))


def load(model):
    graph = onnx.load(model.path).graph
    dims = {y.name: [d.dim_value for d in y.type.tensor_type.shape.dim] for y in graph.output}
    folder = Path(model.path).parent / "saved_model"
    onnx2tf.convert(
        input_onnx_file_path=model.path,
        output_folder_path=str(folder),
        overwrite_input_shape=[f"{model.input}:{','.join(map(str, model.shape))}"],
        keep_ncw_or_nchw_or_ncdhw_input_names=[model.input],
        copy_onnx_input_output_names_to_tflite=True,
        non_verbose=True,
    )
    (converted,) = folder.glob("*_float32.tflite")
    interpreter = Interpreter(str(converted), num_threads=1)
    infer = interpreter.get_signature_runner()

    def run(x):
        results = infer(**{model.input: x})
        return [channels_first(results[name], dims[name]) for name in model.outputs]

    return run


def channels_first(y, dims):
    """Take the layout whose shape agrees with `dims`, where 0 stands for an unknown size."""
    turned = y.transpose(0, -1, *range(1, y.ndim - 1)) if y.ndim > 2 else y
    return y if agrees(y, dims) else turned


def agrees(y, dims):
    return all(dim in (0, size) for dim, size in zip(dims, y.shape, strict=True))
