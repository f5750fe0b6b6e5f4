"""A proof sees every missing and every additional element, weight and constant, and says it."""

import dataclasses
import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from onnxpool.model import shapes
from onnxpool.model.file import ModelFile
from onnxpool.ops.op import Array
from onnxpool.ops.windows import Window, windows
from onnxpool.rewrites.graph.contents import Contents
from onnxpool.rewrites.lift import adaptive_average_pool, adaptive_max_pool, gem_pool
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.lift.rule import Meanings, Rule, judge
from onnxpool.rewrites.region.computation import Constants, compute
from onnxpool.rewrites.region.proof import windows_of
from onnxpool.rewrites.region.region import Region, RegionFinder
from onnxpool.rewrites.region.semantics import SEMANTICS
from onnxpool.rewrites.region.terms import TooLarge
from tests.exports import Graph, cut, reduced, separable
from tests.rewrites.test_find import find_in

OPSET = 17
SIZE = 6
SHAPE = (2, 2, SIZE, SIZE)
OFF_BY_ONE = re.compile(
    r"it is not adaptive (average|max) pooling: window \d+ (lacks|has) \d+ (more )?elements"
)


def shifted() -> list[tuple[int, tuple[Window, ...]]]:
    """The windows of 6 to 4 with one bound of one window moved by one, on either axis."""
    cases = []
    right = windows(SIZE, 4)
    for axis, i, (start, end) in itertools.product(
        (2, 3), range(len(right)), [(-1, 0), (1, 0), (0, -1), (0, 1)]
    ):
        moved = Window(right[i].start + start, right[i].end + end)
        if 0 <= moved.start < moved.end <= SIZE:
            cases.append((axis, (*right[:i], moved, *right[i + 1 :])))
    return cases


@pytest.mark.parametrize("op_type", ["ReduceMax", "ReduceMean"])
@pytest.mark.parametrize(("axis", "bins"), shifted())
def test_a_window_that_is_off_by_one_is_no_adaptive_pooling(
    axis: int, bins: tuple[Window, ...], op_type: str
) -> None:
    g = Graph()
    x = "X"
    for pooled in (2, 3):
        chosen = bins if pooled == axis else windows(SIZE, 4)
        parts = [
            reduced(g, cut(g, x, pooled, w.start, w.end), pooled, w.length, op_type) for w in chosen
        ]
        x = g("Concat", *parts, axis=pooled)
    constructs, declined = find_in(g.model((1, 1, SIZE, SIZE), x))
    # The axis with the right windows is pooling in itself.
    assert all(c.op.attributes()["output_size"][axis - 2] == -1 for c in constructs if not c.best)
    assert any(OFF_BY_ONE.fullmatch(d.reason) for d in declined), declined


def why_not(rule: Rule, build: Callable[[Graph], str], dtype: int = onnx.TensorProto.FLOAT) -> str:
    """Why all that lies between X and what `build` returns is not the op of `rule`."""
    g = Graph()
    verdict = judge(rule, _region(g, build(g), dtype), Meanings(Constants(OPSET), Contents()))
    if isinstance(verdict, Construct):
        return ""
    assert isinstance(verdict, Declined)
    return verdict.reason


