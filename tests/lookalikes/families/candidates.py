"""Maxima with another candidate: a constant, a pad of zeros, an element of elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.lookalikes.lookalike import Lookalike, lookalike
from tests.lookalikes.pieces import adaptive, bins

_LOWEST = float(np.finfo(np.float32).min)


def graphs() -> Iterator[Lookalike]:
    yield from _constants()
    yield from _pads()
    yield from _elements()
    yield from _minima()
    yield from _honest()


def _constants() -> Iterator[Lookalike]:
    bins_text, bins_constants = bins(adaptive(7, 4), 2, "ReduceMax", y="m")
    maxima: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
        "plane": ("m = ReduceMax<axes=[2, 3]>(X)", (1, 2, 5, 4), {}),
        "global": ("m = GlobalMaxPool(X)", (1, 2, 5, 4), {}),
        "separable": ("w = ReduceMax<axes=[3]>(X)\nm = ReduceMax<axes=[2]>(w)", (1, 2, 5, 4), {}),
        "kernel": ("m = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(X)", (1, 2, 6, 4), {}),
        "bins": (bins_text, (1, 2, 7), bins_constants),
    }
    for name, (text, x, constants) in maxima.items():
        for c in (0.0, -1.0, -1e4, -65504.0, -1e10, -1e30, -1e38):
            yield lookalike(f"{name}, or {c:g}", f"{text}\nY = Max(m, c)", x, c=c, **constants)
        for c in (-1e30, -65504.0):
            before = f"a = Max(X, c)\n{text.replace('(X', '(a')}\nY = Identity(m)"
            yield lookalike(f"{name} of X or {c:g}", before, x, c=c, **constants)


def _pads() -> Iterator[Lookalike]:
    for name, value in {
        "zeros": 0.0,
        "-1": -1.0,
        "-65504": -65504.0,
        "-1e30": -1e30,
    }.items():
        for pool, kernel in {"kernel 3 by 2": "[3, 3], strides=[2, 2]", "whole": "[8, 8]"}.items():
            yield lookalike(
                f"MaxPool, {pool}, padded by {name}",
                f"p = Pad(X, q, v)\nY = MaxPool<kernel_shape={kernel}>(p)",
                (1, 2, 6, 6),
                q=[0, 0, 1, 1, 0, 0, 1, 1],
                v=value,
            )
        yield lookalike(
            f"ReduceMax, padded by {name}",
            "p = Pad(X, q, v)\nY = ReduceMax<axes=[2, 3]>(p)",
            (1, 2, 6, 6),
            q=[0, 0, 0, 0, 0, 0, 1, 0],
            v=value,
        )
        text, constants = bins(adaptive(8, 4), 2, "ReduceMax", x="p")
        yield lookalike(
            f"bins, padded by {name}",
            f"p = Pad(X, q, v)\n{text}",
            (1, 2, 7),
            q=[0, 0, 0, 0, 0, 1],
            v=value,
            **constants,
        )
    yield lookalike(
        "masked by -1e30",
        "a = Where(k, X, c)\nY = ReduceMax<axes=[2]>(a)",
        (1, 2, 5),
        k=np.array([True, True, False, True, True]),
        c=-1e30,
    )
    yield lookalike(
        "masked by adding -1e9",
        "a = Add(X, k)\nY = ReduceMax<axes=[2]>(a)",
        (1, 2, 5),
        k=np.array([0, 0, -1e9, 0, 0], np.float32),
    )
    yield lookalike(
        "MaxPool of its own pads",
        "Y = MaxPool<kernel_shape=[8, 8], pads=[1, 1, 1, 1]>(X)",
        (1, 2, 6, 6),
    )


def _elements() -> Iterator[Lookalike]:
    spans = adaptive(7, 4)
    for name, extra in {
        "the first element": [0],
        "the last element": [6],
        "the middle": [3],
    }.items():
        text, constants = bins(spans, 2, "ReduceMax", y="m")
        yield lookalike(
            f"bins, or {name}",
            f"{text}\ng = Gather<axis=2>(X, i)\nY = Max(m, g)",
            (1, 2, 7),
            i=extra,
            **constants,
        )
    yield lookalike(
        "plane, or a mean",
        "m = ReduceMax<axes=[2, 3]>(X)\na = ReduceMean<axes=[2, 3]>(X)\nY = Max(m, a)",
        (1, 2, 5, 4),
    )
    yield lookalike(
        "plane, or the other channel's",
        "m = ReduceMax<axes=[2, 3]>(X)\ng = Gather<axis=1>(m, i)\nY = Max(m, g)",
        (1, 2, 5, 4),
        i=[1, 0],
    )
    yield lookalike(
        "the greater of two halves, one of them scaled",
        "a, b = Split<axis=2>(X)\nc = Mul(b, k)\nm = Max(a, c)\nY = ReduceMax<axes=[2]>(m)",
        (1, 2, 6),
        k=1.0001,
    )
    yield lookalike(
        "of X and -X",
        "n = Neg(X)\na = Max(X, n)\nY = ReduceMax<axes=[2, 3]>(a)",
        (1, 2, 5, 4),
    )
    yield lookalike(
        "two maxima of a pair, three of four",
        "a = Slice(X, s0, e0, ax)\nb = Slice(X, s1, e1, ax)\nY = Max(a, b)",
        (1, 2, 5),
        s0=[0],
        e0=[4],
        s1=[1],
        e1=[5],
        ax=[2],
    )


def _minima() -> Iterator[Lookalike]:
    for name, text in {
        "minimum": "Y = ReduceMin<axes=[2, 3]>(X)",
        "negative minimum": "n = Neg(X)\nm = ReduceMin<axes=[2, 3]>(n)\nY = Identity(m)",
        "minimum by the negative": "n = Neg(X)\nm = ReduceMax<axes=[2, 3]>(n)\nY = Neg(m)",
        "maximum by the negative": "n = Neg(X)\nm = ReduceMin<axes=[2, 3]>(n)\nY = Neg(m)",
        "minimum along one axis": "w = ReduceMax<axes=[3]>(X)\nY = ReduceMin<axes=[2]>(w)",
        "range": "h = ReduceMax<axes=[2, 3]>(X)\nl = ReduceMin<axes=[2, 3]>(X)\nY = Sub(h, l)",
        "greatest by size": "a = Abs(X)\nY = ReduceMax<axes=[2, 3]>(a)",
    }.items():
        yield lookalike(name, text, (1, 2, 5, 4))


def _honest() -> Iterator[Lookalike]:
    text, constants = bins(adaptive(7, 4), 2, "ReduceMax", y="m")
    yield lookalike(
        "bins, or -inf", f"{text}\nY = Max(m, c)", (1, 2, 7), c=-float("inf"), **constants
    )
    yield lookalike(
        "bins, or the lowest", f"{text}\nY = Max(m, c)", (1, 2, 7), c=_LOWEST, **constants
    )
    yield lookalike(
        "bins, or an element of all of them",
        f"{text}\ng = Concat<axis=2>(m_r0, m_r1, m_r2, m_r3)\nY = Max(m, g)",
        (1, 2, 7),
        **constants,
    )
    yield lookalike(
        "padded by -inf",
        "p = Pad(X, q, v)\nY = MaxPool<kernel_shape=[8, 8]>(p)",
        (1, 2, 6, 6),
        q=[0, 0, 1, 1, 0, 0, 1, 1],
        v=-float("inf"),
    )
