"""PyramidPool's kernel: many cells, long rows, special values, and what it refuses."""

import re
from typing import Any

import numpy as np
import onnx
import pytest

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool, PyramidPool
from tests.ops.kernels.runtime import model, node, run, session

RNG = np.random.default_rng(0)


def sizes(*levels: tuple[int, ...], mode: str = "average") -> PyramidPool:
    return PyramidPool(sum(levels, ()), len(levels), mode)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("mode", ["average", "max"])
@pytest.mark.parametrize(
    ("shape", "levels"),
    [
        ((1, 3, 65, 65), ((1, 1), (2, 2), (3, 3), (6, 6))),
        ((2, 2, 60, 61), ((1, 1), (4, 7), (13, 5))),
        ((1, 2, 70, 70), ((1, 1), (-1, -1), (60, 60))),  # more cells than can be shared
        ((1, 2, 3, 2050), ((1, 1), (2, 4))),  # a row too long to be kept
        ((1, 2, 5000), ((1,), (3,))),
        ((3, 4, 1, 17), ((1, 1), (1, 5), (2, 4))),
        ((1, 2, 9, 11, 13), ((1, 1, 1), (2, 3, 5))),
    ],
)
def test_each_level_is_the_pool_of_its_size(
    shape: tuple[int, ...], levels: tuple[tuple[int, ...], ...], mode: str, dtype: type[np.floating]
) -> None:
    x = RNG.standard_normal(shape).astype(dtype)
    found = run(sizes(*levels, mode=mode), x, outputs=len(levels))
    single = AdaptiveAveragePool if mode == "average" else AdaptiveMaxPool
    tolerance = 0 if mode == "max" else 4 * float(np.finfo(dtype).eps)
    for y, size in zip(found, levels, strict=True):
        expected = single(size).reference(x)[0]
        np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mode", ["average", "max"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_special_values_stay_in_their_windows(value: float, mode: str) -> None:
    for position in range(0, 169, 12):
        x = -1 - RNG.random((1, 2, 13, 13)).astype(np.float32)
        x[0, 0].flat[position] = value
        op = sizes((1, 1), (3, 3), (6, 6), mode=mode)
        for y, expected in zip(run(op, x, outputs=3), op.reference(x), strict=True):
            np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_threads_do_not_change_bits() -> None:
    x = RNG.standard_normal((9, 40, 33, 33)).astype(np.float32)
    op = sizes((1, 1), (2, 2), (3, 3), (6, 6))
    for one, many in zip(run(op, x, outputs=4), run(op, x, outputs=4, threads=3), strict=True):
        np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "median"}, "takes a mode of average or max, found median"),
        ({"levels": 3}, "takes output_sizes for each of its 3 levels, found 4 numbers"),
        ({"levels": 0}, "takes output_sizes for each of its 0 levels, found 4 numbers"),
        ({"output_sizes": [1, 1, 0, 6]}, "found [0, 6]"),
        ({"output_sizes": [1] * 8}, "found [1, 1, 1, 1]"),
        ({"output_sizes": [1, 2], "levels": 2}, "takes an input of rank 2 or 3"),
    ],
)
def test_what_makes_no_sense_is_an_error(changes: dict[str, Any], message: str) -> None:
    x = np.ones((1, 2, 5, 5), np.float32)
    made = node(sizes((1, 1), (6, 6)), ["x"], 2)
    for attribute in [a for a in made.attribute if a.name in changes]:
        made.attribute.remove(attribute)
    made.attribute.extend(onnx.helper.make_attribute(k, v) for k, v in changes.items())
    with pytest.raises(Exception, match=re.escape(message)):
        session(model(made, {"x": x})).run(None, {"x": x})


def test_as_many_outputs_as_levels() -> None:
    x = np.ones((1, 2, 5, 5), np.float32)
    made = node(sizes((1, 1), (6, 6)), ["x"], 1)
    with pytest.raises(Exception, match="has 2 levels, found 1 outputs"):
        session(model(made, {"x": x})).run(None, {"x": x})


@pytest.mark.parametrize("mode", ["average", "max"])
def test_the_runtime_infers_its_shapes(mode: str) -> None:
    x = np.ones((1, 2, 7, 5), np.float32)
    made = node(sizes((1, 1), (6, -1), mode=mode), ["x"], 2)
    outputs = session(model(made, {"x": x}, shapes={"x": ["N", 2, "H", "W"]})).get_outputs()
    assert [y.shape for y in outputs] == [["N", 2, 1, 1], ["N", 2, 6, "W"]]
