"""What the case table has no room for: magnitudes, sizes at the edges of the loops, all dtypes."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from onnxpool.ops import KEEP, AdaptiveAveragePool, AdaptiveMaxPool
from onnxpool.ops.op import Array
from tests.ops.kernels.runtime import model, node, run, session

RNG = np.random.default_rng(0)

# Around the lengths at which the loops change: vectors of 4 to 16, passes of 8 rows, a buffer of
# 2048 columns, 256 windows at once.
EDGES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((1, 1, 1), (1,)),
    ((1, 1, 1, 1), (1, 1)),
    ((1, 3, 16), (3,)),
    ((2, 1, 8, 15), (1, 4)),
    ((2, 1, 9, 17), (1, 4)),
    ((1, 2, 17, 64), (2, 1)),
    ((1, 2, 65, 2047), (3, 2)),
    ((1, 2, 3, 2049), (1, 1)),
    ((1, 1, 20, 6000), (3, 2)),
    ((1, 1, 20, 6000), (3, 700)),
    ((2, 1, 3, 5000), (KEEP, 3)),
    ((1, 2, 70000), (1,)),
    ((1, 2, 9000), (1000,)),
    ((1, 1, 5), (3000,)),
    ((1, 1, 3, 4), (2, 1000)),
    ((1, 2, 300, 3), (40, KEEP)),
    ((1, 2, 1300, 5), (2, 2)),  # rows in several blocks
    ((1, 200, 11, 3), (1, 1, 2)),
    ((1, 3, 1100, 3), (1, 2, 2)),
    ((1, 2, 70, 3, 5), (2, 2, 2)),
    ((33, 3, 2), (2,)),
)


def averages_agree(found: Array, x: Array, size: tuple[int, ...]) -> None:
    """Within what rounding may do to a sum: see _bound."""
    exact = AdaptiveAveragePool(size).reference(x.astype(np.float64))[0]
    scale = AdaptiveAveragePool(size).reference(np.abs(x.astype(np.float64)))[0]
    eps = max(float(np.finfo(x.dtype).eps), 0.0)
    computed = 2.0**-52 if x.dtype == np.float64 else 2.0**-23
    # Rounding to the dtype, and sums in trees and blocks: 16 levels of them are far more than here.
    bound = eps * np.abs(exact) + 16 * computed * scale
    assert (np.abs(found - exact) <= bound).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(("shape", "size"), EDGES)
def test_average_at_the_edges(
    shape: tuple[int, ...], size: tuple[int, ...], dtype: type[np.floating]
) -> None:
    x = RNG.standard_normal(shape).astype(dtype)
    averages_agree(run(AdaptiveAveragePool(size), x)[0], x, size)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(("shape", "size"), EDGES)
def test_max_at_the_edges(
    shape: tuple[int, ...], size: tuple[int, ...], dtype: type[np.floating], outputs: int
) -> None:
    x = RNG.integers(-50, -1, shape).astype(dtype)  # ties
    x[RNG.random(shape) < 0.01] = np.nan
    found = run(AdaptiveMaxPool(size), x, outputs=outputs)
    for y, expected in zip(found, AdaptiveMaxPool(size).reference(x), strict=False):
        np.testing.assert_array_equal(y, expected)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    data=st.data(),
    dtype=st.sampled_from([np.float32, np.float64, np.float16]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape(
    lengths: list[int], data: st.DataObject, dtype: type[np.floating], seed: int
) -> None:
    sizes = st.integers(1, 12) | st.just(KEEP)
    size = tuple(data.draw(sizes) for _ in lengths)
    leading = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=2))
    x = np.random.default_rng(seed).standard_normal((*leading, *lengths)).astype(dtype)
    averages_agree(run(AdaptiveAveragePool(size), x)[0], x, size)
    found = run(AdaptiveMaxPool(size), x, outputs=2)
    for y, expected in zip(found, AdaptiveMaxPool(size).reference(x), strict=True):
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_subnormal_numbers_are_kept(dtype: type[np.floating]) -> None:
    least = np.finfo(dtype).smallest_subnormal
    x = (least * (1 + np.arange(70))).astype(dtype).reshape(1, 1, 7, 10)
    (y,) = run(AdaptiveAveragePool((1, 5)), x)
    # All these means are ties, which the loops may round up or down where they are subnormal.
    ulps = (y - AdaptiveAveragePool((1, 5)).reference(x)[0]) / least
    assert np.abs(ulps).max() <= (0 if dtype == np.float16 else 1)
    np.testing.assert_array_equal(run(AdaptiveMaxPool((7, 5)), x)[0], x[..., 1::2])


def test_every_float16_is_converted_and_back() -> None:
    x = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(1, 1, 2, 2**15)
    (y,) = run(AdaptiveMaxPool((KEEP, KEEP)), x)
    np.testing.assert_array_equal(y, x)
    # A kept axis of length 1 is not what is copied: the mean of a number and itself is the number.
    finite = np.where(np.isfinite(x), x, np.float16(1)).astype(np.float16)
    (y,) = run(AdaptiveAveragePool((1, KEEP)), np.concatenate([finite[:, :, :1]] * 2, axis=2))
    np.testing.assert_array_equal(y, finite[:, :, :1])


def test_float16_is_rounded_to_even() -> None:
    x = np.array([[[1, 1 + 2**-10], [1 + 2**-10, 1 + 2**-9]]], np.float16)
    (y,) = run(AdaptiveAveragePool((1,)), x)
    np.testing.assert_array_equal(y.ravel(), np.array([1, 1 + 2**-9], np.float16))


@pytest.mark.parametrize("op", [AdaptiveAveragePool((3, 2)), AdaptiveMaxPool((3, 2))], ids=str)
def test_bfloat16(op: AdaptiveAveragePool | AdaptiveMaxPool) -> None:
    """Between two Casts, because NumPy and the runtime's Python side have no bfloat16."""
    x = RNG.standard_normal((2, 3, 7, 9)).astype(ml_dtypes.bfloat16).astype(np.float32)
    made = node(op, ["narrow"], 1)
    made.output[0] = "pooled"
    helper = onnx.helper
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["narrow"], to=TensorProto.BFLOAT16),
            made,
            helper.make_node("Cast", ["pooled"], ["y"], to=TensorProto.FLOAT),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_empty_tensor_value_info("y")],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("onnxpool", 1)]
    whole = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    (y,) = session(whole.SerializeToString()).run(None, {"x": x})
    expected = op.reference(x)[0].astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 1, 2**25 + 6), (1,)),
        ((1, 2**28 + 6, 1), (1, 1)),
        ((1, 2**14, 2**14 + 3, 1), (1, 1, 1)),
    ],
)
def test_long_sums_do_not_stop_growing(shape: tuple[int, ...], size: tuple[int, ...]) -> None:
    """As a float32 sum of ones in order does at 2^24."""
    x = np.ones(shape, np.float16)
    (y,) = run(AdaptiveAveragePool(size), x)
    assert y.item() == 1


