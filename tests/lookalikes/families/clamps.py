"""A mean, a power mean or a maximum with a clamp that pooling has not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.lookalikes.lookalike import Lookalike, lookalike
from tests.lookalikes.pieces import adaptive, bins

_X = (1, 3, 6, 5)
_POWERS: dict[str, tuple[float, float]] = {"3": (3.0, 1 / 3), "2.5": (2.5, 0.4), "2": (2.0, 0.5)}


def graphs() -> Iterator[Lookalike]:
    yield from _above()
    yield from _gem()
    yield from _means()
    yield from _maxima()
    yield from _honest()


def _power(clamp: str, mean: str = "", root: str = "") -> str:
    """GeM with something between X and a, between b and m, between m and r, and behind."""
    return "\n".join(
        [
            clamp or "a = Identity(X)",
            "b = Pow(a, p)",
            mean or "c = Identity(b)",
            "m = ReduceMean<axes=[2, 3]>(c)",
            root or "r = Identity(m)",
            "Y = Pow(r, q)",
        ]
    )


def _above() -> Iterator[Lookalike]:
    """The lower clamp of GeM, with an upper one that only large values see."""
    for exponent, (p, q) in _POWERS.items():
        for high in (1.0, 6.0, 10.0, 1000.0, 65504.0, 1e6, 1e10):
            yield lookalike(
                f"GeM {exponent}, Clip at {high:g}",
                _power("a = Clip(X, lo, hi)"),
                _X,
                lo=1e-6,
                hi=high,
                p=p,
                q=q,
            )
    forms = {
        "Min of Max": "l = Max(X, lo)\na = Min(l, hi)",
        "Max of Min": "l = Min(X, hi)\na = Max(l, lo)",
        "two Clips": "l = Clip(X, lo)\na = Clip(l, , hi)",
        "Relu and Min": "l = Relu(X)\na = Min(l, hi)",
    }
    for name, text in forms.items():
        for high in (1000.0, 65504.0):
            text_ = _power(text)
            yield lookalike(
                f"GeM 3, {name} at {high:g}", text_, _X, lo=1e-6, hi=high, p=3.0, q=1 / 3
            )


def _gem() -> Iterator[Lookalike]:
    values: dict[str, Any] = {"lo": 1e-6, "p": 3.0, "q": 1 / 3}
    inside = {
        "powers at least 1e-6": _power("a = Clip(X, lo)", mean="c = Clip(b, lo)"),
        "only powers at least 1e-6": _power("a = Relu(X)", mean="c = Clip(b, lo)"),
        "only powers at least 1e-12": _power("a = Relu(X)", mean="c = Max(b, tiny)"),
        "powers at most 1e6": _power("a = Clip(X, lo)", mean="c = Min(b, million)"),
        "mean at least 1e-6": _power("a = Clip(X, lo)", root="r = Clip(m, lo)"),
        "only mean at least 1e-6": _power("a = Relu(X)", root="r = Clip(m, lo)"),
        "mean at most 1e6": _power("a = Clip(X, lo)", root="r = Min(m, million)"),
        "mean + 1e-6": _power("a = Clip(X, lo)", root="r = Add(m, lo)"),
        "X + 1e-6": _power("l = Relu(X)\na = Add(l, lo)"),
        "powers + 1e-6": _power("a = Clip(X, lo)", mean="c = Add(b, lo)"),
        "Abs": _power("a = Abs(X)"),
        "Abs, then the clamp": _power("l = Abs(X)\na = Clip(l, lo)"),
        "Abs behind the clamp at -1": _power("l = Clip(X, minus)\na = Abs(l)"),
        "only a maximum": _power("l = Abs(X)\na = Clip(l, , million)"),
        "clamped at 1 below": _power("a = Clip(X, one)"),
        "clamp per channel": _power("a = Max(X, channels)"),
        "one clamp per channel is 0": _power("a = Max(X, odd)"),
        "negated": _power("l = Neg(X)\na = Clip(l, lo)"),
        "softplus": _power("a = Softplus(X)"),
    }
    arrays = {
        "tiny": 1e-12,
        "million": 1e6,
        "minus": -1.0,
        "one": 1.0,
        "channels": np.array([1e-6, 1e-3, 0.1], np.float32).reshape(3, 1, 1),
        "odd": np.array([1e-6, 1e-6, 0], np.float32).reshape(3, 1, 1),
    }
    for name, text in inside.items():
        used = {k: v for k, v in (values | arrays).items() if k in text.replace("(", " ( ")}
        yield lookalike(f"GeM 3, {name}", text, _X, **used)
    for name, clamp in {
        "Clip at 1000": "Y = Clip(g, , hi)",
        "Min with 1000": "Y = Min(g, hi)",
        "Max with 1e-3": "Y = Max(g, least)",
        "Relu": "Y = Relu(g)",
    }.items():
        text = _power("a = Clip(X, lo)").replace("Y = Pow", "g = Pow")
        extra: dict[str, Any] = (
            {"hi": 1000.0} if "hi" in clamp else {"least": 1e-3} if "least" in clamp else {}
        )
        yield lookalike(f"GeM 3, {name} behind", f"{text}\n{clamp}", _X, **values, **extra)


def _means() -> Iterator[Lookalike]:
    forms: dict[str, tuple[str, dict[str, Any]]] = {
        "Relu before": ("a = Relu(X)\nY = ReduceMean<axes=[2, 3]>(a)", {}),
        "Relu behind": ("m = ReduceMean<axes=[2, 3]>(X)\nY = Relu(m)", {}),
        "Relu between": (
            "w = ReduceMean<axes=[3]>(X)\na = Relu(w)\nY = ReduceMean<axes=[2]>(a)",
            {},
        ),
        "Relu6 before": ("a = Clip(X, z, hi)\nY = GlobalAveragePool(a)", {"z": 0.0, "hi": 6.0}),
        "at most 1000": ("a = Min(X, hi)\nY = GlobalAveragePool(a)", {"hi": 1000.0}),
        "at most 65504": ("a = Clip(X, , hi)\nY = GlobalAveragePool(a)", {"hi": 65504.0}),
        "at most 1e10": ("a = Clip(X, , hi)\nY = GlobalAveragePool(a)", {"hi": 1e10}),
        "at least -1000": ("a = Max(X, lo)\nY = GlobalAveragePool(a)", {"lo": -1000.0}),
        "within 65504": (
            "a = Clip(X, lo, hi)\nY = GlobalAveragePool(a)",
            {"lo": -65504.0, "hi": 65504.0},
        ),
        "within 1e10, behind": (
            "a = GlobalAveragePool(X)\nY = Clip(a, lo, hi)",
            {"lo": -1e10, "hi": 1e10},
        ),
        "within 1e10, between": (
            "w = ReduceMean<axes=[3]>(X)\na = Clip(w, lo, hi)\nY = ReduceMean<axes=[2]>(a)",
            {"lo": -1e10, "hi": 1e10},
        ),
        "Abs before": ("a = Abs(X)\nY = GlobalAveragePool(a)", {}),
        "Abs behind": ("a = GlobalAveragePool(X)\nY = Abs(a)", {}),
        "ReduceL1 / n": ("a = ReduceL1<axes=[2, 3]>(X)\nY = Div(a, n)", {"n": 30.0}),
        "Where below 1e10": (
            "c = Less(X, hi)\na = Where(c, X, hi)\nY = GlobalAveragePool(a)",
            {"hi": 1e10},
        ),
    }
    for name, (text, constants) in forms.items():
        yield lookalike(f"mean, {name}", text, _X, **constants)


def _maxima() -> Iterator[Lookalike]:
    text, constants = bins(adaptive(7, 4), 2, "ReduceMax", y="m")
    clamps: dict[str, tuple[str, dict[str, Any]]] = {
        "Relu": ("Relu({})", {}),
        "Max with -1e30": ("Max({}, c)", {"c": -1e30}),
        "Max with -65504": ("Max({}, c)", {"c": -65504.0}),
        "Min with 1e30": ("Min({}, c)", {"c": 1e29}),
        "Clip within 1000": ("Clip({}, lo, hi)", {"lo": -1000.0, "hi": 1000.0}),
        "Clip within 65504": ("Clip({}, lo, hi)", {"lo": -65504.0, "hi": 65504.0}),
        "Abs": ("Abs({})", {}),
    }
    for name, (clamp, values) in clamps.items():
        yield lookalike(
            f"bins of maxima, {name} behind",
            f"{text}\nY = {clamp.format('m')}",
            (1, 2, 7),
            **constants,
            **values,
        )
        before = text.replace("Slice(X", "Slice(a")
        yield lookalike(
            f"bins of maxima, {name} before",
            f"a = {clamp.format('X')}\n{before}\nY = Identity(m)",
            (1, 2, 7),
            **constants,
            **values,
        )


def _honest() -> Iterator[Lookalike]:
    for exponent, (p, q) in _POWERS.items():
        for name, clamp in {"Clip": "a = Clip(X, lo)", "Max": "a = Max(X, lo)"}.items():
            yield lookalike(
                f"GeM {exponent}, {name}", _power(clamp), _X, lo=1e-6, p=p, q=q, found=True
            )
        yield lookalike(f"GeM {exponent}, Relu", _power("a = Relu(X)"), _X, p=p, q=q, found=True)
    text, constants = bins(adaptive(7, 4), 2, "ReduceMax")
    yield lookalike("bins of maxima", text, (1, 2, 7), found=True, **constants)
