"""A mean plus or minus something small, before, between or after: no mean any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.lookalikes.lookalike import Lookalike, lookalike
from tests.lookalikes.pieces import MEANS

_PER_CHANNEL = np.array([0, 0, 1e-6], np.float32).reshape(1, 3, 1, 1)


def graphs() -> Iterator[Lookalike]:
    yield from _after_a_mean()
    yield from _around_a_plane()
    yield from _normalisations()
    yield from _variances()
    yield from _honest()


def _after_a_mean() -> Iterator[Lookalike]:
    for name, (text, x, constants) in MEANS.items():
        yield lookalike(f"{name} + 1e-6", f"{text}\nY = Add(m, e)", x, e=1e-6, **constants)
        yield lookalike(f"1e-12 before {name}", _before(text), x, e=1e-12, **constants)
        square = f"q = Mul(X, X)\n{text.replace('(X', '(q')}\nY = Add(m, e)"
        yield lookalike(f"{name} of squares + 1e-6", square, x, e=1e-6, **constants)


def _before(text: str) -> str:
    return f"a = Add(X, e)\n{text.replace('(X', '(a')}\nY = Identity(m)"


def _around_a_plane() -> Iterator[Lookalike]:
    mean, x = "m = ReduceMean<axes=[2, 3]>(X)", (2, 3, 6, 5)
    after = {
        "Sub 1e-6": ("Y = Sub(m, e)", 1e-6),
        "1e-6 - mean": ("Y = Sub(e, m)", 1e-6),
        "+ 1e-30": ("Y = Add(m, e)", 1e-30),
        "+ 1e-38": ("Y = Add(m, e)", 1e-38),
        "+ 1e-3": ("Y = Add(m, e)", 1e-3),
        "+ 1": ("Y = Add(m, e)", 1.0),
        "Sum": ("Y = Sum(m, e)", 1e-6),
        "one channel": ("Y = Add(m, e)", _PER_CHANNEL),
        "Max": ("Y = Max(m, e)", 1e-6),
        "Clip": ("Y = Clip(m, e)", 1e-12),
        "large, and back": ("a = Add(m, e)\nY = Sub(a, e)", 1e4),
        "inverse": ("a = Add(m, e)\nY = Reciprocal(a)", 1e-6),
        "root": ("a = Add(m, e)\nY = Sqrt(a)", 1e-6),
    }
    for name, (text, e) in after.items():
        yield lookalike(f"plane, {name}", f"{mean}\n{text}", x, e=e)
    yield lookalike(
        "between two axes",
        "w = ReduceMean<axes=[3]>(X)\na = Add(w, e)\nY = ReduceMean<axes=[2]>(a)",
        x,
        e=1e-6,
    )
    yield lookalike(
        "before, and taken off behind",
        "a = Add(X, e)\nm = ReduceMean<axes=[2, 3]>(a)\nY = Sub(m, e)",
        x,
        e=1e6,
    )
    yield lookalike(
        "Conv with a bias",
        "Y = Conv<kernel_shape=[2, 2], strides=[2, 2], group=2>(X, w, b)",
        (1, 2, 6, 6),
        w=np.full((2, 1, 2, 2), 0.25, np.float32),
        b=np.array([0, 1e-6], np.float32),
    )
    yield lookalike(
        "Gemm with a bias",
        "Y = Gemm(X, w, b)",
        (3, 8),
        w=np.full((8, 1), 0.125, np.float32),
        b=np.array([1e-7], np.float32),
    )
    yield lookalike(
        "sums of bins + 1e-6",
        "s = ReduceSum(X, ax)\na = Add(s, e)\nY = Div(a, n)",
        x,
        ax=[2, 3],
        e=1e-6,
        n=30.0,
    )
    yield lookalike(
        "mean of ones counted with eps",
        "s = ReduceSum(X, ax)\na = Add(n, e)\nY = Div(s, a)",
        x,
        ax=[2, 3],
        n=30.0,
        e=1e-2,
    )


def _normalisations() -> Iterator[Lookalike]:
    for opset in (13, 17, 18):
        axes = "ReduceMean<axes=[-1]>({})" if opset < 18 else "ReduceMean({}, ax)"
        constants: dict[str, Any] = {} if opset < 18 else {"ax": [-1]}
        square = axes.format("q")
        tail = f"m = {square}\nv = Add(m, e)\nr = Sqrt(v)\n"
        rms = {
            "Div": f"q = Mul(X, X)\n{tail}Y = Div(X, r)",
            "Reciprocal": f"q = Mul(X, X)\n{tail}i = Reciprocal(r)\nY = Mul(X, i)",
            "Pow": f"q = Pow(X, two)\n{tail}Y = Div(X, r)",
        }
        for name, text in rms.items():
            more: dict[str, Any] = {"two": 2.0} if name == "Pow" else {}
            for eps in (1e-5, 1e-6, 1e-12):
                yield lookalike(
                    f"RMSNorm {name} {eps:g} opset {opset}",
                    text,
                    (2, 3, 32),
                    opset=opset,
                    e=eps,
                    **constants,
                    **more,
                )
        yield lookalike(
            f"LayerNorm opset {opset}",
            f"u = {axes.format('X')}\nd = Sub(X, u)\nq = Mul(d, d)\n{tail}Y = Div(d, r)",
            (2, 3, 32),
            opset=opset,
            e=1e-5,
            **constants,
        )
    yield lookalike(
        "RMSNorm by power -0.5",
        "q = Mul(X, X)\nm = ReduceMean<axes=[-1]>(q)\nv = Add(m, e)\ni = Pow(v, h)\nY = Mul(X, i)",
        (2, 3, 32),
        e=1e-6,
        h=-0.5,
    )
    yield lookalike(
        "RMSNorm of an open batch and length",
        "q = Mul(X, X)\nm = ReduceMean<axes=[-1]>(q)\nv = Add(m, e)\nr = Sqrt(v)\nY = Div(X, r)",
        ("N", "L", 32),
        e=1e-6,
    )
    yield lookalike(
        "GRN",
        "g = ReduceL2<axes=[2, 3]>(X)\nm = ReduceMean<axes=[1]>(g)\na = Add(m, e)\n"
        "n = Div(g, a)\nt = Mul(X, n)\nY = Add(X, t)",
        (2, 6, 4, 5),
        e=1e-6,
    )
    yield lookalike(
        "GRN, channels last",
        "q = Mul(X, X)\ns = ReduceSum(q, hw)\ng = Sqrt(s)\nm = ReduceMean<axes=[-1]>(g)\n"
        "a = Add(m, e)\nn = Div(g, a)\nY = Mul(X, n)",
        (2, 4, 5, 6),
        e=1e-6,
        hw=[1, 2],
    )
    yield lookalike(
        "GroupNorm",
        "r = Reshape(X, groups)\nu = ReduceMean<axes=[2]>(r)\nd = Sub(r, u)\nq = Mul(d, d)\n"
        "m = ReduceMean<axes=[2]>(q)\nv = Add(m, e)\no = Sqrt(v)\nn = Div(d, o)\n"
        "Y = Reshape(n, back)",
        (2, 4, 3, 5),
        groups=[2, 2, -1],
        back=[2, 4, 3, 5],
        e=1e-5,
    )
    yield lookalike(
        "InstanceNorm",
        "u = GlobalAveragePool(X)\nd = Sub(X, u)\nq = Mul(d, d)\nm = GlobalAveragePool(q)\n"
        "v = Add(m, e)\no = Sqrt(v)\nY = Div(d, o)",
        (2, 4, 3, 5),
        e=1e-5,
    )
    yield lookalike(
        "softmax, its sum + eps",
        "h = ReduceMax<axes=[-1]>(X)\nd = Sub(X, h)\nx = Exp(d)\ns = ReduceSum(x, ax)\n"
        "a = Add(s, e)\nY = Div(x, a)",
        (2, 3, 9),
        ax=[-1],
        e=1e-6,
    )
    yield lookalike(
        "L2 normalised, Max",
        "g = ReduceL2<axes=[-1]>(X)\na = Max(g, e)\nY = Div(X, a)",
        (2, 16),
        e=1e-12,
    )
    yield lookalike(
        "L2 normalised, Add",
        "q = Mul(X, X)\ns = ReduceSum(q, ax)\na = Add(s, e)\nr = Sqrt(a)\nY = Div(X, r)",
        (2, 16),
        ax=[-1],
        e=1e-10,
    )
    yield lookalike(
        "pooled mask + eps",
        "m = GlobalAveragePool(X)\na = Add(m, e)\nY = Div(X, a)",
        (1, 4, 6, 6),
        e=1e-6,
    )


def _variances() -> Iterator[Lookalike]:
    mean = "u = ReduceMean<axes=[2, 3]>(X)\n"
    forms = {
        "squares less the square": "q = Mul(X, X)\nm = ReduceMean<axes=[2, 3]>(q)\n"
        "s = Mul(u, u)\nY = Sub(m, s)",
        "of differences": "d = Sub(X, u)\nq = Mul(d, d)\nY = ReduceMean<axes=[2, 3]>(q)",
        "of differences, Pow": "d = Sub(X, u)\nq = Pow(d, two)\nY = ReduceMean<axes=[2, 3]>(q)",
        "unbiased": "d = Sub(X, u)\nq = Mul(d, d)\nm = ReduceMean<axes=[2, 3]>(q)\nY = Mul(m, k)",
        "standard deviation": "d = Sub(X, u)\nq = Mul(d, d)\nm = ReduceMean<axes=[2, 3]>(q)\n"
        "Y = Sqrt(m)",
        "not below 0": "q = Mul(X, X)\nm = ReduceMean<axes=[2, 3]>(q)\ns = Mul(u, u)\n"
        "d = Sub(m, s)\nY = Relu(d)",
        "mean of the differences": "d = Sub(X, u)\nY = ReduceMean<axes=[2, 3]>(d)",
        "mean absolute deviation": "d = Sub(X, u)\na = Abs(d)\nY = ReduceMean<axes=[2, 3]>(a)",
    }
    for name, text in forms.items():
        yield lookalike(f"variance, {name}", mean + text, (2, 3, 4, 5), two=2.0, k=20 / 19)


def _honest() -> Iterator[Lookalike]:
    for name, (text, x, constants) in MEANS.items():
        found = name not in ("last", "nhwc", "reshaped", "tokens")
        yield lookalike(f"{name}, + 0", f"{text}\nY = Add(m, e)", x, e=0.0, **constants)
        yield lookalike(f"{name}, alone", f"{text}\nY = Identity(m)", x, found=found, **constants)
