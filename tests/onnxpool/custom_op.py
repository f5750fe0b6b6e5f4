"""Runs models of custom ops with the library and without, and says what ran."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from onnxpool.ops import DOMAIN, register
from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.run import kernels_missing

needs_library = pytest.mark.skipif(bool(kernels_missing()), reason="needs the custom-op library")


def session(
    model: onnx.ModelProto, *, library: bool, optimized: Path | None = None
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if optimized:
        options.optimized_model_filepath = str(optimized)
    if library:
        register(options)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(model: onnx.ModelProto, *, library: bool, **inputs: Array) -> list[Array]:
    outputs = session(model, library=library).run(None, inputs)
    return [np.asarray(y) for y in outputs]


def kernels_used(model: onnx.ModelProto, folder: Path, *, library: bool) -> list[str]:
    """The ops of the dialect in what ONNX Runtime makes of a model, bodies of nodes left out."""
    optimized = folder / "optimized.onnx"
    session(model, library=library, optimized=optimized)
    nodes = onnx.load(optimized).graph.node
    return sorted(node.op_type for node in nodes if node.domain == DOMAIN)
