"""Run a standard node as it is and as a replacement writes it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray
from onnx import helper

from onnxpool.model.file import ModelFile
from onnxpool.model.shapes import infer
from onnxpool.rewrites.graph.replace import Emit, replace
from onnxpool.rewrites.graph.run import Runner

Array = NDArray[Any]


def model_of(
    op: str,
    inputs: Mapping[str, Sequence[int | str]],
    constants: Mapping[str, Array | np.generic] | None = None,
    opset: int = 17,
    dtype: int = onnx.TensorProto.FLOAT,
    order: Sequence[str] | None = None,
    outputs: Sequence[str] = ("Y",),
    **attributes: Any,
) -> onnx.ModelProto:
    """A model of one node "node"; its inputs are `inputs`, then `constants`, or as in `order`."""
    constants = constants or {}
    names = list(order) if order is not None else [*inputs, *constants]
    graph = helper.make_graph(
        [helper.make_node(op, names, list(outputs), "node", **attributes)],
        "graph",
        [helper.make_tensor_value_info(n, dtype, list(s)) for n, s in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs if name],
        [
            onnx.numpy_helper.from_array(np.asarray(value), name)
            for name, value in constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def replaced(model: onnx.ModelProto, emit: Emit, node: int = 0) -> onnx.ModelProto:
    """The model with what `emit` writes in the place of one of its nodes."""
    file = ModelFile.from_proto(model)
    infer(file)
    graph: gs.Graph = file.main.graph
    replace(graph, graph.nodes[node], file.opset, emit)
    file.splice()
    file.check()
    return file.proto


def run(model: onnx.ModelProto, **inputs: Array) -> tuple[Array, ...]:
    return Runner(model)(inputs)


def relative_error(found: Array, wanted: Array) -> float:
    assert found.shape == wanted.shape
    largest = float(np.max(np.abs(wanted), initial=0.0)) or 1.0
    return float(np.max(np.abs(found.astype(np.float64) - wanted), initial=0.0)) / largest


def ops(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]
