"""An activation of planes as one of lines.

Op(X) = Op(X as (N, C, D1·…·Dk)) as (N, C, D1, …, Dk)        HardSigmoid, Sigmoid, Softplus, Tanh
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

OPS = ("HardSigmoid", "Sigmoid", "Tanh")

_ON_THE_WAY = ("Add", "Div", "Mul", "Relu", "Sub", "Transpose")
_POOLS = ("AveragePool", "MaxPool")


def is_behind_sliding_pool(node: gs.Node) -> bool:
    """Whether windows that overlap are pooled before it, with little in between."""
    pending, seen = [node], {id(node)}
    while pending:
        for producer in (p for tensor in pending.pop().inputs for p in tensor.inputs):
            if producer.op in _POOLS and _overlap(producer):
                return True
            if producer.op in _ON_THE_WAY and id(producer) not in seen:
                seen.add(id(producer))
                pending.append(producer)
    return False


def _overlap(pool: gs.Node) -> bool:
    kernel = pool.attrs["kernel_shape"]
    strides = pool.attrs.get("strides", [1] * len(kernel))
    return any(step < length for step, length in zip(strides, kernel, strict=True))


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    (x,) = node.inputs
    shape = x.shape
    if shape is None or len(shape) < 4 or not all(isinstance(dim, int) for dim in shape):
        raise Unsupported("it is of no planes, or of sizes that the runtime alone knows")
    flat = b.reshape(x, (*shape[:2], math.prod(shape[2:])), leading=2)
    flat = b.node(node.op, [flat], flat.shape, **node.attrs)
    return [b.reshape(flat, shape, leading=2)]


ON_LINES = Replacement("an activation of lines", emit)
