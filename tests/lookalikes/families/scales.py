"""A mean times something near 1, or a sum divided by another number than that of its elements."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.lookalikes.lookalike import Lookalike, lookalike
from tests.lookalikes.pieces import MEANS, adaptive, bins, matrix

_FACTORS = {
    "1 + 2^-20": 1 + 2**-20,
    "1 - 2^-19": 1 - 2**-19,
    "1.0001": 1.0001,
    "0.999": 0.999,
    "2": 2.0,
    "-1": -1.0,
    "1e-30": 1e-30,
    "1e30": 1e30,
    "0": 0.0,
}


def graphs() -> Iterator[Lookalike]:
    for name, (text, x, constants) in MEANS.items():
        for factor in ("1 + 2^-20", "0.999"):
            value = _FACTORS[factor]
            scaled = f"{text}\nY = Mul(m, c)"
            yield lookalike(f"{name} x {factor}", scaled, x, c=value, **constants)
        before = f"a = Mul(X, c)\n{text.replace('(X', '(a')}\nY = Identity(m)"
        yield lookalike(f"{name}, 1.0001 before", before, x, c=1.0001, **constants)
    yield from _factors()
    yield from _divisors()
    yield from _matrices()
    yield from _honest()


def _factors() -> Iterator[Lookalike]:
    x = (2, 3, 6, 5)
    for name, value in _FACTORS.items():
        yield lookalike(f"global x {name}", "m = GlobalAveragePool(X)\nY = Mul(m, c)", x, c=value)
        if value:
            yield lookalike(
                f"global / {name}", "m = GlobalAveragePool(X)\nY = Div(m, c)", x, c=value
            )
    yield lookalike(
        "one channel of three",
        "m = GlobalAveragePool(X)\nY = Mul(m, c)",
        x,
        c=np.array([1, 1, 1.001], np.float32).reshape(3, 1, 1),
    )
    yield lookalike(
        "one column of five",
        "a = Mul(X, c)\nY = ReduceMean<axes=[2, 3]>(a)",
        x,
        c=np.array([1, 1, 1, 1, 1.001], np.float32),
    )
    for c in (3.0, 1e20, 1e-20, 1e38):
        yield lookalike(
            f"x {c:g} before, / {c:g} behind",
            "a = Mul(X, c)\nm = ReduceMean<axes=[2, 3]>(a)\nY = Div(m, c)",
            x,
            c=c,
        )
    yield lookalike(
        "between two axes",
        "w = ReduceMean<axes=[3]>(X)\na = Mul(w, c)\nY = ReduceMean<axes=[2]>(a)",
        x,
        c=1 + 2**-20,
    )
    yield lookalike("Neg", "a = Neg(X)\nY = GlobalAveragePool(a)", x)
    yield lookalike("maximum x 0.999", "m = GlobalMaxPool(X)\nY = Mul(m, c)", x, c=0.999)
    yield lookalike("maximum x -1", "m = GlobalMaxPool(X)\nY = Mul(m, c)", x, c=-1.0)
    text, constants = bins(adaptive(7, 4), 2, "ReduceMax", y="m")
    yield lookalike(
        "bins of maxima x (1 + 2^-22)",
        f"{text}\nY = Mul(m, c)",
        (1, 3, 7),
        c=1 + 2**-22,
        **constants,
    )


def _divisors() -> Iterator[Lookalike]:
    for n in (29.0, 31.0, 32.0, 30.001, 1.0, 60.0):
        yield lookalike(
            f"sum of 30 / {n:g}",
            "s = ReduceSum(X, ax)\nY = Div(s, n)",
            (2, 3, 6, 5),
            ax=[2, 3],
            n=n,
        )
    text, constants = bins(adaptive(7, 3), 2, "ReduceMax", y="m")
    sums = text.replace("ReduceMax<axes=[2], keepdims=1>(", "ReduceSum(").replace(
        ")\nm_t", ", m_axis)\nm_t"
    )
    lines = [
        line.replace(")", ", m_axis)") if "ReduceSum" in line and "m_axis" not in line else line
        for line in sums.splitlines()
    ]
    for name, counts in {"all by 3": (3, 3, 3), "4 instead of 3": (3, 4, 3)}.items():
        yield lookalike(
            f"bins 7 to 3 divided, {name}",
            "\n".join([*lines, "Y = Div(m, n)"]),
            (1, 2, 7),
            n=np.array(counts, np.float32),
            **constants,
        )


def _matrices() -> Iterator[Lookalike]:
    weights = matrix(7, adaptive(7, 4))
    for name, factor in {"x (1 + 2^-20)": 1 + 2**-20, "x 0.9999": 0.9999, "x 2": 2.0}.items():
        yield lookalike(
            f"matrix {name}", "Y = MatMul(X, w)", (2, 3, 7), w=(weights * factor).astype(np.float32)
        )
    odd = weights.copy()
    odd[0, 0] *= 1 + 2**-18
    yield lookalike("matrix, one weight x (1 + 2^-18)", "Y = MatMul(X, w)", (2, 3, 7), w=odd)
    for alpha in (1.0001, 0.5):
        yield lookalike(
            f"Gemm, alpha {alpha:g}", f"Y = Gemm<alpha={alpha}>(X, w)", (6, 7), w=weights
        )
    yield lookalike(
        "Conv, one tap of four more",
        "Y = Conv<kernel_shape=[2, 2], strides=[2, 2], group=3>(X, w)",
        (1, 3, 6, 6),
        w=np.array([[[0.25, 0.25], [0.25, 0.2501]]] * 3, np.float32)[:, None],
    )
    yield lookalike(
        "Conv, one channel of three",
        "Y = Conv<kernel_shape=[2, 2], strides=[2, 2], group=3>(X, w)",
        (1, 3, 6, 6),
        w=np.array([0.25, 0.25, 0.2501], np.float32)[:, None, None, None]
        * np.ones((3, 1, 2, 2), np.float32),
    )


def _honest() -> Iterator[Lookalike]:
    x = (2, 3, 6, 5)
    yield lookalike("plane x 1", "m = GlobalAveragePool(X)\nY = Mul(m, c)", x, c=1.0)
    yield lookalike(
        "x 2 before, / 2 behind",
        "a = Mul(X, c)\nm = ReduceMean<axes=[2, 3]>(a)\nY = Div(m, c)",
        x,
        c=2.0,
    )
    yield lookalike(
        "sum / 30", "s = ReduceSum(X, ax)\nY = Div(s, n)", x, ax=[2, 3], n=30.0, found=True
    )
    yield lookalike(
        "matrix", "Y = MatMul(X, w)", (2, 3, 7), w=matrix(7, adaptive(7, 4)), found=True
    )
    yield lookalike(
        "Conv",
        "Y = Conv<kernel_shape=[2, 2], strides=[2, 2], group=3>(X, w)",
        (1, 3, 6, 6),
        w=np.full((3, 1, 2, 2), 0.25, np.float32),
        found=True,
    )
