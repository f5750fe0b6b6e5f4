"""Nodes of one element: clamps, powers, logarithms; and pools of powers."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from onnxpool.ops.op import Array
from tests.rewrites.region.semantics.net import Draw, Drawn, Net, Step, Tensor, often
from tests.rewrites.region.semantics.sums import beside, window

_EXPONENTS = [1.0, 2.0, 3.0, 0.5, 2.5, 1 / 3, 4.0]


def mul(draw: Draw, net: Net, x: Tensor) -> str:
    if draw(st.booleans()):
        return net("Mul", x, x)
    constant = beside(draw, net, x)
    return net("Mul", x, constant) if draw(st.booleans()) else net("Mul", constant, x)


def div(draw: Draw, net: Net, x: Tensor) -> str:
    divisor = beside(draw, net, x)
    if often(draw):
        divisor = np.where(divisor == 0, net.numbers(4), divisor)
    return net("Div", x, divisor) if often(draw) else net("Div", divisor, x)


def power(draw: Draw, net: Net, x: Tensor) -> str:
    x = _not_negative(draw, net, x)
    if not often(draw):
        return net("Pow", x, net.numbers(draw(st.sampled_from([0.0, -1.0]))))
    return net("Pow", x, _per_element(draw, net, x, _EXPONENTS))


def _per_element(draw: Draw, net: Net, x: Tensor, values: list[float]) -> Array:
    """A number, or one for each slice of an axis."""
    shape = [1] * x.rank
    if draw(st.booleans()):
        axis = draw(st.integers(0, x.rank - 1))
        shape[axis] = x.shape[axis]
    count = math.prod(shape)
    found = draw(st.lists(st.sampled_from(values), min_size=count, max_size=count))
    return net.numbers(found).reshape(shape) if count > 1 else net.numbers(found[0])


def _not_negative(draw: Draw, net: Net, x: Tensor) -> Tensor:
    """Mostly the tensor behind a clamp."""
    kind = draw(st.sampled_from(["itself", "clip", "relu", "max"]))
    if kind == "relu":
        return Tensor(net("Relu", x), x.shape)
    if kind == "max" and net.opset >= 8:
        return Tensor(net("Max", x, net.numbers(0.25)), x.shape)
    return Tensor(clip(draw, net, x), x.shape) if kind == "clip" else x


def sqrt(draw: Draw, net: Net, x: Tensor) -> str:
    return net("Sqrt", _not_negative(draw, net, x))


def exponential(draw: Draw, net: Net, x: Tensor) -> str:
    """x^p as it is written with Exp and Log."""
    logarithms = Tensor(net("Log", _not_negative(draw, net, x)), x.shape)
    if not often(draw, 4):
        return net("Exp", logarithms)
    return net("Exp", Tensor(mul_by_exponents(draw, net, logarithms), x.shape))


def mul_by_exponents(draw: Draw, net: Net, x: Tensor) -> str:
    by = _per_element(draw, net, x, _EXPONENTS)
    return net("Mul", x, by) if draw(st.booleans()) else net("Mul", by, x)


def logarithm(draw: Draw, net: Net, x: Tensor) -> str:
    return net("Log", _not_negative(draw, net, x))


def clip(draw: Draw, net: Net, x: Tensor) -> str:
    low, high = (
        draw(st.sampled_from([None, *numbers]))
        for numbers in ([0.0, 0.25, -1.0, 1e-6], [1.0, 0.0, 6.0])
    )
    if net.opset < 11:
        bounds = {"min": low, "max": high}
        return net("Clip", x, **{k: v for k, v in bounds.items() if v is not None})
    return net("Clip", x, *(None if n is None else net.numbers(n) for n in (low, high)))


def clamps(draw: Draw, net: Net, x: Tensor) -> str:
    """One clamp, or one behind another."""
    for _ in range(draw(st.integers(0, 1))):
        x = Tensor(clip(draw, net, x), x.shape)
    return clip(draw, net, x)


def behind_a_clamp(op: str) -> Step:
    return lambda draw, net, x: net(op, _not_negative(draw, net, x))


def lp_pool(draw: Draw, net: Net, x: Tensor) -> str:
    more = window(draw, net, x.shape[2:], 18)
    if net.opset >= 18 and draw(st.booleans()):
        more["ceil_mode"] = draw(st.integers(0, 1))
    if draw(st.booleans()):
        more["p"] = draw(st.integers(1, 4))
    return net("LpPool", _not_negative(draw, net, x), **more)


def global_lp_pool(draw: Draw, net: Net, x: Tensor) -> str:
    more = {"p": draw(st.integers(1, 4))} if draw(st.booleans()) else {}
    return net("GlobalLpPool", _not_negative(draw, net, x), **more)


POWERS = {
    "Mul": Drawn(mul),
    "Div": Drawn(div),
    "Pow": Drawn(power),
    "Sqrt": Drawn(sqrt),
    "Exp": Drawn(exponential),
    "Log": Drawn(logarithm),
    "Clip": Drawn(clamps),
    "Relu": Drawn(behind_a_clamp("Relu")),
    "Abs": Drawn(behind_a_clamp("Abs")),
    "LpPool": Drawn(lp_pool, (3, 5), doubles=False),
    "GlobalLpPool": Drawn(global_lp_pool, (3, 5), doubles=False),
}
