"""Windows that the graph computes of Shape, adaptive at most sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.lookalikes.lookalike import Lookalike, lookalike

_X = (1, 2, "L")
_BASE: dict[str, Any] = {"i": 2, "ax": [2], "z": [0]}


def graphs() -> Iterator[Lookalike]:
    yield from _ends()
    yield from _halves()
    yield from _floats()
    yield from _matrices()
    yield from _planes()
    yield from _honest()


def _ends() -> Iterator[Lookalike]:
    """The whole line, up to a number that is computed of its length."""
    edits = {
        "Min(n, {})": ("k = Min(n, c)", (20, 200, 700)),
        "n, but {} where it is greater": ("b = Greater(n, c)\nk = Where(b, c, n)", (20, 200, 700)),
        "n, one less at {}": (
            "b = Equal(n, c)\nd = Cast<to=7>(b)\nk = Sub(n, d)",
            (20, 100, 224, 300),
        ),
        "n mod {}, at least 1": ("m = Mod(n, c)\nk = Max(m, one)", (40, 100, 400)),
        "n // {} of it, at least 1": ("m = Div(n, c)\nk = Max(m, one)", (2, 3)),
        "n // {0} x {0}, at least 1": ("m = Div(n, c)\nd = Mul(m, c)\nk = Max(d, one)", (2, 8, 32)),
        "Max(n - {}, 1)": ("m = Sub(n, c)\nk = Max(m, one)", (1, 2)),
        "n - n // {}": ("m = Div(n, c)\nk = Sub(n, m)", (64, 100, 300)),
        "n + n // {} - n // {}": ("m = Div(n, c)\nd = Add(n, m)\nk = Sub(d, m)", (64,)),
    }
    for op in ("ReduceMean", "ReduceMax"):
        for name, (text, numbers) in edits.items():
            for c in numbers:
                one: dict[str, Any] = {"one": 1} if "one)" in text else {}
                yield lookalike(
                    f"{op} of the first {name.format(c, c)}",
                    f"sh = Shape(X)\nn = Gather(sh, i)\n{text}\ne = Unsqueeze(k, z)\n"
                    f"t = Slice(X, z, e, ax)\nY = {op}<axes=[2]>(t)",
                    _X,
                    c=c,
                    **_BASE,
                    **one,
                )


def _bins(bounds: str, count: int, op: str = "ReduceMean") -> str:
    """Slices from s0 to e0, s1 to e1, …, which `bounds` computes of n, and their Concat."""
    lines = ["sh = Shape(X)", "n = Gather(sh, i)", bounds]
    for j in range(count):
        lines += [
            f"u{j} = Unsqueeze(s{j}, z)",
            f"v{j} = Unsqueeze(e{j}, z)",
            f"t{j} = Slice(X, u{j}, v{j}, ax)",
            f"r{j} = {op}<axes=[2]>(t{j})",
        ]
    parts = ", ".join(f"r{j}" for j in range(count))
    return "\n".join([*lines, f"Y = Concat<axis=2>({parts})"])


_RIGHT = (
    "h = Div(n, two)\nm1 = Add(n, one)\ng = Div(m1, two)\ns0 = Identity(zero)\ne0 = Identity(g)\n"
    "s1 = Identity(h)\ne1 = Identity(n)"
)
_NUMBERS: dict[str, Any] = {"zero": 0, "one": 1, "two": 2}


def _halves() -> Iterator[Lookalike]:
    """Two windows: [0, ceil(n / 2)) and [floor(n / 2), n)."""
    edits = {
        "no overlap at odd sizes": _RIGHT.replace("e0 = Identity(g)", "e0 = Identity(h)"),
        "a gap at odd sizes": _RIGHT.replace("s1 = Identity(h)", "s1 = Identity(g)"),
        "the first one too long": _RIGHT.replace("Add(n, one)", "Add(n, two)"),
        "the last one short at 100": _RIGHT.replace(
            "e1 = Identity(n)", "b = Equal(n, c)\nd = Cast<to=7>(b)\ne1 = Sub(n, d)"
        ),
        "the last one ends at 150": _RIGHT.replace("e1 = Identity(n)", "e1 = Min(n, c)"),
        "the first one at most 90": _RIGHT.replace("e0 = Identity(g)", "e0 = Min(g, c)"),
        "starts at n // 2 up to 60": _RIGHT.replace("s1 = Identity(h)", "s1 = Min(h, c)"),
        "exchanged above 128": _RIGHT.replace(
            "s0 = Identity(zero)\ne0 = Identity(g)\ns1 = Identity(h)\ne1 = Identity(n)",
            "b = Greater(n, c)\ns0 = Where(b, h, zero)\ne0 = Where(b, n, g)\n"
            "s1 = Where(b, zero, h)\ne1 = Where(b, g, n)",
        ),
    }
    for op in ("ReduceMean", "ReduceMax"):
        for name, text in edits.items():
            number = next((int(w) for w in name.split() if w.isdigit() and len(w) > 1), None)
            more: dict[str, Any] = {} if number is None else {"c": number}
            yield lookalike(
                f"{op} of halves, {name}", _bins(text, 2, op), _X, **_BASE, **_NUMBERS, **more
            )


def _floats() -> Iterator[Lookalike]:
    """Bounds in floating point, which are off at some sizes."""
    edits = {
        "Floor(n x 0.5)": ("f = Cast<to=1>(n)\ng0 = Mul(f, half)\ng1 = Floor(g0)", 0.5),
        "Ceil(n x 0.5)": ("f = Cast<to=1>(n)\ng0 = Mul(f, half)\ng1 = Ceil(g0)", 0.5),
        "Round(n x 0.5)": ("f = Cast<to=1>(n)\ng0 = Mul(f, half)\ng1 = Round(g0)", 0.5),
        "Floor(n x 0.4999)": ("f = Cast<to=1>(n)\ng0 = Mul(f, half)\ng1 = Floor(g0)", 0.4999),
        "Floor(n x 0.501)": ("f = Cast<to=1>(n)\ng0 = Mul(f, half)\ng1 = Floor(g0)", 0.501),
        "Floor(n x 0.5 + 0.4)": (
            "f = Cast<to=1>(n)\ng2 = Mul(f, half)\ng0 = Add(g2, less)\ng1 = Floor(g0)",
            0.5,
        ),
    }
    for name, (text, half) in edits.items():
        less: dict[str, Any] = {"less": 0.4} if "less" in text else {}
        bounds = (
            f"{text}\nh = Cast<to=7>(g1)\ns0 = Identity(zero)\ne0 = Sub(n, h)\n"
            "s1 = Identity(h)\ne1 = Identity(n)"
        )
        yield lookalike(
            f"halves at {name}", _bins(bounds, 2), _X, zero=0, half=half, **_BASE, **less
        )
    thirds = "\n".join(
        [
            "f = Cast<to=1>(n)",
            *(
                f"p{j} = Mul(f, c{j})\nq{j} = {'Floor' if j < 3 else 'Ceil'}(p{j})\n"
                f"o{j} = Cast<to=7>(q{j})"
                for j in (1, 2, 3, 4)
            ),
            "s0 = Identity(zero)\ne0 = Identity(o3)\ns1 = Identity(o1)\ne1 = Identity(o4)",
            "s2 = Identity(o2)\ne2 = Identity(n)",
        ]
    )
    yield lookalike(
        "thirds by products with 0.33333334",
        _bins(thirds, 3),
        _X,
        zero=0,
        c1=1 / 3,
        c2=2 / 3,
        c3=1 / 3,
        c4=2 / 3,
        **_BASE,
    )
    yield lookalike(
        "thirds by products with 0.3333",
        _bins(thirds, 3),
        _X,
        zero=0,
        c1=0.3333,
        c2=0.6666,
        c3=0.3333,
        c4=0.6666,
        **_BASE,
    )


_COUNTED = """sh = Shape(X)
n = Gather(sh, i)
j = Range(zero, o, one)
p = Mul(j, n)
s = Div(p, o)
j1 = Add(j, one)
p1 = Mul(j1, n)
p2 = Add(p1, less)
e = Div(p2, o)
r0 = Range(zero, n, one)
r = Unsqueeze(r0, behind)
a = GreaterOrEqual(r, s)
b = Less(r, e)
k = And(a, b)
m = Cast<to=1>(k)
l = Sub(e, s)
lf = Cast<to=1>(l)
w = Div(m, lf)
Y = MatMul(X, w)"""
"""The matrix of adaptive averages, computed of the length in integers."""


def _matrices() -> Iterator[Lookalike]:
    numbers: dict[str, Any] = {"zero": 0, "one": 1, "behind": [1], "i": 2}
    edits = {
        "s at most 100": ("s = Div(p, o)", "s9 = Div(p, o)\ns = Min(s9, c)", 100),
        "e at most 150": ("e = Div(p2, o)", "e9 = Div(p2, o)\ne = Min(e9, c)", 150),
        "e at least 5": ("e = Div(p2, o)", "e9 = Div(p2, o)\ne = Max(e9, c)", 5),
        "the length at most 300": ("l = Sub(e, s)", "l9 = Sub(e, s)\nl = Min(l9, c)", 300),
        "the length at least 2": ("l = Sub(e, s)", "l9 = Sub(e, s)\nl = Max(l9, c)", 2),
        "n at most 250": ("n = Gather(sh, i)", "n9 = Gather(sh, i)\nn = Min(n9, c)", 250),
        "n, one less at 97": (
            "p1 = Mul(j1, n)",
            "b9 = Equal(n, c)\nd9 = Cast<to=7>(b9)\nn9 = Sub(n, d9)\np1 = Mul(j1, n9)",
            97,
        ),
        "n, one more above 128": (
            "p1 = Mul(j1, n)",
            "b9 = Greater(n, c)\nd9 = Cast<to=7>(b9)\nn9 = Add(n, d9)\np1 = Mul(j1, n9)",
            128,
        ),
        "floor ends": ("p2 = Add(p1, less)", "p2 = Identity(p1)", None),
        "ends 2 later": ("p2 = Add(p1, less)", "p9 = Add(p1, less)\np2 = Add(p9, o)", None),
        "starts included twice": ("b = Less(r, e)", "b = LessOrEqual(r, e)", None),
        "first ones left out": ("a = GreaterOrEqual(r, s)", "a = Greater(r, s)", None),
        "starts modulo 64": ("s = Div(p, o)", "s9 = Div(p, o)\ns = Mod(s9, c)", 64),
        "lengths in float16": (
            "lf = Cast<to=1>(l)",
            "l8 = Cast<to=1>(l)\nl9 = Cast<to=10>(l8)\nlf = Cast<to=1>(l9)",
            None,
        ),
        "right": ("w = Div(m, lf)", "w = Div(m, lf)", None),
        "weights x 1.0001": ("w = Div(m, lf)", "w9 = Div(m, lf)\nw = Mul(w9, f)", None),
        "weights + 1e-9": ("w = Div(m, lf)", "w9 = Div(m, lf)\nw = Add(w9, f)", None),
    }
    for count in (2, 3, 6):
        for name, (old, new, c) in edits.items():
            more: dict[str, Any] = {} if c is None else {"c": c}
            if ", f)" in new:
                more["f"] = 1.0001 if "Mul" in new else 1e-9
            if "less" in _COUNTED.replace(old, new):
                more["less"] = count - 1
            yield lookalike(
                f"matrix to {count}, {name}",
                _COUNTED.replace(old, new),
                _X,
                o=count,
                found=name == "right",
                **numbers,
                **more,
            )
    weights: dict[str, tuple[str, dict[str, Any]]] = {
        "1 / n": ("w = Reciprocal(f)", {}),
        "1 / (n + 1)": ("g = Add(f, one)\nw = Reciprocal(g)", {"one": 1.0}),
        "1 / Min(n, 300)": ("g = Min(f, c)\nw = Reciprocal(g)", {"c": 300.0}),
        "1 / n, at most 0.01 off": ("g = Mul(f, c)\nw = Reciprocal(g)", {"c": 1.01}),
    }
    for name, (text, constants) in weights.items():
        yield lookalike(
            f"weights {name}",
            f"sh = Shape(X)\nn = Gather(sh, i)\nf = Cast<to=1>(n)\n{text}\ne = Unsqueeze(n, z)\n"
            "d = Concat<axis=0>(e, o)\nm = Expand(w, d)\nY = MatMul(X, m)",
            _X,
            o=[1],
            i=2,
            z=[0],
            **constants,
        )


def _planes() -> Iterator[Lookalike]:
    for limit in (50, 150):
        yield lookalike(
            f"plane of at most {limit} x {limit}",
            "sh = Shape(X)\nhw = Slice(sh, two, four)\nk = Min(hw, c)\nt = Slice(X, zz, k, ax)\n"
            "Y = ReduceMean<axes=[2, 3]>(t)",
            ("N", 2, "H", "W"),
            two=[2],
            four=[4],
            c=limit,
            zz=[0, 0],
            ax=[2, 3],
        )
    yield lookalike(
        "plane of W rows",
        "sh = Shape(X)\nw = Slice(sh, three, four)\nt = Slice(X, z, w, ax)\n"
        "Y = ReduceMean<axes=[2, 3]>(t)",
        ("N", 2, "H", "W"),
        three=[3],
        four=[4],
        z=[0],
        ax=[2],
    )
    for op in ("ReduceMean", "ReduceMax"):
        for k in (2, 4):
            yield lookalike(
                f"{op} of blocks of {k}, a share of the input",
                f"sh = Shape(X)\nn = Gather(sh, i)\nm = Div(n, k)\nu = Unsqueeze(m, z)\n"
                f"s = Concat<axis=0>(front, u, kk)\ne = Mul(u, kk)\nt = Slice(X, z, e, ax)\n"
                f"r = Reshape(t, s)\nY = {op}<axes=[3], keepdims=0>(r)",
                _X,
                k=k,
                front=[1, 2],
                kk=[k],
                **_BASE,
            )


def _honest() -> Iterator[Lookalike]:
    for op in ("ReduceMean", "ReduceMax"):
        yield lookalike(f"{op} of halves", _bins(_RIGHT, 2, op), _X, **_BASE, **_NUMBERS)
        yield lookalike(
            f"{op} of the first n",
            f"sh = Shape(X)\nn = Gather(sh, i)\ne = Unsqueeze(n, z)\n"
            f"t = Slice(X, z, e, ax)\nY = {op}<axes=[2]>(t)",
            _X,
            **_BASE,
        )
