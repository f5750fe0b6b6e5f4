"""A lower clamp without Clip.

Clip(X, min) = Relu(X - min) + min
Clip(X, min) = -Min(-X, -min)              also with an upper bound, and for Max(X, min)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

_ANY_OPSET = 13


def has_positive_minimum(node: gs.Node) -> bool:
    """Whether a Clip or a Max keeps all that it gives above a positive constant."""
    bounds = _lower_bounds(node)
    return any(bool((values > 0).all()) for values in bounds if values is not None)


def emit_relu(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, *bounds = node.inputs
    if len(bounds) > 1 and bounds[1].name:
        raise Unsupported("it has an upper bound too")
    if not bounds or not bounds[0].name:
        raise Unsupported("it has no lower bound")
    above = b.elementwise("Relu", b.elementwise("Sub", x, bounds[0]))
    return [b.elementwise("Add", above, bounds[0])]


def emit_min(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    if not has_positive_minimum(node):
        raise Unsupported("it has no positive lower bound")
    count = 2 if node.op == "Clip" else len(node.inputs)
    negatives = [_negative(b, tensor) for tensor in node.inputs[:count]]
    smallest = b.node("Min", negatives, node.outputs[0].shape)
    result = b.elementwise("Neg", smallest)
    upper = [tensor for tensor in node.inputs[count:] if tensor.name]
    return [b.elementwise("Min", result, *upper) if upper else result]


def _negative(b: Builder, tensor: gs.Tensor) -> gs.Tensor:
    values = known_value(tensor, b.opset)
    if values is None:
        return b.elementwise("Neg", tensor)
    return b.constant(f"negative_{tensor.name}", np.asarray(-values))


def _lower_bounds(node: gs.Node) -> list[Array | None]:
    """What is known of the tensors that the result is no less than."""
    bounds = node.inputs if node.op == "Max" else node.inputs[1:2]
    return [known_value(tensor, _ANY_OPSET) if tensor.name else None for tensor in bounds]


CLIP_BY_RELU = Replacement("Relu between shifts", emit_relu)
MIN_OF_NEGATIVE = Replacement("Min of its negative", emit_min)
