"""Look-alikes in the branches of If and in the bodies of Loop and Scan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.lookalikes.lookalike import Lookalike, lookalike
from tests.lookalikes.pieces import adaptive, bins

_X = (2, 3, 6, 5)


def _inner() -> dict[str, tuple[str, dict[str, Any]]]:
    """Nodes that compute r from a; constants are captured."""
    right, spans = bins(adaptive(6, 4), 2, x="a", y="r")
    wrong, others = bins([(0, 3), *adaptive(6, 4)[1:]], 2, x="a", y="r")
    peaks, extremes = bins(adaptive(6, 4), 2, "ReduceMax", x="a", y="r")
    return {
        "mean": ("r = ReduceMean<axes=[2, 3]>(a)", {}),
        "mean + 1e-6": ("m = ReduceMean<axes=[2, 3]>(a)\nr = Add(m, e)", {"e": 1e-6}),
        "mean x 0.999": ("m = ReduceMean<axes=[2, 3]>(a)\nr = Mul(m, c)", {"c": 0.999}),
        "squares + 1e-6": (
            "q = Mul(a, a)\nm = ReduceMean<axes=[2, 3]>(q)\nv = Add(m, e)\nr = Sqrt(v)",
            {"e": 1e-6},
        ),
        "clamped power": (
            "l = Clip(a, lo, hi)\nb = Pow(l, p)\nm = ReduceMean<axes=[2, 3]>(b)\nr = Pow(m, q)",
            {"lo": 1e-6, "hi": 1000.0, "p": 2.5, "q": 0.4},
        ),
        "power": (
            "l = Clip(a, lo)\nb = Pow(l, p)\nm = ReduceMean<axes=[2, 3]>(b)\nr = Pow(m, q)",
            {"lo": 1e-6, "p": 2.5, "q": 0.4},
        ),
        "crop": (
            "t = Slice(a, s, e, d)\nr = ReduceMean<axes=[2, 3]>(t)",
            {"s": [0], "e": [5], "d": [2]},
        ),
        "bins": (right, spans),
        "bins, one wrong": (wrong, others),
        "bins of maxima": (peaks, extremes),
    }


def graphs() -> Iterator[Lookalike]:
    for name, (text, constants) in _inner().items():
        flat = " ".join(text.splitlines())
        yield lookalike(
            f"If, {name}",
            "s0 = ReduceSum<keepdims=0>(X)\nk = Greater(s0, zero)\n"
            f"Y = If(k) <then_branch = t () => (float r) {{ a = Identity(X) {flat} }}, "
            "else_branch = f () => (float n) { n = Neg(X) }>",
            _X,
            plain=_branches(text),
            zero=0.0,
            **constants,
        )
        yield lookalike(
            f"If of a constant, {name}",
            f"Y = If(k) <then_branch = t () => (float r) {{ a = Identity(X) {flat} }}, "
            "else_branch = f () => (float n) { n = Neg(X) }>",
            _X,
            plain=f"a = Identity(X)\n{text}\nY = Identity(r)",
            k=_true(),
            **constants,
        )
        yield lookalike(
            f"Loop, {name}",
            f"o, Y = Loop(trips, k, X) <body = b (int64 i, bool go, float a) => "
            f"(bool on, float n, float r) {{ on = Identity(go) n = Relu(a) {flat} }}>",
            _X,
            plain=_unrolled(text),
            trips=2,
            k=_true(),
            **constants,
        )
        yield lookalike(
            f"Scan, {name}",
            f"Y = Scan<num_scan_inputs=1, body = b (float a0) => (float r) "
            f"{{ a = Unsqueeze(a0, first) {flat} }}>(X)",
            _X,
            plain=f"a = Identity(X)\n{text}\nY = Unsqueeze(r, second)",
            first=[0],
            second=[1],
            **constants,
        )
    yield lookalike(
        "If, an offset of the outer graph",
        "m = ReduceMean<axes=[2, 3]>(X)\n"
        "Y = If(k) <then_branch = t () => (float r) { r = Add(m, e) }, "
        "else_branch = f () => (float n) { n = Neg(m) }>",
        _X,
        plain="m = ReduceMean<axes=[2, 3]>(X)\nY = Add(m, e)",
        k=_true(),
        e=1e-6,
    )
    yield lookalike(
        "Loop that sums, then a division",
        "t = Transpose<perm=[3, 0, 1, 2]>(X)\n"
        "s = Loop(trips, k, z) <body = b (int64 i, bool go, float a) => (bool on, float r) "
        "{ on = Identity(go) x = Gather<axis=0>(t, i) r = Add(a, x) }>\nY = Div(s, n)",
        _X,
        plain="s = ReduceSum<keepdims=0>(X, ax)\nY = Div(s, n)",
        trips=5,
        k=_true(),
        z=0.0,
        n=4.999,
        ax=[3],
    )


def _true() -> Any:
    import numpy as np

    return np.array(True)


def _branches(text: str) -> str:
    return (
        f"s0 = ReduceSum<keepdims=0>(X)\nk = Greater(s0, zero)\na = Identity(X)\n{text}\n"
        "n = Neg(X)\nY = Identity(r)"
    )


def _unrolled(text: str) -> str:
    """Two turns of the loop: of X, then of Relu(X); Y stacks what they give."""
    names = {line.split(" = ")[0] for line in text.splitlines()}
    turns = []
    for turn in ("0", "1"):
        for line in text.splitlines():
            result, call = line.split(" = ", 1)
            op, _, operands = call.rpartition("(")
            parts = [p + turn if p in {*names, "a"} else p for p in operands[:-1].split(", ")]
            turns.append(f"{result}{turn} = {op}({', '.join(parts)})")
    return "\n".join(
        [
            "a0 = Identity(X)",
            "a1 = Relu(X)",
            *turns,
            "u0 = Unsqueeze(r0, front)",
            "u1 = Unsqueeze(r1, front)",
            "Y = Concat<axis=0>(u0, u1)",
        ]
    )
