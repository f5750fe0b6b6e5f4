"""The judge sees a change of value, and takes no other spelling for one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tests.lookalikes.judge import compare
from tests.lookalikes.lookalike import Lookalike, lookalike
from tests.lookalikes.pieces import adaptive, bins, matrix, plane_bins

_PLANE = (1, 3, 6, 5)


def _mean(text: str, **constants: Any) -> Lookalike:
    return lookalike("mean", text, _PLANE, **constants)


MEAN = _mean("Y = ReduceMean<axes=[2, 3]>(X)")
GEM = "a = Clip(X, lo, hi)\nb = Pow(a, p)\nm = ReduceMean<axes=[2, 3]>(b)\nY = Pow(m, q)"
FAULTS = {
    "an offset": (MEAN, _mean("m = GlobalAveragePool(X)\nY = Add(m, e)", e=1e-6)),
    "an offset of 1e-30": (MEAN, _mean("m = GlobalAveragePool(X)\nY = Add(m, e)", e=1e-30)),
    "a factor": (MEAN, _mean("m = GlobalAveragePool(X)\nY = Mul(m, c)", c=1 + 2**-20)),
    "a clamp at 65504": (MEAN, _mean("a = Clip(X, , c)\nY = GlobalAveragePool(a)", c=65504.0)),
    "an overflow": (MEAN, _mean("a = Mul(X, c)\nm = GlobalAveragePool(a)\nY = Div(m, c)", c=1e20)),
    "a clamp of powers": (
        lookalike("gem", GEM, _PLANE, lo=1e-6, hi=1000.0, p=3.0, q=1 / 3),
        lookalike("gem", GEM, _PLANE, lo=1e-6, hi=1e30, p=3.0, q=1 / 3),
    ),
    "a root": (
        lookalike("gem", GEM, _PLANE, lo=1e-6, hi=1e3, p=3.0, q=1 / 3),
        lookalike("gem", GEM, _PLANE, lo=1e-6, hi=1e3, p=3.0, q=0.33334),
    ),
    "an order of ties": (
        lookalike("ties", "Y = ArgMax<axis=2>(X)", (2, 3, 6)),
        lookalike("ties", "Y = ArgMax<axis=2, select_last_index=1>(X)", (2, 3, 6)),
    ),
    "a crop": (
        lookalike("crop", "Y = ReduceMax<axes=[2]>(X)", (1, 2, "L")),
        lookalike(
            "crop",
            "t = Slice(X, z, e, a)\nY = ReduceMax<axes=[2]>(t)",
            (1, 2, "L"),
            z=[0],
            e=[321],
            a=[2],
        ),
    ),
    "a candidate": (
        lookalike("max", "Y = ReduceMax<axes=[2, 3]>(X)", _PLANE),
        lookalike("max", "m = ReduceMax<axes=[2, 3]>(X)\nY = Max(m, c)", _PLANE, c=-1e30),
    ),
    "a shape": (MEAN, _mean("Y = ReduceMean<axes=[2, 3], keepdims=0>(X)")),
    "a type": (MEAN, _mean("m = GlobalAveragePool(X)\nY = Cast<to=11>(m)")),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(name: str) -> None:
    one, other = FAULTS[name]
    assert compare(one, other.model)
    # Where the source overflows it says nothing; where what takes its place does, that is a fault.
    assert compare(other, one.model) or name == "an overflow"


def _bins(op: str) -> tuple[Lookalike, Lookalike]:
    spans = adaptive(13, 6)
    text, constants = bins(spans, 2, op)
    gathered = np.array([range(s, e) for s, e in spans])
    return (
        lookalike("bins", text, (1, 2, 13), **constants),
        lookalike(
            "bins",
            f"t = Gather<axis=2>(X, i)\nY = {op}<axes=[3], keepdims=0>(t)",
            (1, 2, 13),
            i=gathered,
        ),
    )


def _planes() -> tuple[Lookalike, Lookalike]:
    rows, columns = adaptive(13, 5), adaptive(17, 6)
    text, constants = plane_bins(rows, columns)
    return (
        lookalike("plane", text, (1, 2, 13, 17), **constants),
        lookalike(
            "plane",
            "t = MatMul(X, w)\nY = MatMul(v, t)",
            (1, 2, 13, 17),
            w=matrix(17, columns),
            v=matrix(13, rows).T.copy(),
        ),
    )


SPELLINGS = {
    "a mean": (MEAN, _mean("Y = GlobalAveragePool(X)")),
    "a sum": (MEAN, _mean("s = ReduceSum(X, a)\nY = Mul(s, n)", a=[2, 3], n=1 / 30)),
    "bins": _bins("ReduceMean"),
    "bins of maxima": _bins("ReduceMax"),
    "a plane of matrices": _planes(),
    "a power": (
        lookalike("gem", GEM, _PLANE, lo=1e-6, hi=1e3, p=3.0, q=1 / 3),
        lookalike(
            "gem",
            "a = Clip(X, lo, hi)\nc = Mul(a, a)\nb = Mul(c, a)\nm = GlobalAveragePool(b)\n"
            "l = Log(m)\nk = Mul(l, q)\nY = Exp(k)",
            _PLANE,
            lo=1e-6,
            hi=1e3,
            q=1 / 3,
        ),
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_another_spelling_is_no_fault(name: str) -> None:
    one, other = SPELLINGS[name]
    assert not compare(one, other.model)
    assert not compare(other, one.model)


def test_a_source_that_does_not_run_is_no_evidence() -> None:
    graph = lookalike("none", "s = Reshape(X, n)\nY = Identity(s)", (1, 2), n=[3])
    with pytest.raises(ValueError, match="at none of the shapes"):
        compare(graph, onnx.ModelProto.FromString(graph.model.SerializeToString()))
