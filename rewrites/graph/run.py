"""Run a small model in ONNX Runtime, as it is written."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.exporters.onnx_exporter import OnnxExporter

from onnxpool.errors import LibraryError
from onnxpool.ops.library import register
from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.cut import cut, loaded, needs_constants_alone

EXTERNAL_DATA_FOLDER = "session.model_external_initializers_file_folder_path"
"""The session setting that says where the external data of a model in memory is."""


_ONNXRUNTIME = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : (Non-zero status code returned while running "
    r"(?P<op>\w+) node\. Name:(?P<node>'.*?') Status Message: )?"
)


class RunError(Exception):
    """ONNX Runtime does not take a model; the message is one line."""


class Runner:
    """A model ready to run; graph optimisations are off, because some change the values."""

    def __init__(
        self, model: onnx.ModelProto | str, folder: Path | None = None, *, kernels: bool = False
    ) -> None:
        """Load a model, or a file.

        Args:
            folder: holds the external data of a model.
            kernels: whether nodes of the dialect run the kernels of the custom-op library.

        Raises:
            RunError: ONNX Runtime refuses it.
            LibraryError: there is no library that it takes.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        # One thread: most regions are small, and threads that wait for work take it from others.
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if folder is not None:
            options.add_session_config_entry(EXTERNAL_DATA_FOLDER, str(folder))
        if kernels:
            register(options)
        source = model if isinstance(model, str) else model.SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise RunError(one_line(error)) from error

    def __call__(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        try:
            return tuple(np.asarray(y) for y in self._session.run(None, dict(inputs)))
        except Exception as error:
            raise RunError(one_line(error)) from error


@functools.cache
def kernels_missing() -> str:
    """Why the kernels of the custom-op library cannot be run; empty where they can."""
    import onnxruntime

    try:
        register(onnxruntime.SessionOptions())
    except LibraryError as error:
        return str(error)
    return ""


def evaluate(constant: gs.Tensor, opset: int) -> Array:
    """The value of a tensor that depends on constants alone, computed as the graph does it.

    Raises:
        RunError: ONNX Runtime does not run the nodes that compute it.
    """
    if isinstance(constant, gs.Constant):
        return np.asarray(constant.values)
    (value,) = Runner(cut((), (constant,), opset, promote=True))({})
    return value


def run_node(node: gs.Node, inputs: Sequence[Array | None], opset: int) -> tuple[Array, ...]:
    """The outputs of one standard node, of these values of its inputs.

    Raises:
        RunError: ONNX Runtime does not run it.
    """
    names = ["" if value is None else f"i{index}" for index, value in enumerate(inputs)]
    copy = OnnxExporter.export_node(loaded(node))
    del copy.input[:]
    copy.input.extend(names)
    given = {name: value for name, value in zip(names, inputs, strict=True) if value is not None}
    infos = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in given.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in copy.output if name]
    graph = onnx.helper.make_graph([copy], "node", infos, outputs)
    imports = [onnx.helper.make_opsetid("", opset)]
    ir_version = max(onnx.helper.find_min_ir_version_for(imports), 7)
    return Runner(onnx.helper.make_model(graph, opset_imports=imports, ir_version=ir_version))(
        given
    )


def known_value(tensor: gs.Tensor, opset: int) -> Array | None:
    """The value of a tensor that depends on constants alone; None where it does not.

    Raises:
        RunError: ONNX Runtime does not run the nodes that compute it.
    """
    return evaluate(tensor, opset) if needs_constants_alone(tensor) else None


def one_line(error: Exception) -> str:
    """What an exception says; of ONNX Runtime's, without what it puts around it."""
    message = " ".join(str(error).split())
    if runtime := _ONNXRUNTIME.match(message):
        place = f"node {runtime['node']} ({runtime['op']}): " if runtime["node"] else ""
        return place + message[runtime.end() :][:300]
    return f"{type(error).__name__}: {message[:300]}"
