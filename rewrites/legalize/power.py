"""Pow by a constant as something else, for runtimes that compute it wrongly or slowly.

    Pow(X, p)   = X·X·…·X                                        p whole
    Pow(X, p)   = Exp(p·Log(X))                                  X > 0
    Pow(X, 1/2) = Sqrt(X)
    Pow(X, p)   = Pow(Max(X, least), p) · Sqrt(Sign(X))          p > 0, not whole

The last is for runtimes whose Pow is the line before, which has no 0. Its last factor is 1 for what
is positive, 0 for 0 and NaN for what is negative, as is the power.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement
from onnxpool.rewrites.legalize.zeros_around import counts_padding
from onnxpool.rewrites.lower.power import exp_log, product

LEAST = 2e-38
"""Not the least normal float32, 1.1755e-38: written with few digits it may become a subnormal one,
which runtimes take for 0."""

GREATEST_PRODUCT = 64
GREATEST_FAST_PRODUCT = 8
_ANY_OPSET = 13
_KEEPS_BOUNDS = (
    "AveragePool",
    "Flatten",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Identity",
    "MaxPool",
    "ReduceMax",
    "ReduceMean",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
"""What these compute is no less than the least element of their first input."""


def needs_logarithm_of_zero(node: gs.Node) -> bool:
    """Whether a Pow by a positive constant other than 1 and 2 has a base that may be 0 or less."""
    exponents = known_value(node.inputs[1], _ANY_OPSET)
    if exponents is None or not exponents.size or not (exponents > 0).all():
        return False
    if (exponents == 1).all() or (exponents == 2).all():
        return False
    return least_element(node.inputs[0]) < LEAST


def is_whole_power(node: gs.Node) -> bool:
    """Whether a Pow is by one whole number, of which products are made: from 3 on, all multiply."""
    values = known_value(node.inputs[1], _ANY_OPSET)
    if values is None or not values.size or (values != values.flat[0]).any():
        return False
    p = float(values.flat[0])
    return p.is_integer() and 3 <= p <= GREATEST_FAST_PRODUCT and _has_plane(node)


def is_power_of_positive(node: gs.Node) -> bool:
    """Whether all of a map that a Pow raises is positive, and no exponent is whole."""
    values = known_value(node.inputs[1], _ANY_OPSET)
    if values is None or (values == np.floor(values)).any() or not _has_plane(node):
        return False
    return least_element(node.inputs[0]) >= LEAST


def _has_plane(node: gs.Node) -> bool:
    """Whether there is more than one position: behind global pooling nothing can be gained."""
    shape = node.outputs[0].shape
    return shape is not None and any(dim != 1 for dim in shape[2:])


def least_element(x: gs.Tensor) -> float:
    """A number that no element of `x` is below; 0 where it is not known to be positive."""
    if isinstance(x, gs.Constant):
        return max(float(x.values.min(initial=math.inf)), 0.0)
    node = x.inputs[0] if x.inputs else None
    if node is None:
        return 0.0
    if node.op == "Clip":
        return least_element(node.inputs[1]) if len(node.inputs) > 1 else 0.0
    if node.op == "Max":
        return max(map(least_element, node.inputs))
    if node.op == "Concat":
        return min(map(least_element, node.inputs))
    if node.op == "Pow":
        return _least_power(node)
    if node.op in _KEEPS_BOUNDS and not counts_padding(node):
        return least_element(node.inputs[0])
    return 0.0


def _least_power(node: gs.Node) -> float:
    exponents = known_value(node.inputs[1], _ANY_OPSET)
    least = least_element(node.inputs[0])
    if exponents is None or not exponents.size or least == 0:
        return 0.0
    return min(math.pow(min(least, 1.0), p) for p in (exponents.min(), exponents.max()))


def emit_product(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    if not is_whole_power(node):
        raise Unsupported(f"its exponent is no whole number up to {GREATEST_FAST_PRODUCT}")
    p = known_value(node.inputs[1], b.opset)
    assert p is not None
    return [product(b, node.inputs[0], int(p.flat[0]))]


def emit_exp_log(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    if not is_power_of_positive(node):
        raise Unsupported("its base is not known to be positive, or an exponent is whole")
    return [exp_log(b, node.inputs[0], node.inputs[1])]


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, exponent = node.inputs
    values = known_value(exponent, b.opset)
    if values is None or not values.size or not (values > 0).all():
        raise Unsupported("its exponent is no positive constant")
    p = float(values.flat[0])
    if (values == p).all() and values.ndim <= len(x.shape or ()):
        return [_power(b, node, p)]
    if (values == np.floor(values)).any():
        raise Unsupported("some of its exponents are whole, so that its base may be negative")
    return [_power_without_zero(b, node)]


def _power(b: Builder, node: gs.Node, p: float) -> gs.Tensor:
    if p == 0.5:
        return b.elementwise("Sqrt", node.inputs[0])
    if not p.is_integer():
        return _power_without_zero(b, node)
    if p > GREATEST_PRODUCT:
        raise Unsupported(f"it would be a product of {p:g} factors")
    return product(b, node.inputs[0], int(p))


def _power_without_zero(b: Builder, node: gs.Node) -> gs.Tensor:
    x, exponent = node.inputs
    shape = node.outputs[0].shape
    # Not Clip: ONNX Runtime's has no infinity.
    base = b.elementwise("Max", x, b.scalar(LEAST, x.dtype))
    power = b.node("Pow", [base, exponent], shape)
    one_or_zero = b.elementwise("Sqrt", b.elementwise("Sign", x))
    return b.node("Mul", [power, one_or_zero], shape)


PRODUCTS = Replacement("products", emit_product)
EXP_LOG = Replacement("Exp(p·Log(X))", emit_exp_log)
POWER_WITHOUT_ZERO = Replacement("a power of what is not 0", emit)
