"""Softmax and LogSoftmax below opset 13, where they go along all axes from one on.

Softmax<axis>(X) = Reshape(Softmax<1>(Reshape(X, (M, N))), Shape(X))        N: all from axis on
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

ALONG_ONE_AXIS = 13
"""The first opset in which one axis is meant."""

OPS = ("LogSoftmax", "Softmax")


def goes_along_rest(node: gs.Node) -> bool:
    """Whether the axes behind the one that is named have more than one element."""
    shape = node.inputs[0].shape
    if shape is None:
        return True
    axis = node.attrs.get("axis", 1) % max(len(shape), 1)
    return any(size != 1 for size in shape[axis + 1 :])


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x = node.inputs[0]
    if x.shape is None or not all(isinstance(size, int) for size in x.shape):
        raise Unsupported("its sizes are known to the runtime alone")
    axis = node.attrs.get("axis", 1) % len(x.shape)
    matrix = (math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
    flat = b.node("Reshape", [x, b.integers(matrix)], matrix)
    soft = b.node(node.op, [flat], matrix, axis=1)
    return [b.node("Reshape", [soft, b.integers(x.shape)], x.shape)]


SOFTMAX_OF_MATRIX = Replacement("that of a matrix", emit)
