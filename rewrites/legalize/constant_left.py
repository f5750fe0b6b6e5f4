"""A constant on the left of a difference or a quotient, on the right of a sum or a product.

Sub(c, X)     = Neg(X) + c
Div(c, X)     = Pow(X, -1) · c
Reciprocal(X) = Pow(X, -1)
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.tensors import is_float
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

OPS = ("Div", "Reciprocal", "Sub")
_ANY_OPSET = 13


def applies(node: gs.Node) -> bool:
    """Whether a tensor of floats is taken from a constant, or divides one."""
    *left, x = node.inputs
    if not is_float(x.dtype) or known_value(x, _ANY_OPSET) is not None:
        return False
    return all(known_value(tensor, _ANY_OPSET) is not None for tensor in left)


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    if not applies(node):
        raise Unsupported("there is no constant on its left, or it is not of floats")
    *left, x = node.inputs
    shape = node.outputs[0].shape
    if node.op == "Sub":
        # Not Neg(X) + c: optimizers make the difference of it again.
        return [b.elementwise("Neg", b.node("Sub", [x, *left], shape))]
    inverse = b.elementwise("Pow", x, b.scalar(-1, x.dtype))
    return [b.node("Mul", [inverse, *left], shape) if left else inverse]


CONSTANT_ON_THE_RIGHT = Replacement("a constant on the right", emit)
