"""Lowering where only the runtime knows the sizes: one model, right at every size."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from onnxpool.ops import (
    COMPUTED,
    KEEP,
    AdaptiveAveragePool,
    AdaptiveMaxPool,
    GeMPool,
    Op,
    PyramidPool,
)
from onnxpool.ops.op import Array
from onnxpool.ops.windows import windows
from onnxpool.rewrites.graph.tensors import numpy_type
from onnxpool.rewrites.graph.verify import verify
from onnxpool.rewrites.lower import STRATEGIES, Unsupported, lower
from tests.cases import Case, Draw, minus_infinity, negative, normal, positive, ties
from tests.rewrites.lower.lowered import (
    BFLOAT16,
    NEWEST,
    NEWEST_OF_ONNX_RUNTIME,
    graph_of,
    with_float_interface,
)
from tests.rewrites.lower.test_strategies import assert_equals_reference, bounds

FIRST_OPSET = 11
"""The first with Range."""
SYMBOLS = ("N", "C", "D", "H", "W")
Plane = tuple[int, ...]


class Lowered:
    """A lowered dialect node, checked and ready to run at any size."""

    def __init__(
        self,
        op: Op,
        shape: Sequence[int | str | None],
        *,
        opset: int = 17,
        dtype: Any = np.float32,
        outputs: int = 1,
        p: Array | gs.Variable | None = None,
        strategy: str = "auto",
    ) -> None:
        graph = graph_of(op, tuple(shape), opset, dtype, outputs, p)
        verify(graph)
        self.used = lower(graph, graph.nodes[0], opset, strategy)
        self.model = gs.export_onnx(graph)
        onnx.checker.check_model(self.model, full_check=True)
        assert {node.domain for node in self.model.graph.node} <= {"", None}
        self.ops = [node.op_type for node in self.model.graph.node]

    @functools.cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        model = with_float_interface(self.model).SerializeToString()
        return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])

    def __call__(self, *inputs: Array) -> list[Array]:
        names = [value.name for value in self._session.get_inputs()]
        floats = [x.astype(np.float32) if x.dtype == ml_dtypes.bfloat16 else x for x in inputs]
        found = self._session.run(None, dict(zip(names, floats, strict=True)))
        return [np.asarray(y) for y in found]

    def check(self, case: Case, dtype: Any = np.float32, *parameters: Array) -> None:
        x, *_ = case.inputs(dtype)
        assert_equals_reference(case, self(x, *parameters), dtype)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("bins", [2, 3, 6, 7, 20])
def test_every_size_of_one_axis(bins: int, outputs: int) -> None:
    op = AdaptiveMaxPool((bins,)) if outputs == 2 else AdaptiveAveragePool((bins,))
    lowered = Lowered(op, ("N", 3, "L"), outputs=outputs)
    for length in range(1, 65):
        lowered.check(Case(op, (2, 3, length), outputs=outputs))


@pytest.mark.parametrize(
    ("op", "outputs"),
    [
        (AdaptiveAveragePool((6, 6)), 1),
        (AdaptiveMaxPool((5, 7)), 2),
        (PyramidPool((1, 1, 2, 2, 3, 3, 6, 6), 4), 4),
        (PyramidPool((1, 1, 2, 2, 3, 3, 6, 6), 4, "max"), 4),
    ],
    ids=str,
)
def test_every_square_size(op: Op, outputs: int) -> None:
    lowered = Lowered(op, ("N", "C", "H", "W"), outputs=outputs)
    for size in range(1, 41):
        lowered.check(Case(op, (1, 2, size, size), outputs=outputs))


@st.composite
def configurations(draw: st.DrawFn) -> tuple[Op, int, tuple[float, ...], list[int | str | None]]:
    """An op, its number of outputs, its exponents, and a shape of which not all is known."""
    k = draw(st.integers(1, 3))
    size = tuple(draw(st.integers(1, 20) | st.just(KEEP)) for _ in range(k))
    levels = ((2,) * k, size, (1,) * k, (3,) * k)
    pyramid = tuple(itertools.chain(*levels))
    op, outputs, p = draw(
        st.sampled_from(
            [
                (AdaptiveAveragePool(size), 1, ()),
                (AdaptiveMaxPool(size), 1, ()),
                (AdaptiveMaxPool(size), 2, ()),
                (GeMPool(size, 1e-3), 1, (2.5,)),
                (GeMPool(size, 1e-3), 1, (1.5, 3.0, 4.0)),
                (PyramidPool(pyramid, 4), 4, ()),
                (PyramidPool(pyramid, 4, "max"), 4, ()),
            ]
        )
    )
    lead: list[int | str | None] = draw(st.sampled_from([["N", "C"], ["N", 3], [None, 3], [3]]))
    plane = [
        draw(st.sampled_from([symbol, symbol, None, 13]))
        for symbol in draw(st.sampled_from([SYMBOLS[-k:], ("S",) * k]))
    ]
    return op, outputs, p, [*lead, *plane]


@given(configuration=configurations(), data=st.data())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_any_configuration_at_any_size(configuration: Any, data: st.DataObject) -> None:
    op, outputs, p, shape = configuration
    strategy = data.draw(st.sampled_from(STRATEGIES))
    exponents = np.array(p, np.float32) if p else None
    lowered = Lowered(op, shape, outputs=outputs, p=exponents, strategy=strategy)
    rank = len(shape)
    largest = (40, 40, 14)[rank - 1 - ("N" in shape or None in shape[:1]) - 1]
    for _ in range(6):
        number = {name: data.draw(st.integers(1, largest)) for name in SYMBOLS[2:]}
        number |= {"S": data.draw(st.integers(1, largest)), "N": 2, "C": 3}
        drawn = [number[d] if isinstance(d, str) else d for d in shape]
        sizes = [data.draw(st.integers(1, largest)) if d is None else d for d in drawn]
        draw = data.draw(st.sampled_from([normal, negative, ties, positive]))
        lowered.check(Case(op, tuple(sizes), draw, p, outputs))


@given(data=st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_computed_size(data: st.DataObject) -> None:
    k = data.draw(st.integers(1, 3))
    size = tuple(data.draw(st.sampled_from([COMPUTED, COMPUTED, KEEP, 1, 4])) for _ in range(k))
    pool: Any = data.draw(st.sampled_from([AdaptiveAveragePool, AdaptiveMaxPool]))
    outputs = 2 if pool is AdaptiveMaxPool else 1
    static = data.draw(st.booleans())
    largest = (40, 20, 9)[k - 1]
    plane = tuple(data.draw(st.integers(1, largest)) for _ in range(k))
    parameter = gs.Variable("size", np.dtype(np.int64), (k,)) if COMPUTED in size else None
    shape = (2, 3, *(plane if static else SYMBOLS[-k:]))
    lowered = Lowered(pool(size), shape, outputs=outputs, p=parameter)
    for _ in range(4):
        if not static:
            plane = tuple(data.draw(st.integers(1, largest)) for _ in range(k))
        wanted = [data.draw(st.integers(1, 20)) for _ in range(k)]
        known = tuple(w if s == COMPUTED else s for s, w in zip(size, wanted, strict=True))
        case = Case(pool(known), (2, 3, *plane), outputs=outputs)
        lowered.check(case, np.float32, *([np.array(wanted)] if parameter is not None else []))


PLANE = (1, 2, "H", "W")
CONFIGURATIONS: tuple[tuple[Op, tuple[int | str, ...], int, Draw, tuple[float, ...]], ...] = (
    (AdaptiveAveragePool((3, 4)), PLANE, 1, normal, ()),
    (AdaptiveAveragePool((4,)), ("C", "W"), 1, normal, ()),
    (AdaptiveAveragePool((2, 3, KEEP)), (1, 2, "D", "H", "W"), 1, normal, ()),
    (AdaptiveAveragePool((2, 3, 4)), (1, 2, "D", "H", 9), 1, normal, ()),
    (AdaptiveMaxPool((3, 4)), PLANE, 1, normal, ()),
    (AdaptiveMaxPool((3, KEEP)), PLANE, 2, normal, ()),
    (AdaptiveMaxPool((1, 3)), PLANE, 2, normal, ()),
    (AdaptiveMaxPool((KEEP, KEEP)), PLANE, 2, normal, ()),
    (GeMPool((3, 4), 1e-6), PLANE, 1, positive, (5.0,)),
    (GeMPool((3, 1), 1e-6), PLANE, 1, positive, (2.5, 7.0)),
    (PyramidPool((1, 1, 2, 2, 3, 3), 3), PLANE, 3, normal, ()),
    (PyramidPool((1, 1, 2, 2, 4, 4), 3, "max"), PLANE, 3, normal, ()),
)
DTYPES = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": BFLOAT16}


def each_configuration(opset: int, dtype: Any) -> Any:
    for op, shape, outputs, draw, p in CONFIGURATIONS:
        exponents = np.array(p, numpy_type(dtype)) if p else None
        yield (
            Lowered(op, shape, opset=opset, dtype=dtype, outputs=outputs, p=exponents),
            [Case(op, concrete(shape, i), draw, p, outputs) for i in (0, 1)],
        )


def concrete(shape: Sequence[int | str], which: int) -> Plane:
    numbers = ({"C": 3, "D": 5, "H": 13, "W": 9}, {"C": 1, "D": 1, "H": 2, "W": 12})[which]
    return tuple(numbers[d] if isinstance(d, str) else d for d in shape)


def takes(opset: int, dtype: str) -> bool:
    return dtype != "bfloat16" or opset >= 13


@pytest.mark.parametrize("opset", range(FIRST_OPSET, NEWEST + 1))
def test_every_opset(opset: int) -> None:
    for lowered, cases in each_configuration(opset, np.float32):
        for case in cases:
            if opset <= NEWEST_OF_ONNX_RUNTIME:
                lowered.check(case)
            else:
                evaluator = ReferenceEvaluator(lowered.model)
                found = list(evaluator.run(None, {"X": case.inputs()[0]}))
                assert_equals_reference(case, found, np.float32)


@pytest.mark.parametrize("opset", [FIRST_OPSET, 13, 18, NEWEST_OF_ONNX_RUNTIME])
@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != "float32"])
def test_every_dtype(dtype: str, opset: int) -> None:
    if takes(opset, dtype):
        for lowered, cases in each_configuration(opset, DTYPES[dtype]):
            for case in cases:
                lowered.check(case, numpy_type(DTYPES[dtype]))


def test_an_opset_without_range_is_refused() -> None:
    with pytest.raises(Unsupported, match="opset 10 has no Range; it starts at opset 11"):
        Lowered(AdaptiveAveragePool((3, 4)), ("N", "C", "H", "W"), opset=10)


@pytest.mark.parametrize("draw", [ties, negative, minus_infinity])
@pytest.mark.parametrize("size", [(3, 4), (7, KEEP), (1, 5)], ids=str)
def test_indices_are_those_of_the_first_maximum(size: Plane, draw: Draw) -> None:
    op = AdaptiveMaxPool(size)
    lowered = Lowered(op, ("N", "C", "H", "W"), outputs=2)
    for plane in ((1, 1), (2, 3), (17, 11), (12, 20)):
        case = Case(op, (2, 3, *plane), draw, outputs=2)
        for found, expected in zip(
            lowered(*case.inputs()), op.reference(*case.inputs()), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def starts_in_float32(length: int, bins: int) -> Array:
    """What the bounds would be in float32 arithmetic."""
    index = np.arange(bins, dtype=np.float32)
    return np.asarray(np.floor(index * np.float32(length) / np.float32(bins)), np.int64)


def starts(length: int, bins: int) -> Array:
    return np.array([window.start for window in windows(length, bins)])


def test_an_average_over_an_axis_where_float32_bounds_are_wrong() -> None:
    length, bins = 16_985, 1_009
    assert length * bins > 2**24
    assert (starts_in_float32(length, bins) != starts(length, bins)).any()
    op = AdaptiveAveragePool((bins,))
    Lowered(op, (1, 1, "L")).check(Case(op, (1, 1, length)))


# The products of the second pass 2^32.
@pytest.mark.parametrize(("length", "bins"), [(100_003, 3_001), (3_000_001, 2_003)])
def test_a_maximum_and_its_position_on_a_very_long_axis(length: int, bins: int) -> None:
    assert (starts_in_float32(length, bins) != starts(length, bins)).any()
    op = AdaptiveMaxPool((bins,))
    Lowered(op, (1, 1, "L"), outputs=2).check(Case(op, (1, 1, length), outputs=2))


@pytest.mark.parametrize("p", [[3.0], [7.0], [2.5, 9.0]], ids=str)
@pytest.mark.parametrize("known", [True, False])
def test_gem_in_float16_neither_overflows_nor_vanishes(p: list[float], known: bool) -> None:
    op = GeMPool((3, 4), 1e-6)
    exponents = np.array(p, np.float16)
    parameter = exponents if known else gs.Variable("p", np.dtype(np.float16), exponents.shape)
    lowered = Lowered(op, ("N", 2, "H", "W"), dtype=np.float16, p=parameter)
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1.0, 6e4):
        x = (rng.uniform(0.5, 1, (2, 2, 13, 10)) * scale).astype(np.float16)
        (y,) = lowered(x, *([] if known else [exponents]))
        (expected,) = op.reference(x, exponents)
        assert np.isfinite(expected).all()
        assert (expected > 0).all()
        # One rounding to float16; the float32 before is 2^13 times finer.
        np.testing.assert_allclose(y.astype(np.float64), expected, rtol=2**-10)


def test_the_scaled_gem_has_the_static_form_s_values() -> None:
    op, p = GeMPool((3, 4), 1e-3), np.array([9.0], np.float16)
    dynamic = Lowered(op, ("N", 2, "H", "W"), dtype=np.float16, p=p)
    static = Lowered(op, (1, 2, 17, 9), dtype=np.float16, p=p)
    assert (dynamic.used, static.used) == ("scaled/dynamic gather", "scaled/slice")
    x = np.random.default_rng(0).standard_normal((1, 2, 17, 9)).astype(np.float16)
    # Both are rounded once from float32: at most one float16 apart.
    np.testing.assert_allclose(dynamic(x)[0], static(x)[0], rtol=2**-10)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("op", "shape", "used"),
    [
        (AdaptiveAveragePool((3, 4)), PLANE, dict.fromkeys(STRATEGIES, "dynamic matmul")),
        (AdaptiveMaxPool((3, 4)), PLANE, dict.fromkeys(STRATEGIES, "dynamic gather")),
        (
            AdaptiveAveragePool((3, 6)),
            (1, 2, "H", 33),
            {
                "auto": "matmul, dynamic matmul",
                "matmul": "matmul, dynamic matmul",
                "slice": "slice, dynamic matmul",
                "pool": "pool, dynamic matmul",
            },
        ),
        (AdaptiveAveragePool((3, 1)), PLANE, {"slice": "slice, dynamic matmul"}),
        (PyramidPool((3, 3, 5, 5), 2), PLANE, dict.fromkeys(STRATEGIES, "dynamic matmul")),
        (AdaptiveAveragePool((1, 1)), PLANE, {"auto": "slice", "pool": "pool"}),
    ],
)
def test_the_strategy_that_is_told(op: Op, shape: Any, used: Any, strategy: str) -> None:
    outputs = op.levels if isinstance(op, PyramidPool) else 1
    found = Lowered(op, shape, strategy=strategy, outputs=outputs).used
    assert found == used.get(strategy, found)


@pytest.mark.parametrize(
    ("op", "shape", "ops"),
    [
        (AdaptiveAveragePool((1, 1)), PLANE, {"ReduceMean"}),
        (AdaptiveMaxPool((1, 1)), PLANE, {"ReduceMax"}),
        (AdaptiveAveragePool((KEEP, 6)), (1, 2, "H", 65), {"AveragePool"}),
        (AdaptiveAveragePool((6, 6)), ("N", "C", 65, 65), {"MatMul"}),
    ],
    ids=str,
)
def test_nothing_is_computed_that_is_known(op: Op, shape: Any, ops: set[str]) -> None:
    assert set(Lowered(op, shape).ops) <= ops | {"MatMul"}


@pytest.mark.parametrize("pool", [AdaptiveAveragePool, AdaptiveMaxPool])
def test_an_empty_batch(pool: Any) -> None:
    lowered = Lowered(pool((5, 6)), ("N", 8, "H", "W"))
    (y,) = lowered(np.zeros((0, 8, 40, 31), np.float32))
    assert y.shape == (0, 8, 5, 6)


def test_a_constant_size_is_a_static_one() -> None:
    op = AdaptiveAveragePool((COMPUTED, 6))
    lowered = Lowered(op, (1, 2, 65, 65), p=np.array([5, 9]))
    assert lowered.used == "matmul"
    lowered.check(Case(AdaptiveAveragePool((5, 6)), (1, 2, 65, 65)))


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        (None, "its output_size has a 0, but it has no input size"),
        (np.array([5]), r"takes an input size of shape \[2\], found shape \[1\]"),
        (np.array([0, 5]), r"takes a size of at least 1, found \[0, 5\]"),
    ],
)
def test_refusals_of_sizes(parameter: Any, reason: str) -> None:
    graph = graph_of(AdaptiveMaxPool((COMPUTED, 6)), PLANE, p=parameter)
    (node,) = graph.nodes
    with pytest.raises(Unsupported, match=reason):
        lower(graph, node, 17)
    assert graph.nodes == [node]


def test_an_average_is_as_accurate_as_the_static_one() -> None:
    op = AdaptiveAveragePool((6, 6))
    case = Case(op, (1, 4, 65, 65))
    (x,) = case.inputs()
    expected = op.reference(x.astype(np.float64))[0]
    (bound,) = bounds(case, np.float32)
    errors = [
        np.abs(Lowered(op, shape, strategy="matmul")(x)[0] - expected).max()
        for shape in (case.shape, ("N", "C", "H", "W"))
    ]
    assert errors[1] <= 2 * errors[0]
    assert errors[1] <= bound.max()
