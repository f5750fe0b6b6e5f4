"""The sizes that are swept, and the values that are drawn."""

import numpy as np
import pytest

from onnxpool.errors import ArgumentError
from onnxpool.inputs.sizes import DEFAULT_LENGTHS, PooledAxis, parse, sweep
from onnxpool.inputs.values import DISTRIBUTIONS, INTEGERS, ModelInput, distributions, draw

FLOAT = np.dtype(np.float32)
MAP = ModelInput("X", FLOAT, ("N", 8, "H", "W"))


@pytest.mark.parametrize("bins", [2, 3, 6, 7])
def test_every_class_of_sizes_is_swept(bins: int) -> None:
    lengths = {size.shapes[0][2] for size in sweep([MAP], [PooledAxis(bins)], None)}
    assert {length % bins for length in lengths if length > bins} >= {0, 1, bins - 1}
    assert any(length < bins for length in lengths)
    assert {1, bins, 65} <= lengths


def test_axes_differ_and_batches_too() -> None:
    shapes = [size.shapes[0] for size in sweep([MAP], [PooledAxis(6)], None)]
    assert any(h < w for _, _, h, w in shapes)
    assert any(h > w for _, _, h, w in shapes)
    assert {n for n, _, _, _ in shapes} == {1, 3}
    assert len(shapes) == len(set(shapes))


def test_a_stride_before_the_pool_is_counted() -> None:
    sizes = sweep([MAP], [PooledAxis(7, stride=32)], ((1, 8, 224, 224),))
    assert sizes[0].shapes == ((1, 8, 224, 224),)
    labels = {s.shapes[0][2]: s.label for s in sizes if s.label not in ("non-square", "batch 3")}
    assert labels[224] == "equal 7"
    assert labels[2 * 7 * 32] == "0 mod 7"
    assert labels[15 * 32] == "1 mod 7"


def test_fixed_inputs_have_one_size() -> None:
    (size,) = sweep([ModelInput("X", FLOAT, (1, 8, 13, 13))], [PooledAxis(6)], None)
    assert (str(size), size.label) == ("1x8x13x13", "fixed")


def test_only_what_is_dynamic_is_swept() -> None:
    sizes = sweep([ModelInput("X", FLOAT, ("N", 8, 13, 13))], [PooledAxis(6)], None)
    assert [size.shapes[0][0] for size in sizes] == [1, 3]


def test_channels_come_from_the_example() -> None:
    unnamed = ModelInput("X", FLOAT, ("N", "C", "H", "W"))
    sizes = sweep([unnamed], None, ((2, 5, 33, 33),))
    assert {size.shapes[0][1] for size in sizes} == {5}
    # 33 and what is beside it.
    assert {size.shapes[0][2] for size in sizes} == {*DEFAULT_LENGTHS, 32, 33, 34}


def test_rank_comes_from_the_example() -> None:
    sizes = sweep([ModelInput("X", FLOAT, None)], None, ((1, 5, 33),))
    assert {len(size.shapes[0]) for size in sizes} == {3}


@pytest.mark.parametrize("dims", [("N", "L", 16), ("L",), ("N", "L"), (8, "H", "W")])
def test_positions_are_swept_in_other_layouts(dims: tuple[int | str, ...]) -> None:
    sizes = sweep([ModelInput("X", FLOAT, dims)], None, None)
    swept = {size.shapes[0][dims.index("L" if "L" in dims else "H")] for size in sizes}
    assert swept == set(DEFAULT_LENGTHS)


def test_classes_are_said_in_words() -> None:
    pools = [PooledAxis(bins) for bins in (2, 3, 6)]
    labels = {s.shapes[0][2]: s.label for s in sweep([MAP], pools, None) if "x" not in s.label}
    assert labels[13] == "1 mod 2, 3, 6"
    assert labels[5] == "1 mod 2; 2 mod 3; below 6"


@pytest.mark.parametrize("text", ["", "1x", "axb", "1x-3", "1,3"])
def test_shapes_that_are_none(text: str) -> None:
    with pytest.raises(ArgumentError, match="1x8x33x33"):
        parse(text)


def test_draws_repeat_and_are_what_they_say() -> None:
    shape = (2, 8, 13, 13)
    values = {name: draw([MAP], [shape], name, 0)["X"] for name in DISTRIBUTIONS}
    assert all(x.dtype == FLOAT and x.shape == shape for x in values.values())
    assert np.array_equal(values["normal"], draw([MAP], [shape], "normal", 0)["X"])
    assert not np.array_equal(values["normal"], draw([MAP], [shape], "normal", 1)["X"])
    assert values["negative"].max() < 0 <= values["positive"].min()
    assert np.ptp(values["constant"]) == 0
    assert np.abs(values["tiny"]).max() < 1e-5 < 1e4 < np.abs(values["large"]).max()
    extremes = np.abs(values["float16 extremes"])
    assert extremes.max() == np.finfo(np.float16).max
    assert extremes[extremes > 0].min() == np.finfo(np.float16).smallest_subnormal


def test_half_precision_stays_finite() -> None:
    half = ModelInput("X", np.dtype(np.float16), (1,))
    for name in DISTRIBUTIONS:
        assert np.isfinite(draw([half], [(100_000,)], name, 0)["X"]).all()


def test_integers_and_bool() -> None:
    kinds = [ModelInput(d, np.dtype(d), (4096,)) for d in ("uint8", "int64", "bool")]
    assert distributions(kinds) == (INTEGERS,)
    values = draw(kinds, [(4096,)] * 3, INTEGERS, 0)
    assert {name: x.dtype.name for name, x in values.items()} == {k: k for k in values}
    assert (values["uint8"].min(), values["uint8"].max()) == (0, 255)
    assert set(values["int64"]) == {0, 1}
