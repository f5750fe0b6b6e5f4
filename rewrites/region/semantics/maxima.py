"""Ops that pick the greatest of several elements, or say where it stood."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from onnx import TensorProto

from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.tensors import is_float, onnx_type
from onnxpool.rewrites.region.combine import broadcast, candidates
from onnxpool.rewrites.region.semantics.call import Call
from onnxpool.rewrites.region.semantics.moves import constant_beside
from onnxpool.rewrites.region.semantics.powers import clamped
from onnxpool.rewrites.region.semantics.sums import grouped, reduced_axes, without_axes
from onnxpool.rewrites.region.semantics.windows import gathered, sliding
from onnxpool.rewrites.region.terms import (
    NOTHING,
    Candidates,
    Ids,
    Impossible,
    NotCarried,
    NotUnderstood,
    Sums,
    Value,
    check_size,
)


def reduce_max(call: Call) -> Sequence[Value]:
    x = call.value()
    axes = reduced_axes(call, x)
    if not axes:
        return [x]
    return [without_axes(x, _greatest(x, grouped(x, axes)), axes, call)]


def global_max_pool(call: Call) -> Sequence[Value]:
    x = call.value()
    axes = list(range(2, x.ids.ndim))
    x.need_all(axes)
    y = _greatest(x, grouped(x, axes))
    return [y.moved(y.ids.reshape([*y.ids.shape, *[1] * len(axes)]), x.carried)]


def max_pool(call: Call) -> Sequence[Value]:
    x = call.value()
    if call.attributes.get("storage_order", 0):
        raise NotUnderstood("MaxPool with storage_order 1")
    x.need_all(range(2, x.ids.ndim))
    tables = sliding(call, x.ids.shape[2:], call.attributes["kernel_shape"])
    ids = gathered(x.ids, tables)
    if not np.all((ids != NOTHING).any(axis=-1)):
        raise NotUnderstood("MaxPool with a window of padding alone")
    values = _greatest(x, ids)
    return [values, _stood_at(x, ids, tables)] if call.outputs > 1 else [values]


def _greatest(x: Value, ids: Ids) -> Value:
    """The greatest of the rows in each ``(…, R)``."""
    rows = candidates(x.rows)
    if rows.payload is not None:
        raise NotUnderstood("a maximum of indices")
    flat = ids.reshape(-1, ids.shape[-1])
    check_size(flat.size * rows.terms.shape[1])
    there = flat != NOTHING
    width = flat.shape[1] * rows.terms.shape[1]
    terms = np.where(there[..., None], rows.terms[flat], NOTHING).reshape(len(flat), width)
    floor = np.where(there, rows.floor[flat], -np.inf).max(axis=1, initial=-np.inf)
    lead = np.arange(len(flat)).reshape(ids.shape[:-1])
    return x.with_rows(Candidates(terms, floor), lead)


def _stood_at(x: Value, ids: Ids, tables: Sequence[Ids]) -> Value:
    """MaxPool's Indices: positions in the flattened tensor, all of its planes behind each other."""
    shape = x.shape
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    own = np.zeros(x.ids.shape, np.int64)
    for axis, size in enumerate(x.ids.shape):
        own += (np.arange(size) * strides[axis]).reshape(-1, *(1,) * (x.ids.ndim - axis - 1))
    places = gathered(own, tables)
    steps = {}
    for axis, labels in x.carried.items():
        step = strides[axis]
        for label in reversed(labels):
            steps[label] = step
            step *= x.sizes[label]
    return dataclasses.replace(_with_payload(x, ids, places), steps=steps)


def _with_payload(x: Value, ids: Ids, payload: Ids) -> Value:
    """For the greatest of each ``(…, R)`` of single elements, the integer that stands for it."""
    rows = candidates(x.rows)
    if rows.payload is not None or rows.terms.shape[1] != 1 or np.any(rows.floor != -np.inf):
        raise NotUnderstood("the position of a maximum of maxima")
    flat = ids.reshape(-1, ids.shape[-1])
    terms = np.where(flat != NOTHING, rows.terms[flat, 0], NOTHING)
    if np.any((terms == NOTHING) & (flat != NOTHING)):
        raise NotUnderstood("the position of a maximum of elements and constants")
    places = np.where(flat != NOTHING, payload.reshape(flat.shape), 0)
    lead = np.arange(len(flat)).reshape(ids.shape[:-1])
    return x.with_rows(Candidates(terms, np.full(len(flat), -np.inf), places), lead)


def argmax(call: Call) -> Sequence[Value]:
    x, axis = call.value(), call.axis(0)
    x.need_all([axis])
    ids = grouped(x, [axis])
    places = np.broadcast_to(np.arange(ids.shape[-1]), ids.shape)
    if call.attributes.get("select_last_index", 0):
        ids, places = ids[..., ::-1], places[..., ::-1]
    return [without_axes(x, _with_payload(x, ids, places), [axis], call)]


