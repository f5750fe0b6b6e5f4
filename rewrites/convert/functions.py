"""Ops that older opsets do not have, as what they are made of.

Gelu(X)      = X · (1 + Erf(X / √2)) / 2,  or with Tanh
Mish(X)      = X · Tanh(Softplus(X))
HardSwish(X) = X · HardSigmoid<1/6, 1/2>(X)
Swish(X)     = X · Sigmoid(alpha · X)
LayerNormalization(X, S, B)  = (X - mean) / √(mean((X - mean)²) + epsilon) · S + B
RMSNormalization(X, S)       = X / √(mean(X²) + epsilon) · S
GreaterOrEqual(A, B)         = Not(Less(A, B)),  and LessOrEqual with Greater  (no NaN: integers)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import is_integer
from onnxpool.rewrites.graph.unsupported import Unsupported


def _gelu(b: Builder, node: gs.Node) -> gs.Tensor:
    x = node.inputs[0]
    if node.attrs.get("approximate", "none") == "tanh":
        cube = b.elementwise("Mul", b.elementwise("Mul", x, x), x)
        sum_ = b.elementwise("Add", x, b.elementwise("Mul", cube, b.scalar(0.044715, x.dtype)))
        root = b.scalar(math.sqrt(2 / math.pi), x.dtype)
        gate = b.elementwise("Tanh", b.elementwise("Mul", sum_, root))
    else:
        scaled = b.elementwise("Mul", x, b.scalar(math.sqrt(0.5), x.dtype))
        gate = b.elementwise("Erf", scaled)
    opened = b.elementwise("Add", gate, b.scalar(1, x.dtype))
    # Halved first: MNN takes (x · opened) / 2 for Gelu, and computes that with tanh.
    return b.elementwise("Mul", b.elementwise("Mul", x, b.scalar(0.5, x.dtype)), opened)


def _mish(b: Builder, node: gs.Node) -> gs.Tensor:
    x = node.inputs[0]
    return b.elementwise("Mul", x, b.elementwise("Tanh", b.elementwise("Softplus", x)))


def _hard_swish(b: Builder, node: gs.Node) -> gs.Tensor:
    x = node.inputs[0]
    gate = b.node("HardSigmoid", [x], x.shape, alpha=1 / 6, beta=0.5)
    return b.elementwise("Mul", x, gate)


def _swish(b: Builder, node: gs.Node) -> gs.Tensor:
    x, alpha = node.inputs[0], node.attrs.get("alpha", 1.0)
    scaled = x if alpha == 1 else b.elementwise("Mul", x, b.scalar(alpha, x.dtype))
    return b.elementwise("Mul", x, b.elementwise("Sigmoid", scaled))


def _layer_normalization(b: Builder, node: gs.Node) -> gs.Tensor:
    if any(tensor.name for tensor in node.outputs[1:]):
        raise Unsupported("its mean or deviation is used, which older opsets do not give")
    x = node.inputs[0]
    centred = b.elementwise("Sub", x, b.reduce("ReduceMean", x, _normalized_axes(node)))
    return _scaled(b, node, centred)


def _rms_normalization(b: Builder, node: gs.Node) -> gs.Tensor:
    return _scaled(b, node, node.inputs[0])


def _scaled(b: Builder, node: gs.Node, x: gs.Tensor) -> gs.Tensor:
    """`x` by the root of its mean square, times the scale, plus the bias if there is one."""
    square = b.reduce("ReduceMean", b.elementwise("Mul", x, x), _normalized_axes(node))
    epsilon = b.scalar(node.attrs.get("epsilon", 1e-5), x.dtype)
    deviation = b.elementwise("Sqrt", b.elementwise("Add", square, epsilon))
    y = b.elementwise("Div", x, deviation)
    y = b.elementwise("Mul", y, node.inputs[1])
    bias = node.inputs[2:3]
    return b.elementwise("Add", y, *bias) if bias and bias[0].name else y


def _normalized_axes(node: gs.Node) -> list[int]:
    x = node.inputs[0]
    if x.shape is None or x.dtype is None:
        raise Unsupported(f"the rank or the type of its input {x.name!r} is not known")
    rank = len(x.shape)
    return list(range(node.attrs.get("axis", -1) % rank, rank))


def _negated(op: str) -> Callable[[Builder, gs.Node], gs.Tensor]:
    def emit(b: Builder, node: gs.Node) -> gs.Tensor:
        if not is_integer(node.inputs[0].dtype):
            raise Unsupported(f"a NaN makes it another thing than Not({op})")
        opposite = b.node(op, node.inputs, node.outputs[0].shape, np.dtype(bool))
        return b.elementwise("Not", opposite)

    return emit


_EMIT: dict[str, tuple[int, Callable[[Builder, gs.Node], gs.Tensor]]] = {
    "Gelu": (20, _gelu),
    "GreaterOrEqual": (12, _negated("Less")),
    "HardSwish": (14, _hard_swish),
    "LayerNormalization": (17, _layer_normalization),
    "LessOrEqual": (12, _negated("Greater")),
    "Mish": (18, _mish),
    "RMSNormalization": (23, _rms_normalization),
    "Swish": (24, _swish),
}

FIRST_OPSET = {op: first for op, (first, _emit) in _EMIT.items()}


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    if node.inputs[0].dtype is None:
        raise Unsupported(f"the type of its input {node.inputs[0].name!r} is not known")
    _first, emit = _EMIT[node.op]
    return [emit(b, node)]
