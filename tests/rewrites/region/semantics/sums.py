"""Nodes that add elements up or scale them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from onnxpool.ops.op import Array
from tests.rewrites.region.semantics.net import (
    Draw,
    Drawn,
    Net,
    Step,
    Tensor,
    integers,
    often,
    on_any_axis,
    some_axes,
)

_NUMBERS = [-2.0, -1.0, 0.0, 0.5, 1.0, 1e-6, 3.0]


def reduction(op: str, axes_are_inputs_since: int) -> Step:
    """A Reduce op; its axes are an attribute in older opsets."""

    def reduce(draw: Draw, net: Net, x: Tensor) -> str:
        axes: list[int] | None = some_axes(draw, x.rank, least=0)
        if draw(st.integers(0, 5)) == 0:
            axes = None
        if net.opset < 11 and axes is not None:
            axes = [axis % x.rank for axis in axes]
        more: dict[str, Any] = {}
        if draw(st.booleans()):
            more["keepdims"] = draw(st.integers(0, 1))
        if net.opset < axes_are_inputs_since:
            return net(op, x, **more, **({} if axes is None else {"axes": axes}))
        if draw(st.booleans()):
            more["noop_with_empty_axes"] = draw(st.integers(0, 1))
        return net(op, x, None if axes is None else integers(axes), **more)

    return reduce


def window(draw: Draw, net: Net, plane: tuple[int, ...], dilated_since: int) -> dict[str, Any]:
    """The attributes of a sliding window that mostly fits a plane."""
    fits = often(draw)
    kernel = [draw(st.integers(1, min(n, 3) if fits else 4)) for n in plane]
    more: dict[str, Any] = {"kernel_shape": kernel}
    if draw(st.booleans()):
        more["strides"] = [draw(st.integers(1, 3)) for _ in plane]
    if net.opset >= dilated_since and draw(st.booleans()):
        more["dilations"] = [draw(st.integers(1, 2)) for _ in plane]
    auto = draw(st.sampled_from([None, None, "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if auto is not None:
        more["auto_pad"] = auto
    if auto in (None, "NOTSET") and draw(st.booleans()):
        more["pads"] = [draw(st.integers(0, k - 1)) for _ in range(2) for k in kernel]
    return more


def average_pool(draw: Draw, net: Net, x: Tensor) -> str:
    more = window(draw, net, x.shape[2:], 19)
    if draw(st.booleans()):
        more["count_include_pad"] = draw(st.integers(0, 1))
    if net.opset >= 10 and draw(st.booleans()):
        more["ceil_mode"] = draw(st.integers(0, 1))
    return net("AveragePool", x, **more)


def global_average_pool(draw: Draw, net: Net, x: Tensor) -> str:
    return net("GlobalAveragePool", x)


def cumsum(draw: Draw, net: Net, x: Tensor) -> str:
    names = [name for name in ("exclusive", "reverse") if draw(st.booleans())]
    axis = np.array(on_any_axis(draw, x.rank), draw(st.sampled_from([np.int64, np.int32])))
    return net("CumSum", x, axis, **{name: draw(st.integers(0, 1)) for name in names})


def matmul(draw: Draw, net: Net, x: Tensor) -> str:
    left = draw(st.booleans())
    inner = x.shape[-1] if left or x.rank == 1 else x.shape[-2]
    outer = draw(st.integers(1, 4))
    shape = [inner, outer] if left else [outer, inner]
    if draw(st.integers(0, 5)) == 0:
        shape = [inner]
    elif draw(st.booleans()):
        shape = [*[1] * draw(st.integers(1, 2)), *shape]
    matrix = _matrix(draw, net, shape)
    return net("MatMul", x, matrix) if left else net("MatMul", matrix, x)


def _matrix(draw: Draw, net: Net, shape: list[int]) -> Array:
    count = int(np.prod(shape))
    values = draw(st.lists(st.sampled_from(_NUMBERS), min_size=count, max_size=count))
    return net.numbers(values).reshape(shape)


def gemm(draw: Draw, net: Net, x: Tensor) -> str:
    more: dict[str, Any] = {}
    for name in ("transA", "transB"):
        if draw(st.booleans()):
            more[name] = draw(st.integers(0, 1))
    for name in ("alpha", "beta"):
        if draw(st.booleans()):
            more[name] = draw(st.sampled_from([0.5, 2.0, -1.0, 0.0]))
    outer = draw(st.integers(1, 4))
    if on_the_left := draw(st.booleans()):
        rows, inner = x.shape[::-1] if more.get("transA") else x.shape
        columns = outer
        matrix = _matrix(draw, net, [outer, inner] if more.get("transB") else [inner, outer])
    else:
        inner, columns = x.shape[::-1] if more.get("transB") else x.shape
        rows = outer
        matrix = _matrix(draw, net, [inner, outer] if more.get("transA") else [outer, inner])
    factors = (x, matrix) if on_the_left else (matrix, x)
    shapes = [[columns], [1], [rows, columns], [1, columns], [rows, 1], []]
    if net.opset >= 11 and draw(st.booleans()):
        return net("Gemm", *factors, **more)
    return net("Gemm", *factors, _matrix(draw, net, draw(st.sampled_from(shapes))), **more)


def conv(draw: Draw, net: Net, x: Tensor) -> str:
    channels = x.shape[1]
    group = draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
    if draw(st.booleans()):
        group = channels
    more = window(draw, net, x.shape[2:], 1)
    kernel = more["kernel_shape"]
    if draw(st.booleans()):
        del more["kernel_shape"]
    if group > 1 or draw(st.booleans()):
        more["group"] = group
    made = group * draw(st.sampled_from([1, 1, 2]))
    alike = draw(st.booleans())
    one = _matrix(draw, net, [1 if alike else made, channels // group, *kernel])
    weights = np.broadcast_to(one, (made, *one.shape[1:]))
    bias = None if draw(st.booleans()) else _matrix(draw, net, [made])
    return net("Conv", x, weights, bias, **more)


def einsum(draw: Draw, net: Net, x: Tensor) -> str:
    own = "abcde"[: x.rank]
    gone = draw(st.sampled_from(own))
    other = draw(st.permutations([gone, "n"]))
    result = "".join(draw(st.permutations(own.replace(gone, "n"))))
    sizes = {**dict(zip(own, x.shape, strict=True)), "n": draw(st.integers(1, 3))}
    if not often(draw):
        result = draw(st.sampled_from([result.replace("n", ""), own, gone]))
    matrix = _matrix(draw, net, [sizes[name] for name in other])
    space = draw(st.sampled_from(["", " "]))
    terms = [(own, x), ("".join(other), matrix)]
    first, second = draw(st.permutations(terms))
    equation = f"{first[0]},{space}{second[0]}{space}->{space}{result}"
    return net("Einsum", first[1], second[1], equation=equation)


def beside(draw: Draw, net: Net, x: Tensor) -> Array:
    """A constant that broadcasts with a tensor: a number, one for each slice of an axis, or all."""
    if draw(st.booleans()):
        return net.numbers(draw(st.sampled_from(_NUMBERS)))
    shape = [n if draw(st.booleans()) else 1 for n in x.shape]
    shape = shape[draw(st.integers(0, x.rank - 1)) :]
    if draw(st.booleans()):
        shape = [n if n > 1 else draw(st.sampled_from([1, 1, 2])) for n in shape]
    if draw(st.integers(0, 5)) == 0:
        shape = [*[1] * (x.rank + 1 - len(shape)), *shape]
    return _matrix(draw, net, shape)


def total(op: str) -> Step:
    """A sum or a mean of tensors and constants."""

    def add(draw: Draw, net: Net, x: Tensor) -> str:
        counts = (2, 2) if op in ("Add", "Sub") else (1, 3)
        count = draw(st.integers(*counts))
        first = draw(st.integers(0, count - 1))
        parts: list[Tensor | Array] = []
        for index in range(count):
            own = index == first or draw(st.booleans())
            parts.append(x if own else beside(draw, net, x))
        return net(op, *parts)

    return add


SUMS = {
    "ReduceMean": Drawn(reduction("ReduceMean", 18)),
    "ReduceSum": Drawn(reduction("ReduceSum", 13)),
    "AveragePool": Drawn(average_pool, (3, 5), doubles=False),
    "GlobalAveragePool": Drawn(global_average_pool, (3, 5), doubles=False),
    "CumSum": Drawn(cumsum, oldest=11),
    "MatMul": Drawn(matmul),
    "Gemm": Drawn(gemm, (2, 2)),
    "Conv": Drawn(conv, (3, 5), doubles=False),
    "Einsum": Drawn(einsum, oldest=12),
    "Add": Drawn(total("Add")),
    "Sub": Drawn(total("Sub")),
    "Sum": Drawn(total("Sum"), oldest=8),
    "Mean": Drawn(total("Mean"), oldest=8, doubles=False),
}
