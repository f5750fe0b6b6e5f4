"""Nodes that pick the greatest element, or say where it stood; and arithmetic of indices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from onnxpool.ops.op import Array
from tests.rewrites.region.semantics.moves import pad
from tests.rewrites.region.semantics.net import Draw, Drawn, Net, Step, Tensor, on_any_axis
from tests.rewrites.region.semantics.sums import beside, reduction, total, window


def max_pool(draw: Draw, net: Net, x: Tensor) -> str:
    return _max_pool(draw, net, x)[draw(st.integers(0, 1))]


def _max_pool(draw: Draw, net: Net, x: Tensor) -> list[str]:
    more = window(draw, net, x.shape[2:], 10)
    if net.opset >= 10 and draw(st.booleans()):
        more["ceil_mode"] = draw(st.integers(0, 1))
    if net.opset >= 8 and draw(st.integers(0, 3)) == 0:
        more["storage_order"] = draw(st.integers(0, 1))
    return net.several("MaxPool", 2, x, **more)


def global_max_pool(draw: Draw, net: Net, x: Tensor) -> str:
    return net("GlobalMaxPool", x)


def argmax(draw: Draw, net: Net, x: Tensor) -> str:
    more: dict[str, Any] = {}
    if draw(st.booleans()):
        more["axis"] = on_any_axis(draw, x.rank)
        if net.opset < 11:
            more["axis"] %= x.rank
    if draw(st.booleans()):
        more["keepdims"] = draw(st.integers(0, 1))
    if net.opset >= 12 and draw(st.booleans()):
        more["select_last_index"] = draw(st.integers(0, 1))
    if draw(st.integers(0, 3)) == 0:
        padded = pad(draw, net, x)
        x = Tensor(padded, x.shape)
    return net("ArgMax", x, **more)


def maximum(draw: Draw, net: Net, x: Tensor) -> str:
    parts: list[Tensor | Array] = [x]
    if draw(st.booleans()):
        axis = draw(st.integers(0, x.rank - 1))
        order = np.arange(x.shape[axis])[::-1]
        parts.append(Tensor(net("Gather", x, order, axis=axis), x.shape))
    if draw(st.booleans()):
        parts.append(_number(draw, net, x))
    return net("Max", *draw(st.permutations(parts)))


def _number(draw: Draw, net: Net, x: Tensor) -> Array:
    if draw(st.booleans()):
        return net.numbers(draw(st.sampled_from([-np.inf, 0.0])))
    return beside(draw, net, x)


def minimum(draw: Draw, net: Net, x: Tensor) -> str:
    parts: list[Tensor | Array] = [x, *[_number(draw, net, x)] * draw(st.integers(0, 1))]
    if draw(st.integers(0, 5)) == 0:
        parts.append(x)
    return net("Min", *draw(st.permutations(parts)))


def indices(draw: Draw, net: Net, x: Tensor) -> Tensor:
    """Where maxima stood, of the shape that the plane keeps or loses."""
    if x.rank > 2 and net.opset >= 8 and draw(st.booleans()):
        kernel = [draw(st.integers(1, n)) for n in x.shape[2:]]
        places = net.several("MaxPool", 2, x, kernel_shape=kernel)[1]
        plane = (n - k + 1 for n, k in zip(x.shape[2:], kernel, strict=True))
        return Tensor(places, (*x.shape[:2], *plane))
    axis = draw(st.integers(0, x.rank - 1))
    shape = tuple(1 if a == axis else n for a, n in enumerate(x.shape))
    return Tensor(net("ArgMax", x, axis=axis), shape)


def shift(op: str) -> Step:
    """Of indices: a number, or the first positions of the windows, taken off or added."""

    def shifted(draw: Draw, net: Net, x: Tensor) -> str:
        if x.rank > 2 and net.opset >= 8 and draw(st.booleans()):
            kernel = [draw(st.integers(1, n)) for n in x.shape[2:]]
            there = net.several("MaxPool", 2, x, kernel_shape=kernel)[1]
            each = net.several("MaxPool", 2, x, kernel_shape=[1] * len(kernel))[1]
            lead = (*x.shape[:2], *(n - k + 1 for n, k in zip(x.shape[2:], kernel, strict=True)))
            axes = list(range(2, x.rank))
            firsts = _corner(net, Tensor(each, x.shape), axes, [0] * len(axes), list(lead[2:]))
            return net(op, Tensor(there, lead), Tensor(firsts, lead))
        places = indices(draw, net, x)
        shape = [n if draw(st.booleans()) else 1 for n in places.shape]
        by = _integers(draw, shape)
        return net(op, places, by) if draw(st.integers(0, 3)) else net(op, by, places)

    return shifted


def _corner(net: Net, x: Tensor, axes: list[int], starts: list[int], ends: list[int]) -> str:
    if net.opset < 10:
        return net("Slice", x, axes=axes, starts=starts, ends=ends)
    return net("Slice", x, *(np.array(n, np.int64) for n in (starts, ends, axes)))


def _integers(draw: Draw, shape: list[int]) -> Array:
    count = math.prod(shape)
    values = draw(st.lists(st.integers(-9, 9), min_size=count, max_size=count))
    return np.array(values, np.int64).reshape(shape)


def index_or_sum(op: str) -> Step:
    of_numbers, of_indices = total(op), shift(op)

    def either(draw: Draw, net: Net, x: Tensor) -> str:
        return (of_numbers if draw(st.booleans()) else of_indices)(draw, net, x)

    return either


def modulo(draw: Draw, net: Net, x: Tensor) -> str:
    places = indices(draw, net, x)
    if draw(st.booleans()):
        by = _integers(draw, [1] * draw(st.integers(0, places.rank)))
        places = Tensor(net(draw(st.sampled_from(["Add", "Sub"])), places, by), places.shape)
    plane = math.prod(x.shape[2:])
    divisor = draw(st.sampled_from([plane, plane, x.shape[-1], 2, 3, -2, 5]))
    more = {"fmod": draw(st.integers(0, 1))} if draw(st.booleans()) else {}
    return net("Mod", places, np.array(divisor, np.int64), **more)


def cast(draw: Draw, net: Net, x: Tensor) -> str:
    """Of indices; behind it another number is added, which a type may not hold."""
    to = draw(st.sampled_from([6, 7, 7, 6, 1, 2, 3, 9, 11, 12, 13]))
    more = {}
    if net.opset >= 19 and draw(st.booleans()):
        more["saturate"] = draw(st.integers(0, 1))
    if net.opset >= 24 and draw(st.booleans()):
        more["round_mode"] = draw(st.sampled_from(["up", "down", "nearest"]))
    places = indices(draw, net, x)
    if draw(st.booleans()):
        places = Tensor(net("Add", places, np.array(draw(st.integers(-300, 300)))), places.shape)
    return net("Cast", places, to=to, **more)


MAXIMA = {
    "ReduceMax": Drawn(reduction("ReduceMax", 18)),
    "MaxPool": Drawn(max_pool, (3, 5), oldest=8),
    "GlobalMaxPool": Drawn(global_max_pool, (3, 5), doubles=False),
    "Max": Drawn(maximum, oldest=8),
    "Min": Drawn(minimum, oldest=8),
    "ArgMax": Drawn(argmax),
    "Mod": Drawn(modulo, oldest=10),
    "Cast": Drawn(cast),
}
ARITHMETIC = {"Add": Drawn(index_or_sum("Add")), "Sub": Drawn(index_or_sum("Sub"))}