@pytest.mark.parametrize("op", [AdaptiveAveragePool, AdaptiveMaxPool])
def test_a_computed_size(op: type[AdaptiveAveragePool | AdaptiveMaxPool]) -> None:
    x = RNG.standard_normal((2, 3, 7, 9)).astype(np.float32)
    size = np.array([3, 99])
    (y,) = run(op((0, 4)), x, size)
    (expected, *_) = op((0, 4)).reference(x, size)
    np.testing.assert_allclose(y, expected, rtol=3e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("size", "declared", "shape"),
    [
        ((4, 3), (2, 3, 9, 7), [2, 3, 4, 3]),
        ((4, KEEP), ("N", 3, "H", "W"), ["N", 3, 4, "W"]),
        ((KEEP, 3), (1, 2, None, 7), None),  # A size without number or name cannot be told.
        ((0, 3), (2, 3, 9, 7), None),
    ],
)
def test_shapes_are_inferred(
    size: tuple[int, ...], declared: tuple[int | str | None, ...], shape: list[int | str] | None
) -> None:
    x = np.ones((2, 3, 9, 7), np.float32)
    made = node(AdaptiveMaxPool(size), ["x"], 2)
    outputs = session(model(made, {"x": x}, shapes={"x": declared})).get_outputs()
    assert [y.type for y in outputs] == ["tensor(float)", "tensor(int64)"]
    # That of an optional output is not inferred: ONNX Runtime 1.20 writes past those left out.
    assert [y.shape for y in outputs] == [shape or [], []]
