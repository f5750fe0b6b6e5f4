"""The verdict on one output: rounding is right, anything else is wrong."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from onnxpool.validation.accuracy import FACTOR, Accuracy, Rule, compare

Array = NDArray[Any]
UNIT = float(np.finfo(np.float32).eps) / 2
EXACT = np.random.default_rng(0).uniform(1, 2, 1000)
SOURCE = EXACT.astype(np.float32)


def judge(found: Array, source: Array, exact: Array | None = None, **rule: Any) -> Accuracy:
    return compare("Y", "normal", found, source, exact, Rule(**{"sums": 1, "all_sums": 1} | rule))


def test_the_source_itself_is_right() -> None:
    found = judge(SOURCE, SOURCE, EXACT)
    assert found.passed
    assert found.units <= 1
    assert found.errors.cosine == pytest.approx(1, abs=1e-12)
    assert 0 < found.errors.mean_abs <= found.errors.p99_abs <= found.errors.max_abs


def test_errors_are_counted_in_those_of_the_source() -> None:
    # An error of the source of 1e-3 is what the model's is measured in, and not rounding.
    source = (EXACT + 1e-3).astype(np.float32)
    assert judge((EXACT + 2e-3).astype(np.float32), source, EXACT).units == pytest.approx(2, 1e-3)
    assert judge((EXACT + 7e-3).astype(np.float32), source, EXACT).passed
    assert not judge((EXACT + 9e-3).astype(np.float32), source, EXACT).passed


@pytest.mark.parametrize("sums", [1, 100, 10_000])
def test_the_floor_grows_as_a_random_walk(sums: int) -> None:
    allowed = FACTOR * (1 + math.sqrt(sums)) * UNIT * SOURCE.max()
    for share, passes in ((0.9, True), (1.2, False)):
        found = SOURCE.astype(np.float64).copy()
        found[3] += share * allowed
        assert judge(found, SOURCE, SOURCE.astype(np.float64), sums=sums).passed is passes
        assert judge(found, SOURCE, None, all_sums=sums).passed is passes


def test_tolerance_is_relative_to_the_greatest_output() -> None:
    found = SOURCE * np.float32(1.001)
    assert not judge(found, SOURCE, EXACT).passed
    assert judge(found, SOURCE, EXACT, tolerance=1.1e-3).passed
    assert not judge(found, SOURCE, EXACT, tolerance=0.9e-3).passed


def test_relative_errors_leave_zeros_out() -> None:
    wanted = np.array([0, 2], np.float32)
    errors = judge(wanted + np.float32(1), wanted).errors
    assert (errors.max_abs, errors.max_rel) == (1, 0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_only_where_the_source_has_them(bad: float) -> None:
    with_bad = SOURCE.copy()
    with_bad[0] = bad
    exact = EXACT.copy()
    exact[0] = bad
    assert judge(with_bad, with_bad, exact).passed
    assert not judge(with_bad, SOURCE, EXACT).passed
    assert not judge(SOURCE, with_bad, exact).passed
    other = with_bad.copy()
    other[0] = np.inf if np.isnan(bad) else -bad
    assert not judge(other, with_bad, exact).same_nonfinite


def test_an_overflow_of_the_source_need_not_be_copied() -> None:
    overflown = SOURCE.astype(np.float16)
    overflown[0] = np.inf
    assert judge(EXACT.astype(np.float16), overflown, EXACT).passed
    assert not judge(EXACT.astype(np.float16), overflown, None).passed


def test_extreme_scales_do_not_confuse_the_figures() -> None:
    for scale in (1e-30, 1e30):
        found = judge(SOURCE * np.float32(scale), SOURCE * np.float32(scale), EXACT * scale)
        assert found.passed
        assert found.errors.cosine == pytest.approx(1, abs=1e-9)
        assert not judge(SOURCE * np.float32(2 * scale), SOURCE * np.float32(scale)).passed


def test_empty_and_zero_outputs() -> None:
    empty = np.zeros((0, 3), np.float32)
    assert judge(empty, empty, empty).passed
    zeros = np.zeros(3, np.float32)
    assert judge(zeros, zeros, zeros).errors.cosine is None
    assert not judge(zeros + np.float32(1e-20), zeros, zeros).passed


def test_integers_shapes_and_kinds() -> None:
    indices = np.arange(4)
    assert judge(indices, indices).passed
    assert judge(indices + indices // 3, indices).failure.startswith("1 of 4 values differ")
    assert judge(indices.astype(np.float32), indices).failure.startswith("dtype float32")
    assert not judge(SOURCE[:-1], SOURCE).same_shape
