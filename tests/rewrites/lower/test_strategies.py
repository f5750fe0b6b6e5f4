"""Every strategy computes every case of the table as the reference does, in ONNX Runtime."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpool.ops import KEEP, AdaptiveAveragePool, AdaptiveMaxPool, GeMPool, Op, PyramidPool
from onnxpool.ops.op import Array
from onnxpool.ops.windows import windows
from onnxpool.rewrites.lower import STRATEGIES
from tests.cases import AVERAGE, CASES, GEM, MAX, PYRAMID, Case, infinite, minus_infinity, nan
from tests.rewrites.lower.lowered import lowered, run

FINITE = [case for case in CASES if case.draw not in (nan, infinite, minus_infinity)]
SPREADING = ("matmul", "gemm", "kronecker")
"""The forms that multiply with matrices: 0 times infinity is a NaN."""


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("case", FINITE, ids=str)
def test_equals_the_reference(case: Case, strategy: str) -> None:
    model, _ = lowered(case, strategy)
    assert_equals_reference(case, run(model, X=case.inputs()[0]), np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("opset", [7, 10, 11, 17])
@pytest.mark.parametrize(
    ("op", "shape"),
    [
        (AdaptiveAveragePool((6, 7)), (2, 16, 40, 45)),
        (AdaptiveAveragePool((6, 7)), (32, 40, 45)),
        (AdaptiveAveragePool((40, 30)), (2, 16, 13, 11)),
        (AdaptiveAveragePool((4, 1)), (2, 16, 14, 9)),
        (AdaptiveAveragePool((4, 5, 4)), (1, 32, 7, 9, 11)),
        (PyramidPool((1, 1, 2, 2, 6, 6), 3), (2, 16, 33, 29)),
    ],
    ids=str,
)
def test_products_of_many_planes_equal_the_reference(
    op: Op, shape: tuple[int, ...], opset: int, dtype: Any
) -> None:
    case = Case(op, shape, outputs=op.levels if isinstance(op, PyramidPool) else 1)
    model, _ = lowered(case, "auto", opset, dtype)
    assert "Gemm" in {node.op_type for node in model.graph.node}
    assert_equals_reference(case, run(model, X=case.inputs(dtype)[0]), dtype)


def assert_equals_reference(case: Case, found: list[Array], dtype: Any) -> None:
    wanted = case.op.reference(*case.inputs(dtype))[: case.outputs]
    for y, expected, bound in zip(found, wanted, bounds(case, dtype), strict=True):
        assert y.shape == expected.shape
        expected = expected.astype(y.dtype)
        np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
        error = np.abs(np.nan_to_num(y - expected).astype(np.float64))
        assert (error <= bound).all(), f"greatest error {error.max()}"


def bounds(case: Case, dtype: Any) -> list[Any]:
    """How far rounding can take each output from the reference; 0 for a maximum.

    A sum of n terms, whose weights are rounded too, is off by at most n + 8 units of the mean of
    the magnitudes. The power and the root of GeM add 4·|ln x| units, because a logarithm and an
    exponent are rounded. Halves are computed in float32 and rounded once.
    """
    op = case.op
    if isinstance(op, AdaptiveMaxPool) or (isinstance(op, PyramidPool) and op.mode == "max"):
        return [0] * case.outputs
    x, *p = (each.astype(np.float64) for each in case.inputs(dtype))
    sizes = op.sizes() if isinstance(op, PyramidPool) else [op.attributes()["output_size"]]
    least = np.finfo(np.float16).smallest_subnormal if dtype == np.float16 else 0
    result = []
    for magnitude, size in zip(op.reference(np.abs(x), *p), sizes, strict=True):
        roundings = _largest_window(case.shape, size) + 8
        if isinstance(op, GeMPool):
            roundings += round(-4 * math.log(op.epsilon or 1e-6))
        result.append((roundings * _unit(dtype, wide=True) + _unit(dtype)) * magnitude + least)
    return result


def _unit(dtype: Any, *, wide: bool = False) -> float:
    """Half the distance from 1 to the next number, in float32 at least if `wide`."""
    if wide and np.dtype(dtype).itemsize == 2:
        dtype = np.float32
    return float(ml_dtypes.finfo(dtype).eps) / 2  # type: ignore[no-untyped-call]


def _largest_window(shape: tuple[int, ...], size: Sequence[int]) -> int:
    plane = shape[-len(size) :]
    return math.prod(
        1 if bins == KEEP else max(window.length for window in windows(length, bins))
        for length, bins in zip(plane, size, strict=True)
    )


@pytest.mark.parametrize("strategy", ["auto", "slice", "pool"])
@pytest.mark.parametrize("case", [c for c in AVERAGE if c not in FINITE], ids=str)
def test_an_average_keeps_what_is_not_finite_in_its_windows(case: Case, strategy: str) -> None:
    model, used = lowered(case, strategy)
    (y,) = run(model, X=case.inputs()[0])
    (expected,) = case.op.reference(*case.inputs())
    if used in SPREADING:
        pytest.skip("a MatMul spreads infinities and NaNs: the next test")
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_a_matmul_spreads_a_nan_over_its_channel_and_no_further() -> None:
    case = Case(AdaptiveAveragePool((6, 7)), (1, 32, 40, 45))
    (x,) = case.inputs()
    x[0, 0, 20, 20] = np.nan
    for op, strategy, form in (
        (case.op, "matmul", "matmul"),
        (case.op, "auto", "gemm"),
        (AdaptiveAveragePool((2, 2)), "matmul", "kronecker"),
    ):
        model, used = lowered(Case(op, case.shape), strategy)
        assert used == form
        (y,) = run(model, X=x)
        assert np.isnan(y[0, 0]).sum() > np.isnan(op.reference(x)[0]).sum()
        assert np.isfinite(y[0, 1:]).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("case", [c for c in MAX if c.draw is nan], ids=str)
def test_a_maximum_is_right_where_a_window_has_no_nan(case: Case, strategy: str) -> None:
    # Where it has one, ONNX Runtime's ReduceMax, MaxPool and ArgMax pass over it.
    model, _ = lowered(case, strategy)
    (x,) = case.inputs()
    values, indices = case.op.reference(x)
    found = run(model, X=x)
    clean = ~np.isnan(values)
    assert clean.any()
    assert not clean.all()
    for y, expected in zip(found, (values, indices), strict=False):
        np.testing.assert_array_equal(y[clean], expected[clean])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("case", [c for c in MAX if c.draw in (infinite, minus_infinity)], ids=str)
def test_a_maximum_of_infinities(case: Case, strategy: str) -> None:
    model, used = lowered(case, strategy)
    found = run(model, X=case.inputs()[0])
    wanted = case.op.reference(*case.inputs())
    if case.draw is minus_infinity and used == "pool":
        # ONNX Runtime's MaxPool may start from the lowest finite number, in float32.
        assert found[0].max() <= np.finfo(np.float32).min
        return
    for y, expected in zip(found, wanted, strict=False):
        np.testing.assert_array_equal(y, expected)


@given(data=st.data())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_any_shape(data: st.DataObject) -> None:
    k = data.draw(st.integers(1, 3))
    plane = tuple(data.draw(st.integers(1, (40, 16, 8)[k - 1])) for _ in range(k))
    size = tuple(data.draw(st.integers(1, 12) | st.just(KEEP)) for _ in range(k))
    lead = data.draw(st.sampled_from([(2, 3), (3,), (1, 1)]))
    strategy = data.draw(st.sampled_from(STRATEGIES))
    ops: list[tuple[Op, int, tuple[float, ...]]] = [
        (AdaptiveAveragePool(size), 1, ()),
        (AdaptiveMaxPool(size), 1, ()),
        (AdaptiveMaxPool(size), 2, ()),
        (GeMPool(size, 1e-3), 1, (2.5,)),
        (PyramidPool((1,) * k + size + (2,) * k, 3), 3, ()),
        (PyramidPool((1,) * k + size + (2,) * k, 3, "max"), 3, ()),
    ]
    op, outputs, p = data.draw(st.sampled_from(ops))
    case = Case(op, (*lead, *plane), p=p, outputs=outputs)
    model, _ = lowered(case, strategy)
    assert_equals_reference(case, run(model, X=case.inputs()[0]), np.float32)


def test_the_table_has_all_ops() -> None:
    assert all(group for group in (AVERAGE, MAX, GEM, PYRAMID))
    assert len({str(case) for case in CASES}) == len(CASES)
