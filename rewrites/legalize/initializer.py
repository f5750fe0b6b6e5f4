"""A constant that a node gives, as an initializer.

Op(X, Constant<value=c>()) = Op(X, c)
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement


def applies(node: gs.Node) -> bool:
    """Whether a node reads the output of a Constant."""
    return any(map(_is_given_by_node, node.inputs))


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    if not applies(node):
        raise Unsupported("its constants are initializers")
    inputs = [_as_initializer(b, t) if _is_given_by_node(t) else t for t in node.inputs]
    return b.outputs(node.op, inputs, node.outputs, **node.attrs)


def _is_given_by_node(tensor: gs.Tensor) -> bool:
    return bool(tensor.inputs) and tensor.inputs[0].op == "Constant"


def _as_initializer(b: Builder, tensor: gs.Tensor) -> gs.Tensor:
    values = known_value(tensor, b.opset)
    return tensor if values is None else b.constant(tensor.name, values)


INITIALIZER = Replacement("an initializer", emit)
