"""Power means whose root is not that of their power, and other means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.lookalikes.lookalike import Lookalike, lookalike

_X = (1, 3, 6, 5)
_GEM = "a = Clip(X, lo)\nb = Pow(a, p)\nm = ReduceMean<axes=[2, 3]>(b)\nY = Pow(m, q)"


def graphs() -> Iterator[Lookalike]:
    yield from _roots()
    yield from _channels()
    yield from _products()
    yield from _other_means()
    yield from _lp()
    yield from _honest()


def _roots() -> Iterator[Lookalike]:
    for p, q in (
        *((3.0, 0.3334), (3.0, 0.3333), (3.0, 0.333333), (3.0, 0.333), (3.0, 0.34), (2.0, 0.3334)),
        *((3.0, 0.5), (3.0, 1.0), (2.5, 0.41), (2.5, 0.40001), (4.0, 0.5), (1.0, 1.0001)),
        *((1.001, 1.0), (2.0, 0.5001), (0.5, 2.001), (-1.0, -1.0), (-2.0, -0.5), (-3.0, -1 / 3)),
        *((3.0, -1 / 3), (10.0, 0.1001), (0.1, 10.0), (7.0, 1 / 7), (20.0, 0.05), (0.5, 2.0)),
    ):
        for low in (1e-6, 1e-3):
            yield lookalike(f"p {p:g}, root {q:.7g}, at least {low:g}", _GEM, _X, lo=low, p=p, q=q)
    for p, q in ((2.0, 0.5), (4.0, 0.25), (3.0, 1 / 3), (2.5, 0.4)):
        yield lookalike(
            f"p {p:g} without a clamp",
            "b = Pow(X, p)\nm = ReduceMean<axes=[2, 3]>(b)\nY = Pow(m, q)",
            _X,
            p=p,
            q=q,
        )
    yield lookalike(
        "no root", _GEM.replace("\nY = Pow(m, q)", "\nY = Identity(m)"), _X, lo=1e-6, p=3.0
    )
    yield lookalike(
        "no power",
        "a = Clip(X, lo)\nm = ReduceMean<axes=[2, 3]>(a)\nY = Pow(m, q)",
        _X,
        lo=1e-6,
        q=1 / 3,
    )
    for k in (1.0001, 2.0):
        for name, text in {
            "before the power": "a = Clip(X, lo)\nc = Mul(a, k)\nb = Pow(c, p)\n"
            "m = ReduceMean<axes=[2, 3]>(b)\nY = Pow(m, q)",
            "behind the power": "a = Clip(X, lo)\nc = Pow(a, p)\nb = Mul(c, k)\n"
            "m = ReduceMean<axes=[2, 3]>(b)\nY = Pow(m, q)",
            "behind the mean": "a = Clip(X, lo)\nb = Pow(a, p)\nc = ReduceMean<axes=[2, 3]>(b)\n"
            "m = Mul(c, k)\nY = Pow(m, q)",
            "behind": f"{_GEM.replace('Y =', 'r =')}\nY = Mul(r, k)",
        }.items():
            yield lookalike(f"p 3, x {k:g} {name}", text, _X, lo=1e-6, p=3.0, q=1 / 3, k=k)
    yield lookalike(
        "p 3 of a sum",
        "a = Clip(X, lo)\nb = Pow(a, p)\nm = ReduceSum(b, ax)\nY = Pow(m, q)",
        _X,
        lo=1e-6,
        p=3.0,
        q=1 / 3,
        ax=[2, 3],
    )


def _channels() -> Iterator[Lookalike]:
    def column(*values: float) -> Any:
        return np.array(values, np.float32).reshape(3, 1, 1)

    for name, (p, q) in {
        "one odd power": ((3, 3, 3.01), (1 / 3, 1 / 3, 1 / 3)),
        "one odd root": ((3, 3, 3), (1 / 3, 1 / 3, 0.334)),
        "roots exchanged": ((2, 3, 4), (1 / 3, 1 / 2, 1 / 4)),
        "one power of 1": ((1, 3, 3), (1, 1 / 3, 1 / 3)),
        "one negative": ((3, 3, -3), (1 / 3, 1 / 3, -1 / 3)),
        "all other": ((2, 2.5, 4), (0.5, 0.4, 0.25)),
    }.items():
        yield lookalike(f"per channel, {name}", _GEM, _X, lo=1e-6, p=column(*p), q=column(*q))
    yield lookalike(
        "per column",
        _GEM,
        _X,
        lo=1e-6,
        p=np.array([3, 3, 3, 3, 2], np.float32),
        q=1 / 3,
    )
    yield lookalike(
        "per row, a root for all",
        _GEM,
        (1, 3, 3, 5),
        lo=1e-6,
        p=np.array([3, 3, 2], np.float32).reshape(3, 1),
        q=1 / 3,
    )


def _products() -> Iterator[Lookalike]:
    mean = "m = ReduceMean<axes=[2, 3]>(b)\nY = Pow(m, q)"
    for name, text in {
        "cube as products": "a = Clip(X, lo)\nc = Mul(a, a)\nb = Mul(c, a)",
        "cube of a square, clamped once": "a = Clip(X, lo)\nc = Mul(a, a)\nb = Mul(c, X)",
        "cube with |x|": "c = Mul(X, X)\na = Abs(X)\nb = Mul(c, a)",
        "exp of 3 log": "a = Clip(X, lo)\nc = Log(a)\nd = Mul(c, p)\nb = Exp(d)",
        "exp of 3.001 log": "a = Clip(X, lo)\nc = Log(a)\nd = Mul(c, p1)\nb = Exp(d)",
        "exp of 3 log, shifted": "a = Clip(X, lo)\nc = Log(a)\nd = Mul(c, p)\nf = Add(d, e)\n"
        "b = Exp(f)",
    }.items():
        values: dict[str, Any] = {"lo": 1e-6, "p": 3.0, "p1": 3.001, "e": 1e-4, "q": 1 / 3}
        used = {k: v for k, v in values.items() if f", {k})" in f"{text}\n{mean}"}
        yield lookalike(f"root of {name}", f"{text}\n{mean}", _X, **used)
    yield lookalike(
        "square root of squares",
        "b = Mul(X, X)\nm = ReduceMean<axes=[2, 3]>(b)\nY = Sqrt(m)",
        _X,
    )
    yield lookalike(
        "square root of squares, cubed",
        "b = Mul(X, X)\nm = ReduceMean<axes=[2, 3]>(b)\nr = Sqrt(m)\nY = Pow(r, c)",
        _X,
        c=3.0,
    )


def _other_means() -> Iterator[Lookalike]:
    ax: dict[str, Any] = {"ax": [2, 3]}
    for r in (1.0, 2.0, 0.01):
        yield lookalike(
            f"log-mean-exp, {r:g}",
            "h = ReduceMax<axes=[2, 3]>(X)\nd = Sub(X, h)\ne = Mul(d, r)\nx = Exp(e)\n"
            "m = ReduceMean<axes=[2, 3]>(x)\nl = Log(m)\nk = Div(l, r)\nY = Add(h, k)",
            _X,
            r=r,
        )
        yield lookalike(
            f"log-mean-exp without the maximum, {r:g}",
            "e = Mul(X, r)\nx = Exp(e)\nm = ReduceMean<axes=[2, 3]>(x)\nl = Log(m)\nY = Div(l, r)",
            _X,
            r=r,
        )
    for name, text in {
        "log-sum-exp": "x = Exp(X)\ns = ReduceSum(x, ax)\nY = Log(s)",
        "softmax pooling": "x = Exp(X)\ns = ReduceSum(x, ax)\nw = Div(x, s)\np = Mul(X, w)\n"
        "Y = ReduceSum(p, ax)",
    }.items():
        yield lookalike(name, text, _X, **ax)
    for name, text in {
        "geometric": "a = Clip(X, lo)\nl = Log(a)\nm = ReduceMean<axes=[2, 3]>(l)\nY = Exp(m)",
        "harmonic": "a = Clip(X, lo)\nl = Reciprocal(a)\nm = ReduceMean<axes=[2, 3]>(l)\n"
        "Y = Reciprocal(m)",
        "of roots": "a = Clip(X, lo)\nl = Sqrt(a)\nm = ReduceMean<axes=[2, 3]>(l)\nY = Mul(m, m)",
    }.items():
        yield lookalike(f"mean, {name}", text, _X, lo=1e-6)


def _lp() -> Iterator[Lookalike]:
    """torch's LPPool2d: (sum x^p)^(1/p), with the sign of the mean."""
    for p in (2.0, 3.0, 2.5):
        text = (
            "b = Pow(X, p)\nm = AveragePool<kernel_shape=[2, 5], strides=[2, 5]>(b)\n"
            "s = Sign(m)\na = Abs(m)\nr = Relu(a)\nt = Mul(s, r)\nu = Mul(t, n)\nY = Pow(u, q)"
        )
        yield lookalike(f"LPPool2d {p:g}", text, _X, p=p, n=10.0, q=1 / p)
        yield lookalike(f"LPPool2d {p:g}, of a mean", text, _X, p=p, n=1.0, q=1 / p)


def _honest() -> Iterator[Lookalike]:
    for p in (3.0, 2.87, 5.0):
        yield lookalike(f"GeM {p:g}", _GEM, _X, found=True, lo=1e-6, p=p, q=1 / p)
    yield lookalike("GeM 1", _GEM, _X, lo=1e-6, p=1.0, q=1.0)
    yield lookalike(
        "GeM, the root by Reciprocal",
        _GEM.replace("Y = Pow(m, q)", "q = Reciprocal(p)\nY = Pow(m, q)"),
        _X,
        found=True,
        lo=1e-6,
        p=3.0,
    )
