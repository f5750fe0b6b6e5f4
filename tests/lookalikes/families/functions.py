"""Look-alikes in model-local functions, or across their calls; attributes by reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import onnx
from onnx import helper, parser

from tests.lookalikes.lookalike import Lookalike, lookalike

_X = (1, 3, 6, 5)


def graphs() -> Iterator[Lookalike]:
    yield from _whole()
    yield from _across()
    yield from _references()


def _function(
    name: str, inputs: Sequence[str], text: str, attributes: Sequence[str] = ()
) -> onnx.FunctionProto:
    nodes = [parser.parse_node(line) for line in text.splitlines()]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, inputs, ["y"], nodes, imports, list(attributes))


def _whole() -> Iterator[Lookalike]:
    """All of it in one function."""
    bodies: dict[str, tuple[str, dict[str, Any]]] = {
        "mean + eps": ("m = ReduceMean<axes=[2, 3]>(a)\ny = Add(m, e)", {"e": 1e-6}),
        "mean x c": ("m = ReduceMean<axes=[2, 3]>(a)\ny = Mul(m, e)", {"e": 1.0001}),
        "RMSNorm": (
            "q = Mul(a, a)\nm = ReduceMean<axes=[-1]>(q)\nv = Add(m, e)\nr = Sqrt(v)\n"
            "y = Div(a, r)",
            {"e": 1e-6},
        ),
        "Clip by an input": ("l = Clip(a, , e)\ny = ReduceMean<axes=[2, 3]>(l)", {"e": 1000.0}),
        "mean": ("m = ReduceMean<axes=[2, 3]>(a)\ny = Mul(m, e)", {"e": 1.0}),
        "separable": (
            "m = ReduceMean<axes=[3]>(a)\ns = Mul(m, e)\ny = ReduceMean<axes=[2]>(s)",
            {"e": 1.0001},
        ),
        "maximum": ("m = ReduceMax<axes=[2, 3]>(a)\ny = Max(m, e)", {"e": -1e30}),
    }
    for name, (text, constants) in bodies.items():
        local = _function("f", ["a", "e"], text)
        plain = f"a = Identity(X)\n{text}\nY = Identity(y)"
        call = "Y = local.f(X, e)"
        yield lookalike(name, call, _X, functions=[local], plain=plain, **constants)
        twice = "u = local.f(X, e)\nv = local.f(X, z)\nY = Add(u, v)"
        second = "\n".join(
            f"{line.split(' = ')[0]}2 = " + _renamed(line.split(" = ", 1)[1], text)
            for line in text.splitlines()
        )
        yield lookalike(
            f"{name}, called with two constants",
            twice,
            _X,
            functions=[local],
            plain=f"a = Identity(X)\n{text}\n{second}\nY = Add(y, y2)",
            z=0.5,
            **constants,
        )


def _renamed(call: str, text: str) -> str:
    """A call of the second copy: results end in 2, and z stands for e."""
    results = {line.split(" = ")[0] for line in text.splitlines()}
    op, _, operands = call.rpartition("(")
    parts = (f"{p}2" if p in results else "z" if p == "e" else p for p in operands[:-1].split(", "))
    return f"{op}({', '.join(parts)})"


def _across() -> Iterator[Lookalike]:
    """Part of it behind a call."""
    power = _function("power", ["a", "b"], "y = Pow(a, b)")
    shifted = _function("shifted", ["a", "b"], "c = Add(a, b)\ny = Identity(c)")
    clamped = _function("clamped", ["a", "b"], "y = Min(a, b)")
    mean = _function("mean", ["a"], "y = ReduceMean<axes=[2, 3]>(a)")
    nested = _function("nested", ["a", "b"], "m = local.mean(a)\ny = local.shifted(m, b)")
    gem = "l = Clip(X, lo)\nb = {}(l, p)\nm = {}(b)\n{}Y = {}({}, q)"
    values: dict[str, Any] = {"lo": 1e-6, "p": 3.0, "q": 1 / 3}
    calls = ("local.power", "local.mean", "", "local.power", "m")
    plain = ("Pow", "ReduceMean<axes=[2, 3]>", "", "Pow", "m")
    yield lookalike(
        "GeM by calls",
        gem.format(*calls),
        _X,
        functions=[power, mean],
        plain=gem.format(*plain),
        **values,
    )
    yield lookalike(
        "GeM by calls, mean + 1e-6",
        gem.format(*calls[:2], "s = local.shifted(m, lo)\n", "local.power", "s"),
        _X,
        functions=[power, mean, shifted],
        plain=gem.format(*plain[:2], "s = Add(m, lo)\n", "Pow", "s"),
        **values,
    )
    yield lookalike(
        "GeM by calls, at most 1000",
        "c = local.clamped(X, hi)\n" + gem.format(*calls).replace("Clip(X", "Clip(c"),
        _X,
        functions=[power, mean, clamped],
        plain="c = Min(X, hi)\n" + gem.format(*plain).replace("Clip(X", "Clip(c"),
        hi=1000.0,
        **values,
    )
    yield lookalike(
        "calls in calls",
        "Y = local.nested(X, e)",
        _X,
        functions=[mean, shifted, nested],
        plain="m = ReduceMean<axes=[2, 3]>(X)\nY = Add(m, e)",
        e=1e-6,
    )
    yield lookalike(
        "a mean, then a call that shifts",
        "m = GlobalAveragePool(X)\nY = local.shifted(m, e)",
        _X,
        functions=[shifted],
        plain="m = GlobalAveragePool(X)\nY = Add(m, e)",
        e=1e-6,
    )
    yield lookalike(
        "a call that shifts, then a mean",
        "m = local.shifted(X, e)\nY = GlobalAveragePool(m)",
        _X,
        functions=[shifted],
        plain="m = Add(X, e)\nY = GlobalAveragePool(m)",
        e=1e-6,
    )


def _references() -> Iterator[Lookalike]:
    """What an attribute is, each call says."""
    cases = {
        "axes": ("y = ReduceMean<axes: ints = @k>(a)", "k=[1, 2]", "ReduceMean<axes=[1, 2]>"),
        "keepdims": (
            "y = ReduceMean<axes=[2, 3], keepdims: int = @k>(a)",
            "k=0",
            "ReduceMean<axes=[2, 3], keepdims=0>",
        ),
        "last index": (
            "y = ArgMax<axis=2, select_last_index: int = @k>(a)",
            "k=1",
            "ArgMax<axis=2, select_last_index=1>",
        ),
        "kernel": (
            "y = AveragePool<kernel_shape: ints = @k, strides=[2, 2]>(a)",
            "k=[3, 3]",
            "AveragePool<kernel_shape=[3, 3], strides=[2, 2]>",
        ),
        "ceil_mode": (
            "y = MaxPool<kernel_shape=[2, 2], strides=[2, 2], ceil_mode: int = @k>(a)",
            "k=1",
            "MaxPool<kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1>",
        ),
        "pads counted": (
            "y = AveragePool<kernel_shape=[6, 5], pads=[0, 0, 0, 0], "
            "count_include_pad: int = @k>(a)",
            "k=1",
            "AveragePool<kernel_shape=[6, 5]>",
        ),
        "permutation": (
            "t = Transpose<perm: ints = @k>(a)\ny = GlobalAveragePool(t)",
            "k=[0, 2, 1, 3]",
            "",
        ),
    }
    for name, (text, attribute, op) in cases.items():
        local = _function("f", ["a"], text, ["k"])
        if op:
            plain = f"Y = {op}(X)"
        else:
            plain = "t = Transpose<perm=[0, 2, 1, 3]>(X)\nY = GlobalAveragePool(t)"
        yield lookalike(
            f"attribute {name}", f"Y = local.f<{attribute}>(X)", _X, functions=[local], plain=plain
        )
