"""As accurate as PyTorch: errors against float64, in units of PyTorch's own on the same input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnxpool.ops import AdaptiveAveragePool, GeMPool, PyramidPool
from onnxpool.ops.op import Array
from onnxpool.ops.windows import windows
from tests.cases import Case, Shape, normal, positive
from tests.rewrites.lower.lowered import lowered, run


def tiny(rng: np.random.Generator, shape: Shape) -> Array:
    return 1e-4 * rng.random(shape)


def large(rng: np.random.Generator, shape: Shape) -> Array:
    return 1000 * rng.random(shape)


def errors(case: Case, strategy: str, dtype: Any) -> tuple[float, float]:
    """The greatest error of a lowering over all outputs, and PyTorch's."""
    model, _ = lowered(case, strategy, dtype=dtype)
    found = run(model, X=case.inputs(dtype)[0])
    exact = case.expected(dtype)
    pytorch = case.expected(dtype, compute=dtype)
    ours, theirs = (
        max(float(np.abs(y.astype(np.float64) - e).max()) for y, e in zip(ys, exact, strict=True))
        for ys in (found, pytorch)
    )
    return ours, theirs


AVERAGES = [
    Case(op, shape, draw, outputs=outputs)
    for draw in (normal, positive)
    for op, shape, outputs in (
        (AdaptiveAveragePool((6, 6)), (2, 32, 13, 13), 1),
        (AdaptiveAveragePool((6, 6)), (1, 32, 65, 65), 1),
        (AdaptiveAveragePool((9, 9)), (1, 32, 60, 60), 1),
        (AdaptiveAveragePool((4, 4)), (2, 32, 14, 14), 1),
        (AdaptiveAveragePool((4, 6, 5)), (1, 16, 9, 20, 21), 1),
        (PyramidPool((2, 2, 3, 3, 6, 6), 3), (1, 32, 60, 60), 3),
        (PyramidPool((2, 2, 3, 3, 6, 6), 3), (1, 32, 65, 65), 3),
    )
]


@pytest.mark.parametrize("strategy", ["auto", "matmul", "slice", "pool"])
@pytest.mark.parametrize("case", AVERAGES, ids=str)
def test_float32_averages(case: Case, strategy: str) -> None:
    ours, theirs = errors(case, strategy, np.float32)
    # Both are the greatest of many roundings in different orders, which differ by luck.
    assert ours <= 1.5 * theirs


@pytest.mark.parametrize("strategy", ["auto", "slice"])
def test_float32_averages_of_a_whole_plane(strategy: str) -> None:
    case = Case(AdaptiveAveragePool((1, 1)), (4, 32, 32, 32))
    ours, theirs = errors(case, strategy, np.float32)
    # PyTorch sums a whole plane in a cascade; ONNX Runtime's ReduceMean, which the exporter
    # writes too, in vectors. (GlobalAveragePool adds one by one and is off by 10 times as much.)
    assert ours <= 4 * theirs


@pytest.mark.parametrize("strategy", ["auto", "matmul", "slice", "pool"])
@pytest.mark.parametrize("case", AVERAGES, ids=str)
def test_float16_averages_are_rounded_once(case: Case, strategy: str) -> None:
    ours, theirs = errors(case, strategy, np.float16)
    # A sum in float32 may sway a tie: 2^-12 of the rounding.
    assert ours <= 1.001 * theirs


@pytest.mark.parametrize("strategy", ["auto", "slice"])
@pytest.mark.parametrize("p", [2.0, 2.87, 3.0, 5.0])
@pytest.mark.parametrize("draw", [normal, positive, tiny, large])
@pytest.mark.parametrize("size", [(1, 1), (6, 6)], ids=str)
def test_float32_gem(size: Shape, draw: Any, p: float, strategy: str) -> None:
    case = Case(GeMPool(size, 1e-6), (1, 32, 33, 33), draw, (p,))
    ours, theirs = errors(case, strategy, np.float32)
    # PyTorch's cascade sum, as above; exp-log adds the rounding of a logarithm.
    assert ours <= 4 * theirs