def maximum(call: Call) -> Sequence[Value]:
    """Max with constants: a clamp. Of several tensors a NaN wins, unlike in the other maxima."""
    y = call.value_anywhere()
    if sum(isinstance(operand, Value) for operand in call.inputs) > 1:
        raise NotUnderstood("Max of several tensors, in which a NaN wins")
    for constant in (np.asarray(c, np.float64) for c in call.inputs if not isinstance(c, Value)):
        y = _at_least(y, constant)
    return [y]


def _at_least(x: Value, constant: Array) -> Value:
    if isinstance(x.rows, Sums):
        return clamped(x, constant, np.array(math.inf))
    if np.all(np.isneginf(constant)):
        return broadcast([x, constant_beside(x, constant)])[0]
    raise NotUnderstood("a constant that competes with a maximum")


def minimum(call: Call) -> Sequence[Value]:
    """Min with constants: a clamp."""
    y = call.value_anywhere()
    if sum(isinstance(operand, Value) for operand in call.inputs) > 1:
        raise NotUnderstood("a minimum of several tensors")
    for constant in (np.asarray(c, np.float64) for c in call.inputs if not isinstance(c, Value)):
        y = clamped(y, np.array(-math.inf), constant)
    return [y]


def shift_indices(call: Call, sign: int) -> Sequence[Value] | None:
    """Add or Sub of indices; None where the tensors are no indices."""
    a, b = call.operand(0), call.operand(1)
    found = [v for v in (a, b) if isinstance(v, Value) and _is_index(v)]
    if not found:
        return None
    if len(found) == 2:
        return [_difference(found[0], found[1], sign)]
    if not isinstance(a, Value):
        raise NotUnderstood(f"{call.op} of a constant and an index")
    return [_mapped(a, call.constant(1), lambda payload, c: payload + sign * c)]


def _is_index(value: Value) -> bool:
    return isinstance(value.rows, Candidates) and value.rows.payload is not None


def _difference(a: Value, b: Value, sign: int) -> Value:
    """Of two indices one is the same whatever X is."""
    if a.steps != b.steps:
        raise NotCarried(next(iter({**a.steps, **b.steps})))
    a, b = broadcast([a, b])
    rows = b.rows.take(b.ids.reshape(-1))
    assert isinstance(rows, Candidates)
    if rows.payload is None or np.any((rows.terms != NOTHING).sum(axis=1) != 1) or sign > 0:
        raise NotUnderstood("a sum of two indices")
    there = (rows.terms != NOTHING).argmax(axis=1)[:, None]
    fixed = np.take_along_axis(rows.payload, there, axis=1).reshape(b.ids.shape)
    shifted = _mapped(a, fixed, lambda payload, c: payload - c)
    return dataclasses.replace(shifted, steps={})


def _mapped(x: Value, constant: Array, change: Callable[[Ids, Ids], Ids]) -> Value:
    x, beside = broadcast([x, constant_beside(x, np.asarray(constant, np.float64))])
    rows = x.rows.take(x.ids.reshape(-1))
    assert isinstance(rows, Candidates)
    assert rows.payload is not None
    by = beside.sums().offset[beside.ids.reshape(-1)].astype(np.int64)[:, None]
    payload = change(rows.payload, by)
    return x.with_rows(dataclasses.replace(rows, payload=payload))


def modulo(call: Call) -> Sequence[Value]:
    """Mod of indices."""
    x, divisor = call.value(), call.constant(1)
    if not _is_index(x) or call.attributes.get("fmod", 0) or divisor.size != 1:
        raise NotUnderstood("Mod of what is no index")
    n = int(divisor.reshape(()))
    if n == 0:
        raise Impossible("Mod by 0")
    for label, step in x.steps.items():
        if n <= 0 or step % n:
            raise NotCarried(label)
    remainder = _mapped(x, divisor, lambda payload, c: payload % c)
    return [dataclasses.replace(remainder, steps={})]


def cast(call: Call) -> Sequence[Value]:
    """Of indices, to a type that holds them all; of others, to floating point.

    Whether an op may round where it does is judged of the whole region (see casts.py).
    """
    x, to = call.value(), onnx_type(call.attributes.get("to"))
    if not _is_index(x):
        if not is_float(to):
            raise NotUnderstood("a Cast to integers, which rounds")
        return [x]
    if to == TensorProto.INT64:
        return [x]
    if to != TensorProto.INT32:
        raise NotUnderstood("a Cast of indices to what is not int32 or int64")
    for label in x.steps:
        raise NotCarried(label)
    assert isinstance(x.rows, Candidates)
    assert x.rows.payload is not None
    if np.any(x.rows.payload.astype(np.int32) != x.rows.payload):
        raise NotUnderstood("a Cast of indices that int32 does not hold")
    return [x]
