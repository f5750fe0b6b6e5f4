"""Sums divided by a number that the graph counts, which is the right one at most sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.lookalikes.lookalike import Lookalike, lookalike

_PLANE = ("N", 3, "H", "W")
_COUNT = "sh = Shape(X)\nhw = Slice(sh, two, four)\nn = ReduceProd<keepdims=0>(hw)\n"
_MEAN = "kf = Cast<to=1>(k)\nt = ReduceSum(X, ax)\nY = Div(t, kf)"
_BASE: dict[str, Any] = {"two": [2], "four": [4], "ax": [2, 3]}


def graphs() -> Iterator[Lookalike]:
    yield from _counted()
    yield from _lines()
    yield from _fixed()
    yield from _pools()
    yield from _honest()


def _counted() -> Iterator[Lookalike]:
    for limit in (50, 200, 1000, 4000):
        edits: dict[str, tuple[str, dict[str, Any]]] = {
            f"at most {limit}": ("k = Min(n, c)", {"c": limit}),
            f"at least {limit}": ("k = Max(n, c)", {"c": limit}),
            f"modulo {limit}": ("m = Mod(n, c)\nk = Max(m, one)", {"c": limit, "one": 1}),
            f"where not above {limit}": (
                "b = Greater(n, c)\nk = Where(b, c, n)",
                {"c": limit},
            ),
            f"where not {limit}": (
                "b = Equal(n, c)\no = Add(n, one)\nk = Where(b, o, n)",
                {"c": limit, "one": 1},
            ),
        }
        for name, (text, constants) in edits.items():
            yield lookalike(
                f"count {name}", f"{_COUNT}{text}\n{_MEAN}", _PLANE, **_BASE, **constants
            )
    once = {
        "plus 1": ("k = Add(n, c)", 1),
        "less 1, at least 1": ("m = Sub(n, c)\nk = Max(m, c)", 1),
        "halved and doubled": ("m = Div(n, c)\no = Mul(m, c)\nk = Max(o, c)", 2),
        "of rows alone": ("k = Gather(sh, c)", 2),
        "of columns alone": ("k = Gather(sh, c)", 3),
    }
    for name, (text, c) in once.items():
        yield lookalike(f"count {name}", f"{_COUNT}{text}\n{_MEAN}", _PLANE, c=c, **_BASE)
    rounded: dict[str, tuple[str, dict[str, Any]]] = {
        "a float16": ("h = Cast<to=10>(n)\nk = Cast<to=7>(h)", {}),
        "a uint8": ("h = Cast<to=2>(n)\nk = Cast<to=7>(h)", {}),
        "a float, + 0.4": ("h = Cast<to=1>(n)\ni = Add(h, c)\nk = Cast<to=7>(i)", {"c": 0.4}),
        "a float, x 1.001": ("h = Cast<to=1>(n)\ni = Mul(h, c)\nk = Cast<to=7>(i)", {"c": 1.001}),
    }
    for name, (text, constants) in rounded.items():
        yield lookalike(
            f"count as {name}", f"{_COUNT}{text}\n{_MEAN}", _PLANE, **_BASE, **constants
        )


def _lines() -> Iterator[Lookalike]:
    """One axis; the count is that of the axis, up to something."""
    count, mean = "sh = Shape(X)\nn = Gather(sh, i)\n", "kf = Cast<to=1>(k)\nt = ReduceSum(X, ax)\n"
    for c in (20, 200, 500):
        for name, text in {
            "Min": "k = Min(n, c)",
            "Max": "k = Max(n, c)",
            "Where": "b = Less(n, c)\nk = Where(b, n, c)",
        }.items():
            yield lookalike(
                f"line, {name} {c}",
                f"{count}{text}\n{mean}Y = Div(t, kf)",
                (1, 2, "L"),
                i=2,
                c=c,
                ax=[2],
            )
    yield lookalike(
        "line, a sum scaled by Reciprocal(Min 200)",
        f"{count}k = Min(n, c)\n{mean}r = Reciprocal(kf)\nY = Mul(t, r)",
        (1, 2, "L"),
        i=2,
        c=200,
        ax=[2],
    )
    yield lookalike(
        "line, the count of X's first half",
        f"{count}h = Div(n, c)\nk = Max(h, one)\n{mean}Y = Div(t, kf)",
        (1, 2, "L"),
        i=2,
        c=2,
        one=1,
        ax=[2],
    )


def _fixed() -> Iterator[Lookalike]:
    for n in (16.0, 49.0, 169.0):
        yield lookalike(
            f"open plane / {n:g}",
            "s = ReduceSum(X, ax)\nY = Div(s, n)",
            _PLANE,
            ax=[2, 3],
            n=n,
        )
        yield lookalike(
            f"mean of an open plane x {n:g} / {n:g}",
            "s = GlobalAveragePool(X)\nm = Mul(s, n)\nY = Div(m, n)",
            _PLANE,
            n=n,
        )
    yield lookalike(
        "rows by their number, columns by 7",
        "w = ReduceMean<axes=[2]>(X)\ns = ReduceSum(w, ax)\nY = Div(s, n)",
        _PLANE,
        ax=[3],
        n=7.0,
    )


def _pools() -> Iterator[Lookalike]:
    for include in (0, 1):
        for pads in ([0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]):
            for ceil in (0, 1):
                yield lookalike(
                    f"AveragePool, pads {pads}, count_include_pad {include}, ceil_mode {ceil}",
                    f"Y = AveragePool<kernel_shape=[3, 3], strides=[2, 2], pads={pads}, "
                    f"count_include_pad={include}, ceil_mode={ceil}>(X)",
                    (1, 2, 7, 7),
                )
    for include in (0, 1):
        yield lookalike(
            f"AveragePool of the whole and its pads, count_include_pad {include}",
            "Y = AveragePool<kernel_shape=[6, 6], pads=[1, 1, 1, 1], "
            f"count_include_pad={include}>(X)",
            (1, 2, 4, 4),
        )
    yield lookalike(
        "divisor_override",
        "a = AveragePool<kernel_shape=[2, 2], strides=[2, 2]>(X)\nY = Mul(a, c)",
        (1, 2, 6, 6),
        c=4 / 3,
    )


def _honest() -> Iterator[Lookalike]:
    yield lookalike("counted", f"{_COUNT}k = Identity(n)\n{_MEAN}", _PLANE, **_BASE)
    yield lookalike(
        "counted, at least 1", f"{_COUNT}k = Max(n, one)\n{_MEAN}", _PLANE, one=1, **_BASE
    )
    yield lookalike(
        "line, counted",
        "sh = Shape(X)\nk = Gather(sh, i)\nkf = Cast<to=1>(k)\nt = ReduceSum(X, ax)\n"
        "Y = Div(t, kf)",
        (1, 2, "L"),
        i=2,
        ax=[2],
    )
