"""Ops of one element: clamps, powers, logarithms, products of a tensor with itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from onnxpool.ops.op import Array
from onnxpool.rewrites.region.combine import broadcast
from onnxpool.rewrites.region.semantics.call import Call
from onnxpool.rewrites.region.semantics.moves import constant_beside
from onnxpool.rewrites.region.semantics.sums import added, constant_rows, grouped, scaled
from onnxpool.rewrites.region.semantics.windows import gathered, sliding
from onnxpool.rewrites.region.terms import NOTHING, Logarithms, NotUnderstood, Value

_GREATEST = float(np.finfo(np.float32).max)


def mul(call: Call) -> Sequence[Value]:
    values = [operand for operand in call.inputs if isinstance(operand, Value)]
    if len(values) == 2:
        return [_product(*values)]
    index = 1 if isinstance(call.operand(0), Value) else 0
    return [scaled(values[0], call.constant(index).astype(np.float64))]


def div(call: Call) -> Sequence[Value]:
    x, divisor = call.value(), call.constant(1).astype(np.float64)
    if not np.all(divisor):
        raise NotUnderstood("Div by 0")
    return [scaled(x, 1 / divisor)]


def power(call: Call) -> Sequence[Value]:
    return [raised(call.value(), call.constant(1).astype(np.float64))]


def sqrt(call: Call) -> Sequence[Value]:
    return [raised(call.value(), np.array(0.5))]


def raised(x: Value, exponent: Array) -> Value:
    """`x` to the power of a constant that broadcasts to it."""
    x, beside = broadcast([x, constant_beside(x, exponent)])
    rows, by = x.each(), constant_rows(beside)
    if not np.all(by > 0):
        raise NotUnderstood("a power that is not positive")
    atomic = rows.atomic
    weights = rows.weights.sum(axis=1)
    single = atomic & (weights == 1)
    again = np.where(single, rows.power != 1, rows.root != 1)
    if np.any(again & (rows.least() < 0)):
        raise NotUnderstood("a power of a power of what may be negative")
    if np.any(atomic & ~single):
        raise NotUnderstood("a power of a multiple")
    return x.with_rows(
        dataclasses.replace(
            rows,
            power=np.where(single, rows.power * by, rows.power),
            root=np.where(single, rows.root, rows.root * by),
        )
    )


def _product(a: Value, b: Value) -> Value:
    """The product of two powers of the same elements."""
    a, b = broadcast([a, b])
    first, second = a.each(), b.each()
    pair = (first, second)
    if not all(np.all(rows.atomic & (rows.weights.sum(axis=1) == 1)) for rows in pair):
        raise NotUnderstood("a product of tensors that both depend on the input")
    elements = [np.where(r.terms == NOTHING, 0, r.terms).sum(axis=1) for r in pair]
    same = [elements[0] == elements[1], first.low == second.low, first.high == second.high]
    whole = np.logical_and.reduce([r.power == np.floor(r.power) for r in pair])
    if not np.all(np.logical_and.reduce(same)) or not np.all(whole | (first.least() >= 0)):
        raise NotUnderstood("a product of tensors that both depend on the input")
    return a.with_rows(dataclasses.replace(first, power=first.power + second.power))


def clip(call: Call) -> Sequence[Value]:
    bounds = []
    for name, index, none in (("min", 1, -math.inf), ("max", 2, math.inf)):
        found = call.attributes.get(name, call.optional(index))
        if call.opset < 11 and found is not None and abs(found) >= _GREATEST:
            found = None  # The default of the attribute.
        bounds.append(np.asarray(none if found is None else found, np.float64))
    return [clamped(call.value(), *bounds)]


def relu(call: Call) -> Sequence[Value]:
    return [clamped(call.value(), np.array(0.0), np.array(math.inf))]


def clamped(x: Value, low: Array, high: Array) -> Value:
    """min(max(x, low), high), constants that broadcast to `x`.

    A clamp that changes no value is none. Others are understood in front of a power alone.
    """
    x, lows, highs = broadcast([x, constant_beside(x, low), constant_beside(x, high)])
    rows, low, high = x.each(), constant_rows(lows), constant_rows(highs)
    idle = (low <= rows.least()) & np.isposinf(high)
    first = rows.atomic & (rows.power == 1) & (rows.weights.sum(axis=1) == 1)
    if not np.all(idle | first):
        raise NotUnderstood("a clamp of what is not the input itself")
    inside = [np.minimum(np.maximum(bound, low), high) for bound in (rows.low, rows.high)]
    return x.with_rows(
        dataclasses.replace(
            rows,
            low=np.where(idle, rows.low, inside[0]),
            high=np.where(idle, rows.high, inside[1]),
        )
    )


def absolute(call: Call) -> Sequence[Value]:
    x = call.value()
    if np.any(x.sums().least() < 0):
        raise NotUnderstood("an absolute value of what may be negative")
    return [x]


def logarithm(call: Call) -> Sequence[Value]:
    x = call.value()
    rows = x.sums()
    if np.any(rows.least() < 0):
        raise NotUnderstood("a logarithm of what may be negative")
    return [x.with_rows(Logarithms(rows, np.ones(len(rows))), x.ids)]


def exponential(call: Call) -> Sequence[Value]:
    x = call.value()
    if not isinstance(x.rows, Logarithms):
        raise NotUnderstood("an exponential of what is no logarithm")
    rows = x.rows.take(x.ids.reshape(-1))
    base = x.with_rows(rows.of)
    return [raised(base, rows.factor.reshape(base.ids.shape))]


def lp_pool(call: Call) -> Sequence[Value]:
    x = _powers(call)
    x.need_all(range(2, x.ids.ndim))
    ids = gathered(x.ids, sliding(call, x.ids.shape[2:], call.attributes["kernel_shape"]))
    return [_root(call, added(x, ids, np.array(1.0)))]


def global_lp_pool(call: Call) -> Sequence[Value]:
    x = _powers(call)
    axes = list(range(2, x.ids.ndim))
    x.need_all(axes)
    y = added(x, grouped(x, axes), np.array(1.0))
    return [_root(call, y.moved(y.ids.reshape([*y.ids.shape, *[1] * len(axes)]), x.carried))]


def _powers(call: Call) -> Value:
    """|x|^p."""
    x, p = call.value(), _order(call)
    if p % 2 and np.any(x.sums().least() < 0):
        raise NotUnderstood(f"{call.op} of an odd p, which takes absolute values")
    return raised(x, np.array(p))


def _root(call: Call, x: Value) -> Value:
    return raised(x, np.array(1 / _order(call)))


def _order(call: Call) -> float:
    return float(call.attributes.get("p", 2))