def _region(g: Graph, y: str, dtype: int = onnx.TensorProto.FLOAT) -> Region:
    """All that lies between X and `y`."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        g.nodes,
        "main",
        [info("X", onnx.TensorProto.FLOAT, SHAPE)],
        [info(y, dtype, None)],
        g.constants,
    )
    file = ModelFile.from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    )
    shapes.infer(file)
    (scope,) = file.scopes
    (end,) = scope.graph.outputs
    *_, region = (r for r in RegionFinder(scope.graph).regions(end) if r.x.name == "X")
    return region


@pytest.mark.parametrize("size", [(1, 10**9), (9000, 9000)])
def test_a_file_may_declare_any_number_of_windows(size: tuple[int, int]) -> None:
    g = Graph()
    value = compute(_region(g, maxima(g)), SHAPE, {2, 3}, Constants(OPSET))
    with pytest.raises(TooLarge, match="too large to try"):
        windows_of(value, SHAPE, size)


def number(value: Any) -> Array:
    return np.asarray(value, np.float32)


def means(g: Graph, x: str, off: int = 0) -> str:
    """The mean of each row; one weight is off by some units of rounding."""
    weights = np.full((SIZE, 1), 1 / SIZE)
    weights[2] *= 1 + off * 2.0**-24
    return g("MatMul", x, weights.astype(np.float32))


def maxima(g: Graph) -> str:
    return separable(g, SHAPE, (4, 4), "ReduceMax")[-1]


def generalised(
    g: Graph,
    clamp: tuple[float, ...] = (1e-6,),
    p: Any = 3.0,
    root: Any = 1 / 3,
    axes: Any = (2, 3),
) -> str:
    powers = g("Pow", g("Clip", "X", *map(number, clamp)), number(p))
    return g("Pow", g("ReduceMean", powers, axes=axes, keepdims=1), number(root))


def indices(g: Graph, before: str = "X", last: int = 0) -> str:
    plane = g("Reshape", before, np.array([2, 2, SIZE * SIZE]))
    stood = g("ArgMax", plane, axis=2, keepdims=1, select_last_index=last)
    return g("Reshape", stood, np.array([2, 2, 1, 1]))


AVERAGE, MAX, GEM = adaptive_average_pool.RULE, adaptive_max_pool.RULE, gem_pool.RULE
AROUND = np.array([0, 0, 1, 1, 0, 0, 1, 1])
POWERS_BY_ROW = np.array([3, 3, 2, 3, 3, 3]).reshape(1, 1, SIZE, 1)


@pytest.mark.parametrize(
    ("rule", "build"),
    [
        (AVERAGE, lambda g: means(g, "X")),
        (AVERAGE, lambda g: means(g, "X", 2)),
        (MAX, maxima),
        (GEM, generalised),
    ],
)
def test_the_right_ones_are_found(rule: Rule, build: Callable[[Graph], str]) -> None:
    assert why_not(rule, build) == ""


@pytest.mark.parametrize(
    ("rule", "build", "reason"),
    [
        (AVERAGE, lambda g: means(g, "X", 8), "an element has weight 0.166666746 in a window of 6"),
        (AVERAGE, lambda g: g("Add", means(g, "X"), number(1e-12)), "1e-12 is added"),
        (
            AVERAGE,
            lambda g: means(g, g("Transpose", "X", perm=[1, 0, 2, 3])),
            "its axes are not those of its input",
        ),
        (MAX, lambda g: g("GlobalMaxPool", g("Pad", "X", AROUND, number(-5))), "-5 competes"),
        (GEM, lambda g: generalised(g, root=0.3), "its root is 3.33333, of powers 3"),
        (GEM, lambda g: generalised(g, (1e-6, 6)), "it is clamped at 6 from above"),
        (
            GEM,
            lambda g: generalised(g, (-1,)),
            "it is clamped at several values, or at one below 0",
        ),
        (GEM, lambda g: generalised(g, p=POWERS_BY_ROW), "a sum of different powers or clamps"),
        (
            GEM,
            lambda g: generalised(g, p=POWERS_BY_ROW, root=1 / POWERS_BY_ROW, axes=[3]),
            "its exponents differ inside a channel",
        ),
    ],
)
def test_what_is_different_is_said(rule: Rule, build: Callable[[Graph], str], reason: str) -> None:
    assert why_not(rule, build) == f"it is not {rule.title}: {reason}"


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (
            lambda g: indices(g, last=1),
            "of equal elements it is not the first that is taken",
        ),
        (
            lambda g: indices(g, g("Transpose", "X", perm=[0, 1, 3, 2])),
            "an index is not the position in its plane",
        ),
        (lambda g: g("Add", indices(g), np.array(1)), "an index is not the position in its plane"),
    ],
)
def test_indices_of_another_element(build: Callable[[Graph], str], reason: str) -> None:
    found = why_not(MAX, build, onnx.TensorProto.INT64)
    assert found == f"it is not adaptive max pooling: {reason}"


def test_an_attribute_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = dataclasses.replace(SEMANTICS["Concat"], attributes=frozenset())
    monkeypatch.setitem(SEMANTICS, "Concat", known)
    assert why_not(MAX, maxima) == (
        "it is not adaptive max pooling: Concat with the attribute 'axis', which is not known"
    )


def test_a_revision_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SEMANTICS, "Concat", dataclasses.replace(SEMANTICS["Concat"], newest=12))
    assert why_not(MAX, maxima) == (
        "it is not adaptive max pooling: Concat of opset 13; it is known up to 12"
    )
