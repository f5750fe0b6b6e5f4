"""Small tensors that nodes compute, where they say how large others are: shapes, axes, counts.

A bound on what a run costs depends on them, and what shapes follow: what is run is run by ONNX
Runtime.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from onnxpool.ops.op import Array

MOST = 1024
"""Elements. A larger tensor is no shape."""

Inputs = Sequence[Array | None]
Attributes = Mapping[str, Any]


def compute(node: onnx.NodeProto, inputs: Inputs) -> Array | None:
    """The one output of a node, of small inputs; None where that is not known."""
    rule = _RULES.get(node.op_type)
    if rule is None or any(value is None for value in inputs):
        return None
    try:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        with np.errstate(all="ignore"):
            return np.asarray(rule(attributes, *inputs))
    except (ValueError, TypeError, IndexError, OverflowError, ZeroDivisionError):
        return None


def _cast(attributes: Attributes, x: Array) -> Array:
    return x.astype(onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]))


def _div(_: Attributes, x: Array, y: Array) -> Array:
    if not np.issubdtype(x.dtype, np.integer):
        return np.asarray(x / y)
    return np.asarray(np.trunc(x / y)).astype(x.dtype)


def _mod(attributes: Attributes, x: Array, y: Array) -> Array:
    return np.asarray(np.fmod(x, y) if attributes.get("fmod") else np.mod(x, y))


def _concat(attributes: Attributes, *parts: Array) -> Array:
    return np.concatenate(parts, attributes["axis"])


def _gather(attributes: Attributes, x: Array, indices: Array) -> Array:
    return np.take(x, indices, attributes.get("axis", 0))


def _slice(attributes: Attributes, x: Array, *rest: Array) -> Array:
    if not rest:
        rest = tuple(
            np.asarray(attributes[name])
            for name in ("starts", "ends", "axes")
            if name in attributes
        )
    starts, ends = rest[:2]
    axes = rest[2] if len(rest) > 2 else range(len(starts))
    steps = rest[3] if len(rest) > 3 else [1] * len(starts)
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(
            int(start), None if step < 0 and end < -x.shape[axis] else int(end), step
        )
    return x[tuple(index)]


def _slice_of_sizes(attributes: Attributes, shape: Sequence[int]) -> Array:
    return np.asarray(shape[attributes.get("start", 0) : attributes.get("end")], np.int64)


def _squeeze(attributes: Attributes, x: Array, axes: Array | None = None) -> Array:
    chosen = attributes.get("axes") if axes is None else axes
    return np.squeeze(x, None if chosen is None else tuple(int(a) for a in np.ravel(chosen)))


def _unsqueeze(attributes: Attributes, x: Array, axes: Array | None = None) -> Array:
    chosen = np.ravel(attributes["axes"] if axes is None else axes)  # A number will do, too.
    return np.expand_dims(x, tuple(int(a) for a in chosen))


def _reshape(attributes: Attributes, x: Array, shape: Array) -> Array:
    keeps = not attributes.get("allowzero")
    sizes = [x.shape[i] if keeps and n == 0 else int(n) for i, n in enumerate(shape)]
    return x.reshape(sizes)


def _constant_of_shape(attributes: Attributes, shape: Array) -> Array:
    value = attributes.get("value")
    fill = np.zeros(1, np.float32) if value is None else onnx.numpy_helper.to_array(value)
    return np.full(_few(shape), fill.reshape(-1)[0], fill.dtype)


def _expand(_: Attributes, x: Array, shape: Array) -> Array:
    sizes = np.broadcast_shapes(x.shape, tuple(int(n) for n in shape))
    return np.broadcast_to(x, _few(sizes))


def _range(_: Attributes, start: Array, limit: Array, delta: Array) -> Array:
    first, last, step = (value.reshape(-1)[0] for value in (start, limit, delta))
    _few([max(0, math.ceil((float(last) - float(first)) / float(step)))])
    return np.arange(first, last, step).astype(start.dtype)


def _few(sizes: Sequence[int] | Array) -> list[int]:
    shape = [int(n) for n in sizes]
    if math.prod(shape) > MOST:
        raise ValueError("too many elements")
    return shape


def _reduction(reduce: Callable[..., Any]) -> Callable[..., Array]:
    def rule(attributes: Attributes, x: Array, axes: Array | None = None) -> Array:
        chosen = attributes.get("axes") if axes is None else axes
        if chosen is not None and len(chosen) == 0:
            chosen = None
        over = None if chosen is None else tuple(int(a) for a in chosen)
        keep = bool(attributes.get("keepdims", 1))
        return np.asarray(reduce(x, axis=over, keepdims=keep)).astype(x.dtype)

    return rule


def _elementwise(function: Callable[..., Any]) -> Callable[..., Array]:
    return lambda _, *operands: np.asarray(function(*operands))


def _folded(function: Callable[[Any, Any], Any]) -> Callable[..., Array]:
    def rule(_: Attributes, first: Array, *others: Array) -> Array:
        for other in others:
            first = function(first, other)
        return np.asarray(first)

    return rule


_RULES: Mapping[str, Callable[..., Any]] = {
    "Abs": _elementwise(np.abs),
    "Add": _elementwise(np.add),
    "And": _elementwise(np.logical_and),
    "Cast": _cast,
    "CastLike": lambda _, x, like: x.astype(like.dtype),
    "Ceil": _elementwise(np.ceil),
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Div": _div,
    "Equal": _elementwise(np.equal),
    "Expand": _expand,
    "Floor": _elementwise(np.floor),
    "Gather": _gather,
    "Greater": _elementwise(np.greater),
    "GreaterOrEqual": _elementwise(np.greater_equal),
    "Identity": _elementwise(np.asarray),
    "Less": _elementwise(np.less),
    "LessOrEqual": _elementwise(np.less_equal),
    "Max": _folded(np.maximum),
    "Min": _folded(np.minimum),
    "Mod": _mod,
    "Mul": _elementwise(np.multiply),
    "Neg": _elementwise(np.negative),
    "Not": _elementwise(np.logical_not),
    "Or": _elementwise(np.logical_or),
    "Range": _range,
    "ReduceMax": _reduction(np.max),
    "ReduceMin": _reduction(np.min),
    "ReduceProd": _reduction(np.prod),
    "ReduceSum": _reduction(np.sum),
    "Reshape": _reshape,
    "Round": _elementwise(np.round),
    "Shape": lambda attributes, x: _slice_of_sizes(attributes, x.shape),
    "Sign": _elementwise(np.sign),
    "Size": lambda _, x: np.asarray(x.size, np.int64),
    "Slice": _slice,
    "Sqrt": _elementwise(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _elementwise(np.subtract),
    "Unsqueeze": _unsqueeze,
    "Where": _elementwise(np.where),
}
