"""A product with a number as one with a vector, which holds it once for each channel.

Mul(X, c) = Mul(X, (c, …, c))
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement


def is_between(node: gs.Node) -> bool:
    """Whether a Mul by a number is behind an Add of a vector, or in front of a Softmax."""
    x, _, value = _parts(node, 13)
    if value is None:
        return False
    readers = [reader.op for tensor in node.outputs for reader in tensor.outputs]
    return "Softmax" in readers or any(_adds_vector(producer) for producer in x.inputs)


def _adds_vector(node: gs.Node) -> bool:
    sizes = (known_value(tensor, 13) for tensor in node.inputs)
    return node.op == "Add" and any(value is not None and value.size > 1 for value in sizes)


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, number, value = _parts(node, b.opset)
    if value is None:
        raise Unsupported("neither of its factors is a constant number")
    if x.shape is None or len(x.shape) < 2 or not isinstance(x.shape[1], int):
        raise Unsupported("the number of channels is not known")
    shape = (x.shape[1], *[1] * (len(x.shape) - 2))
    vector = b.constant(f"{number.name}_by_channel", np.full(shape, value.item(), value.dtype))
    return b.outputs("Mul", [x, vector], node.outputs)


def _parts(node: gs.Node, opset: int) -> tuple[gs.Tensor, gs.Tensor, np.ndarray | None]:
    """The other factor, the one that is a constant number, and its value; None: there is none."""
    for x, number in (node.inputs, reversed(node.inputs)):
        value = known_value(number, opset)
        if value is not None and value.size == 1 and value.ndim <= len(x.shape or ()):
            return x, number, value
    return *node.inputs, None


NUMBER_BY_CHANNEL = Replacement("by a vector of the channels", emit)
