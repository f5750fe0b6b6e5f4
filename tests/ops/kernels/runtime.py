"""Runs one dialect node in ONNX Runtime, with the custom-op library."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from onnxpool.ops import DOMAIN, VERSION, Op, register
from onnxpool.ops.op import Array

LIBRARY = os.environ.get("ONNXPOOL_TEST_LIBRARY")
"""Another build of the library to test, as sanitize.sh makes it."""


def node(op: Op, inputs: Sequence[str], outputs: int) -> onnx.NodeProto:
    names = [f"y{i}" for i in range(outputs)]
    return onnx.helper.make_node(
        op.op_type(), inputs, names, "the_node", domain=DOMAIN, **op.attributes()
    )


def model(made: onnx.NodeProto, inputs: dict[str, Array], shapes: Any = None) -> bytes:
    """One node; `shapes`: declared shapes of the inputs, instead of those that they have."""
    declared = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), shapes[name] if shapes else x.shape
        )
        for name, x in inputs.items()
    ]
    results = [onnx.helper.make_empty_tensor_value_info(name) for name in made.output if name]
    graph = onnx.helper.make_graph([made], "graph", declared, results)
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid(DOMAIN, VERSION)]
    serialized: bytes = onnx.helper.make_model(
        graph, opset_imports=opsets, ir_version=10
    ).SerializeToString()
    return serialized


def session(serialized: bytes, threads: int = 1) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # Each tensor is an allocation of its own, so that AddressSanitizer sees where it ends.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    if LIBRARY:
        options.register_custom_ops_library(LIBRARY)
    else:
        register(options)
    return ort.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])


def run(op: Op, *inputs: Array, outputs: int = 1, threads: int = 1) -> list[Array]:
    """The outputs of `op`; inputs of a dtype that NumPy lacks are not taken."""
    feeds = {f"x{i}": x for i, x in enumerate(inputs)}
    made = model(node(op, list(feeds), outputs), feeds)
    results: list[Array] = session(made, threads).run(None, feeds)
    return [np.asarray(result) for result in results]
