"""Graphs written by hand, node by node."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from tests.exports.case import Array, Case, Reference


class Graph:
    """A graph under construction: each call adds a node and returns the name of its output.

    The input is "X"; arrays become initializers.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, op_type: str, *inputs: str | Array, **attributes: Any) -> str:
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        output = f"{op_type}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(op_type, names, [output], output, **attributes))
        return output

    def constant(self, value: Array) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def model(self, shape: tuple[int, ...], *outputs: str) -> onnx.ModelProto:
        info = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            self.nodes,
            "main",
            [info("X", onnx.TensorProto.FLOAT, shape)],
            [info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
            self.constants,
        )
        model = onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
        )
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


@dataclasses.dataclass(frozen=True)
class HandWritten(Case):
    """A graph that `build` writes, from a `Graph` and the input's shape, returning the outputs."""

    build: Callable[[Graph, tuple[int, ...]], tuple[str, ...]]

    def model(self) -> onnx.ModelProto:
        graph = Graph()
        return graph.model(self.shape, *self.build(graph, self.shape))

    def reference(self) -> Reference | None:
        if not self.expected:
            return None
        return lambda x: tuple(y for pool in self.expected for y in pool(x))
