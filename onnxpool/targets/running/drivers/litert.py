"""LiteRT (TensorFlow Lite), converted by onnx2tf for one shape of each input, float32.

onnx2tf overwrites the .onnx file, so it needs one of its own. It keeps the layout of inputs when
told to, and leaves outputs channels-last or not as it went. Where the sizes of an output do not say
which, it is the layout that is nearer to what ONNX Runtime gives for the first inputs.
"""

import importlib.metadata
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import onnx
import onnx2tf
import onnxruntime
from ai_edge_litert.interpreter import Interpreter


def version():
    return "{}, onnx2tf {}".format(*map(importlib.metadata.version, ("ai-edge-litert", "onnx2tf")))


def load(model):
    proto = onnx.load(model.path)
    dims = {y.name: [d.dim_value for d in y.type.tensor_type.shape.dim] for y in proto.graph.output}
    folder = Path(model.path).parent / "saved_model"
    onnx2tf.convert(
        input_onnx_file_path=model.path,
        output_folder_path=str(folder),
        overwrite_input_shape=[
            f"{name}:{','.join(map(str, shape))}"
            for name, shape in zip(model.inputs, model.shapes, strict=True)
        ],
        keep_ncw_or_nchw_or_ncdhw_input_names=model.inputs,
        copy_onnx_input_output_names_to_tflite=True,
        non_verbose=True,
    )
    (converted,) = folder.glob("*_float32.tflite")
    interpreter = Interpreter(str(converted), num_threads=1)
    infer = interpreter.get_signature_runner()
    turned: dict[str, bool] = {}

    def run(*xs):
        given = dict(zip(model.inputs, xs, strict=True))
        results = infer(**given)
        if not turned:
            unsure = [name for name in model.outputs if is_ambiguous(results[name])]
            values = values_of(proto, unsure, given)
            for name in model.outputs:
                turned[name] = is_turned(results[name], dims[name], values.get(name))
        return [channels_first(results[n]) if turned[n] else results[n] for n in model.outputs]

    return run


def values_of(proto, names, inputs):
    """What ONNX Runtime gives; nothing where it does not run the model."""
    if not names:
        return {}
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString())
        return dict(zip(names, session.run(names, inputs), strict=True))
    except Exception:
        return {}


def is_turned(y, dims, value):
    """Whether the channels come last: by the sizes, where 0 is an unknown one, or the value."""
    if value is not None and value.shape == y.shape:
        return distance(channels_first(y), value) < distance(y, value)
    return any(dim not in (0, size) for dim, size in zip(dims, y.shape, strict=True))


def is_ambiguous(y):
    return y.shape == channels_first(y).shape


def distance(y, value):
    return np.abs(y.astype(np.float64) - value).sum()


def channels_first(y):
    return y.transpose(0, -1, *range(1, y.ndim - 1)) if y.ndim > 2 else y