@pytest.mark.parametrize("draw", [tiny, large])
@pytest.mark.parametrize("p", [0.5, 4.5, 6.3])
def test_exp_log_costs_a_few_units(p: float, draw: Any) -> None:
    case = Case(GeMPool((1, 1), 1e-6), (1, 32, 33, 33), draw, (p,))
    model, used = lowered(case)
    assert used == "exp-log/slice"
    (y,) = run(model, X=case.inputs()[0])
    # The logarithm of 1e-4 is 9.2, off by one unit of 9.2 or so, as are its product and the root.
    np.testing.assert_allclose(y, case.expected()[0], rtol=4 * 9.2 * 2**-24)


@pytest.mark.parametrize("size", [(1, 1), (3, 3)], ids=str)
@pytest.mark.parametrize("p", [(0.5,), (3.0,), (5.0,), (7.0,), (100.0,), (1.0, 8.0, 60.0)], ids=str)
@pytest.mark.parametrize("strategy", ["auto", "slice"])
def test_float16_gem_neither_overflows_nor_vanishes(
    strategy: str, p: tuple[float, ...], size: Shape
) -> None:
    # Channels of 1e-4, 1 and 65504, and planes that hold all of them.
    scale = np.array([1e-4, 1.0, 65504.0])
    rng = np.random.default_rng(0)
    separate = rng.random((1, 3, 7, 8)) * scale[:, None, None]
    mixed = rng.random((1, 3, 7, 8)) * rng.choice(scale, (1, 3, 7, 8))
    x = np.concatenate([separate, mixed, np.full((1, 3, 7, 8), 65504.0)]).astype(np.float16)
    case = Case(GeMPool(size, 1e-6), x.shape, p=p)
    model, used = lowered(case, strategy, dtype=np.float16)
    assert used.startswith("scaled") == (max(p) > 5)
    (y,) = run(model, X=x)
    exact = _windows_of_unit_maximum(case, x.astype(np.float64))
    # Half a unit of float16, and a little for ln 65504 = 11 in float32; subnormals below 2^-14.
    np.testing.assert_allclose(y, exact, rtol=2**-11 * 1.01, atol=2**-25 * 1.01)


def _windows_of_unit_maximum(case: Case, x: Array) -> Array:
    """The generalised mean in float64, where even that would overflow: 65504^100 is 1e481."""
    op = case.op
    assert isinstance(op, GeMPool)
    p = np.array(case.p).reshape(-1, 1, 1)
    y = np.empty((*x.shape[:2], *op.output_size))
    for i, rows in enumerate(windows(x.shape[2], op.output_size[0])):
        for j, columns in enumerate(windows(x.shape[3], op.output_size[1])):
            part = x[:, :, rows.start : rows.end, columns.start : columns.end]
            part = np.maximum(part, op.epsilon or 0)
            greatest = part.max(axis=(2, 3), keepdims=True)
            mean = ((part / greatest) ** p).mean(axis=(2, 3), keepdims=True)
            y[:, :, i : i + 1, j : j + 1] = greatest * mean ** (1 / p)
    return y


def test_float16_gem_of_infinities_zeros_and_negatives() -> None:
    x = np.zeros((1, 4, 3, 3), np.float16)
    x[0, 1, 1, 1] = np.inf
    x[0, 2] = -2
    x[0, 3, 0, 0] = np.nan
    for epsilon, p, expected in (
        (None, 6.0, [0, np.inf, 2, np.nan]),
        (None, 7.0, [0, np.inf, np.nan, np.nan]),
        (0.0, 6.0, [0, np.inf, 0, np.nan]),
    ):
        model, used = lowered(Case(GeMPool((1, 1), epsilon), x.shape, p=(p,)), dtype=np.float16)
        assert used == "scaled/slice"
        np.testing.assert_allclose(run(model, X=x)[0].ravel(), np.array(expected), rtol=2**-11)
