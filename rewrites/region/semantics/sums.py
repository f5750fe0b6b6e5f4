"""Ops that add elements up or scale them: Y = Σ w·X + c, with constant w and c."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from onnxpool.ops.op import Array
from onnxpool.rewrites.region.combine import (
    broadcast,
    check_factors,
    combined,
    compressed,
    constant_like,
    join,
    with_rank,
)
from onnxpool.rewrites.region.semantics.call import Call, on_axes, on_axis
from onnxpool.rewrites.region.semantics.moves import constant_beside, transposed
from onnxpool.rewrites.region.semantics.windows import adaptive, gathered, sliding
from onnxpool.rewrites.region.terms import (
    NOTHING,
    Candidates,
    Impossible,
    Logarithms,
    NotUnderstood,
    Value,
    check_size,
)


def reduce_mean(call: Call) -> Sequence[Value]:
    return [_reduced(call, mean=True)]


def reduce_sum(call: Call) -> Sequence[Value]:
    return [_reduced(call, mean=False)]


def _reduced(call: Call, *, mean: bool) -> Value:
    x = call.value()
    axes = reduced_axes(call, x)
    if not axes:
        return x
    ids = grouped(x, axes)
    weight = 1 / ids.shape[-1] if mean else 1.0
    return without_axes(x, added(x, ids, np.array(weight)), axes, call)


def reduced_axes(call: Call, x: Value) -> list[int]:
    """The axes that a Reduce op reduces."""
    axes = call.integers("axes", 1)
    if not axes:
        noop = call.attributes.get("noop_with_empty_axes", 0)
        axes = [] if noop else list(range(x.ids.ndim))
    found = on_axes(axes, x.ids.ndim)
    x.need_all(found)
    return found


def grouped(x: Value, axes: Sequence[int]) -> Array:
    """``(…, R)``: the elements along `axes` last, those axes gone."""
    kept = [axis for axis in range(x.ids.ndim) if axis not in axes]
    lead = [x.ids.shape[axis] for axis in kept]
    count = math.prod(x.ids.shape[axis] for axis in axes)
    if not count:
        raise Impossible("a reduction of no elements")
    return x.ids.transpose([*kept, *axes]).reshape([*lead, count])


def without_axes(x: Value, reduced: Value, axes: Sequence[int], call: Call) -> Value:
    """What a Reduce op makes of its result, whose axes are those that it keeps."""
    kept = [axis for axis in range(x.ids.ndim) if axis not in axes]
    if call.attributes.get("keepdims", 1):
        ids = reduced.ids.reshape([1 if a in axes else n for a, n in enumerate(x.ids.shape)])
        return reduced.moved(ids, x.carried)
    carried = {kept.index(axis): labels for axis, labels in x.carried.items()}
    return reduced.moved(reduced.ids, carried)


def added(x: Value, ids: Array, weights: Array) -> Value:
    """Weighted sums of rows of `x`.

    Args:
        ids: ``(…, R)``, `NOTHING` where there is none.
        weights: broadcasts to it.
    """
    lead = ids.shape[:-1]
    flat = ids.reshape(-1, ids.shape[-1])
    weights = np.broadcast_to(weights, ids.shape).reshape(flat.shape)
    return x.with_rows(combined(x.sums(), flat, weights), np.arange(len(flat)).reshape(lead))


def cumsum(call: Call) -> Sequence[Value]:
    x, axis = call.value(), on_axis(int(call.constant(1).reshape(())), call.value().ids.ndim)
    n = x.ids.shape[axis]
    before = np.tri(n, n, -1 if call.attributes.get("exclusive", 0) else 0)
    matrix = before if call.attributes.get("reverse", 0) else before.T
    return [mixed(x, axis, matrix)]


def mixed(x: Value, axis: int, matrix: Array) -> Value:
    """Y[…, j, …] = Σ_i X[…, i, …] · matrix[i, j], along `axis`."""
    x.need_all([axis])
    if x.ids.shape[axis] != len(matrix):
        raise Impossible(f"a matrix of {len(matrix)} rows on an axis of {x.ids.shape[axis]}")
    there = matrix != 0
    most = max(int(there.sum(axis=0).max(initial=0)), 1)
    chosen = np.argsort(~there, axis=0, kind="stable")[:most].T
    moved = np.moveaxis(x.ids, axis, -1)
    check_size(moved[..., :1].size * chosen.size)
    weights = np.take_along_axis(matrix.T, chosen, axis=1)
    ids = np.where(np.take_along_axis(there.T, chosen, axis=1), moved[..., chosen], NOTHING)
    y = added(x, ids, weights)
    return x.with_rows(y.rows, np.moveaxis(y.ids, -1, axis))


def matmul(call: Call) -> Sequence[Value]:
    left = call.operand(0)
    if isinstance(left, Value):
        array = call.constant(1)
        y = mixed(left, left.ids.ndim - 1, _matrix(array))
        return [with_rank(y, max(y.ids.ndim, array.ndim - (left.ids.ndim == 1)))]
    x, array = call.value(1), call.constant(0)
    if x.ids.ndim < 2:
        raise NotUnderstood("MatMul with a vector")
    y = mixed(x, x.ids.ndim - 2, _matrix(array).T)
    return [with_rank(y, max(y.ids.ndim, array.ndim))]


def _matrix(array: Array) -> Array:
    if array.ndim < 2 or math.prod(array.shape[:-2]) != 1:
        raise NotUnderstood("MatMul with several matrices, or a vector")
    return array.reshape(array.shape[-2:]).astype(np.float64)


def gemm(call: Call) -> Sequence[Value]:
    on_the_left = isinstance(call.operand(0), Value)
    x = call.value(0 if on_the_left else 1)
    matrix = call.constant(1 if on_the_left else 0).astype(np.float64)
    turned, other = ("transA", "transB") if on_the_left else ("transB", "transA")
    if call.attributes.get(turned, 0):
        x = transposed(x, [1, 0])
    if call.attributes.get(other, 0):
        matrix = matrix.T
    alpha = float(call.attributes.get("alpha", 1.0))
    y = mixed(x, 1, matrix * alpha) if on_the_left else mixed(x, 0, matrix.T * alpha)
    bias = call.optional(2)
    if bias is None:
        return [y]
    return [shifted(y, bias.astype(np.float64) * float(call.attributes.get("beta", 1.0)))]


def conv(call: Call) -> Sequence[Value]:
    x, weights, bias = call.value(), call.constant(1).astype(np.float64), call.optional(2)
    x.need_all(range(2, x.ids.ndim))
    group = int(call.attributes.get("group", 1))
    depthwise = group == len(weights) == x.shape[1] and weights.shape[1] == 1
    if not depthwise:
        x.need_all([1])
    elif 1 in x.carried:
        weights = constant_like(x, weights.reshape(1, *weights.shape)[:, :, 0])[0][:, None]
    channels, inputs = len(weights), weights.shape[1]
    kernel = weights.shape[2:]
    if list(call.attributes.get("kernel_shape", kernel)) != list(kernel):
        raise Impossible("Conv whose kernel_shape is not that of its weight")
    ids = gathered(x.ids, sliding(call, x.ids.shape[2:], kernel))
    if not depthwise:
        n = ids.shape[0]
        if x.ids.shape[1] != group * inputs or channels % group:
            raise Impossible("Conv of another number of channels")
        per_group = ids.reshape(n, group, inputs, *ids.shape[2:])
        ids = np.moveaxis(per_group, 2, -2).reshape(n, group, *ids.shape[2:-1], -1)
        ids = np.repeat(ids, channels // group, axis=1)
    flat = weights.reshape(channels, *(1,) * len(kernel), -1)
    check_size(ids.size)
    y = added(x, ids, flat)
    if bias is None:
        return [y]
    return [shifted(y, bias.astype(np.float64).reshape(-1, *(1,) * len(kernel)))]


def average_pool(call: Call) -> Sequence[Value]:
    x = call.value()
    plane = x.ids.shape[2:]
    x.need_all(range(2, x.ids.ndim))
    kernel = call.attributes["kernel_shape"]
    ids = gathered(x.ids, sliding(call, plane, kernel))
    counted = (ids != NOTHING).sum(axis=-1, keepdims=True)
    if call.attributes.get("count_include_pad", 0):
        counted = np.full_like(counted, ids.shape[-1])
    if not counted.all():
        raise NotUnderstood("AveragePool with a window of padding alone")
    return [added(x, ids, 1 / counted)]


def global_average_pool(call: Call) -> Sequence[Value]:
    x = call.value()
    axes = list(range(2, x.ids.ndim))
    x.need_all(axes)
    ids = grouped(x, axes)
    y = added(x, ids, np.array(1 / ids.shape[-1]))
    return [y.moved(y.ids.reshape([*y.ids.shape, *[1] * len(axes)]), x.carried)]


def adaptive_average(x: Value, size: Sequence[int]) -> Value:
    """What an AdaptiveAveragePool makes of its input; sizes in numbers."""
    k = len(size)
    x.need_all(
        [a for a, n in enumerate(size, x.ids.ndim - k) if a in x.carried and n != x.shape[a]]
    )
    plane = x.ids.shape[-k:]
    bins = [1 if x.ids.ndim - k + i in x.carried else n for i, n in enumerate(size)]
    ids = gathered(x.ids, adaptive(plane, bins))
    return added(x, ids, 1 / (ids != NOTHING).sum(axis=-1, keepdims=True))


def einsum(call: Call) -> Sequence[Value]:
    """One contraction of a tensor with a matrix: ``ab…,bc->ac…``."""
    equation = str(call.attributes.get("equation", "")).replace(" ", "")
    terms, _, result = equation.partition("->")
    names = terms.split(",")
    if "." in equation or not result or len(names) != 2 or len(call.inputs) != 2:
        raise NotUnderstood(f"Einsum {equation}")
    index = next(i for i, operand in enumerate(call.inputs) if isinstance(operand, Value))
    x, matrix = call.value(index), call.constant(1 - index).astype(np.float64)
    own, other = names[index], names[1 - index]
    gone = [n for n in other if n in own and n not in result]
    new = [n for n in other if n not in own]
    simple = (
        len(gone) == len(new) == 1 and len(other) == matrix.ndim == 2 and len(set(own)) == len(own)
    )
    if not simple or sorted(result) != sorted(own.replace(gone[0], new[0])):
        raise NotUnderstood(f"Einsum {equation}")
    if other[0] == new[0]:
        matrix = matrix.T
    y = mixed(x, own.index(gone[0]), matrix)
    return [transposed(y, [own.replace(gone[0], new[0]).index(n) for n in result])]


def add(call: Call) -> Sequence[Value]:
    return [_total(call, [1.0] * len(call.inputs))]


def mean(call: Call) -> Sequence[Value]:
    return [_total(call, [1 / len(call.inputs)] * len(call.inputs))]


def sub(call: Call) -> Sequence[Value]:
    return [_total(call, [1.0, -1.0])]


def _total(call: Call, weights: Sequence[float]) -> Value:
    """A weighted sum of tensors and constants."""
    total: Value | None = None
    constants: list[Array] = []
    for operand, weight in zip(call.inputs, weights, strict=True):
        if not isinstance(operand, Value):
            constants.append(np.asarray(operand, np.float64) * weight)
        else:
            part = operand if weight == 1 else scaled(operand, np.array(weight))
            total = part if total is None else _sum(total, part)
    assert total is not None
    for constant in constants:
        total = shifted(total, constant)
    return total


def _sum(a: Value, b: Value) -> Value:
    a, b = broadcast([a, b])
    first, second = a.each(), b.each()
    joined = a.with_rows(first)
    both = np.stack([joined.ids, joined.ids + joined.ids.size], axis=-1)
    rows, _ = join([first, second])
    return added(a.with_rows(rows), both, np.array(1.0))


def shifted(x: Value, constant: Array) -> Value:
    """`x` plus a constant that broadcasts to it."""
    if not np.any(constant) and _fits(x, constant):
        return x
    x, beside = broadcast([x, constant_beside(x, constant)])
    rows = x.each()
    if np.any(rows.root != 1):
        raise NotUnderstood("a constant added to a root")
    return x.with_rows(dataclasses.replace(rows, offset=rows.offset + constant_rows(beside)))


def constant_rows(beside: Value) -> Array:
    return beside.sums().offset[beside.ids.reshape(-1)]


def _fits(x: Value, constant: Array) -> bool:
    """Whether broadcasting with a constant leaves `x` its shape."""
    try:
        return np.broadcast_shapes(x.shape, constant.shape) == x.shape
    except ValueError:
        return False


def scaled(x: Value, factor: Array) -> Value:
    """`x` times a constant that broadcasts to it."""
    if isinstance(x.rows, Candidates):
        raise NotUnderstood("a multiple of a maximum")
    x, beside = broadcast([x, constant_beside(x, factor)])
    by = constant_rows(beside)
    if not np.isfinite(by).all():
        raise NotUnderstood("an infinite multiple")
    check_factors(by)
    if isinstance(x.rows, Logarithms):
        rows = x.rows.take(x.ids.reshape(-1))
        return x.with_rows(dataclasses.replace(rows, factor=rows.factor * by))
    return x.with_rows(compressed(x.each().scaled(by)))
