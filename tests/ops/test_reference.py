"""The NumPy references compute what PyTorch computes; the other tests rest on them."""

import numpy as np
import pytest

from onnxpool.ops import (
    COMPUTED,
    KEEP,
    AdaptiveAveragePool,
    AdaptiveMaxPool,
    GeMPool,
    InvalidOp,
    PyramidPool,
)
from onnxpool.ops.op import Array
from tests.cases import AVERAGE, CASES, MAX, Case, arange


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reference_equals_pytorch(case: Case) -> None:
    outputs = case.op.reference(*case.inputs(np.float64))[: case.outputs]
    for output, expected in zip(outputs, case.expected(np.float64), strict=True):
        assert output.shape == expected.shape
        assert output.dtype == expected.dtype
        if case in MAX:
            np.testing.assert_array_equal(output, expected)
        else:
            # Both sum in float64, in another order.
            np.testing.assert_allclose(output, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("case", AVERAGE[:30], ids=str)
def test_reference_rounds_once(case: Case, dtype: type[np.floating]) -> None:
    (output,) = case.op.reference(*case.inputs(dtype))
    assert output.dtype == dtype
    (exact,) = case.expected(dtype)
    # Half a unit in the last place, and a thousandth for the float64 sums' own rounding.
    np.testing.assert_allclose(output, exact, rtol=0.501 * float(np.finfo(dtype).eps), atol=1e-7)


@pytest.mark.parametrize(
    ("length", "expected"), [(14, [1.5, 4.5, 8.5, 11.5]), (7, [0.5, 2.0, 4.0, 5.5])]
)
def test_numbers_from_the_literature(length: int, expected: list[float]) -> None:
    (x,) = Case(AdaptiveAveragePool((4,)), (1, 1, length), arange).inputs()
    (y,) = AdaptiveAveragePool((4,)).reference(x)
    np.testing.assert_array_equal(y, np.array([[expected]], np.float32))


def test_the_first_of_equal_maxima_wins() -> None:
    x = np.array([[[3.0, 1.0, 3.0, 3.0]]])
    values, indices = AdaptiveMaxPool((2,)).reference(x)
    assert values.tolist() == [[[3.0, 3.0]]]
    assert indices.tolist() == [[[0, 2]]]


def test_the_last_nan_wins() -> None:
    x = np.array([[[np.nan, 5.0, np.nan, 1.0]]])
    values, indices = AdaptiveMaxPool((1,)).reference(x)
    assert np.isnan(values).all()
    assert indices.tolist() == [[[2]]]


def test_gem_lies_between_mean_and_maximum() -> None:
    x = np.random.default_rng(0).random((2, 3, 8, 8))
    pools = [GeMPool((2, 2)).reference(x, np.array([p]))[0] for p in (1.0, 3.0, 9.0, 300.0)]
    (mean,) = AdaptiveAveragePool((2, 2)).reference(x)
    maximum = AdaptiveMaxPool((2, 2)).reference(x)[0]
    np.testing.assert_allclose(pools[0], mean, rtol=1e-12)
    assert all((low < high).all() for low, high in zip(pools, [*pools[1:], maximum], strict=True))
    # The mean of 16 elements holds the greatest at least once: 16^(-1/300) is 0.991.
    np.testing.assert_allclose(pools[-1], maximum, rtol=0.01)


def test_gem_takes_one_exponent_or_one_per_channel() -> None:
    x = np.ones((2, 3, 4, 4))
    with pytest.raises(InvalidOp, match="takes 1 or 3 exponents, found 2"):
        GeMPool((1, 1)).reference(x, np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    ("op", "shape", "expected"),
    [
        (AdaptiveAveragePool((4,)), ("N", 3, 9), [("N", 3, 4)]),
        (AdaptiveAveragePool((4, KEEP)), (None, 9, "W"), [(None, 4, "W")]),
        (AdaptiveAveragePool((COMPUTED, 4)), (2, 3, 9, "W"), [(2, 3, None, 4)]),
        (AdaptiveMaxPool((1, 2)), ("N", "C", "H", "W"), [("N", "C", 1, 2)] * 2),
        (GeMPool((1, 1, 1)), (2, 3, None, None, None), [(2, 3, 1, 1, 1)]),
        (PyramidPool((1, 1, 2, KEEP), 2), (2, 3, 9, "W"), [(2, 3, 1, 1), (2, 3, 2, "W")]),
    ],
    ids=str,
)
def test_shape_rule(op: AdaptiveAveragePool, shape: tuple, expected: list[tuple]) -> None:  # type: ignore[type-arg]
    assert list(op.output_shapes(shape, len(expected))) == expected


def test_the_shape_rule_refuses_a_rank() -> None:
    with pytest.raises(InvalidOp, match="takes an input of rank 3 or 4, found rank 5"):
        AdaptiveAveragePool((2, 2)).output_shapes((1, 2, 3, 4, 5))


@pytest.mark.parametrize("op", [AdaptiveAveragePool, AdaptiveMaxPool])
def test_a_computed_size_is_read_where_the_attribute_says_so(
    op: type[AdaptiveAveragePool | AdaptiveMaxPool],
) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 9))
    found = op((COMPUTED, 4)).reference(x, np.array([3, 99]))
    for y, wanted in zip(found, op((3, 4)).reference(x), strict=True):
        np.testing.assert_array_equal(y, wanted)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], r"input size of shape \[2\], found none"),
        ([np.array([3])], r"input size of shape \[2\], found shape \[1\]"),
        ([np.array([0, 3])], r"size of at least 1, found \[0, 3\]"),
    ],
)
def test_a_computed_size_that_is_missing_or_unfit(inputs: list[Array], message: str) -> None:
    with pytest.raises(InvalidOp, match=message):
        AdaptiveAveragePool((COMPUTED, 4)).reference(np.ones((2, 3, 7, 9)), *inputs)
