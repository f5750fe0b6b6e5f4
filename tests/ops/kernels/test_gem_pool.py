"""GeMPool's kernel where powers are hard: large p, values of all magnitudes, NaN, infinities."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from onnxpool.ops import GeMPool
from onnxpool.ops.op import Array
from tests.ops.kernels.runtime import run

RNG = np.random.default_rng(0)


def pooled(x: Array, p: float, epsilon: float | None = None, size: tuple[int, ...] = (1,)) -> Array:
    (y,) = run(GeMPool(size, epsilon), x, np.array([p], x.dtype))
    return y


def by_definition(x: Array, p: float) -> Array:
    """The mean over the last axis, in long double and scaled so that nothing overflows."""
    values = x.astype(np.longdouble)
    greatest = np.abs(values).max(axis=-1, keepdims=True)
    scale = np.where(greatest > 0, greatest, 1)
    exponent = np.longdouble(x.dtype.type(p))
    return np.asarray(
        scale * np.mean((values / scale) ** exponent, -1, keepdims=True) ** (1 / exponent)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("p", [0.5, 1.0, 1.5, 2.0, 2.87, 3.0, 4.0, 5.0, 30.0, 1e3])
def test_accurate_at_every_magnitude(p: float, dtype: type[np.floating]) -> None:
    limits = np.finfo(dtype)
    least, most = np.log2(float(limits.tiny)), np.log2(float(limits.max)) - 1
    magnitudes = np.exp2(np.linspace(least + 1, most, 64))[:, None]
    x = (magnitudes * RNG.uniform(0.5, 1, (64, 37))).astype(dtype)[None]
    # The root divides the error of the mean by p.
    tolerance = (2 + 2 / min(p, 1)) * float(limits.eps)
    np.testing.assert_allclose(pooled(x, p), by_definition(x, p), rtol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("p", [2.0, 2.87, 3.0, 4.0, 10.0, 40.0, 200.0])
def test_no_power_overflows_or_vanishes(p: float, dtype: type[np.floating]) -> None:
    limits = np.finfo(dtype)
    x = np.exp2(RNG.uniform(np.log2(float(limits.tiny)), np.log2(float(limits.max)), (1, 64, 50)))
    y = pooled(x.astype(dtype), p)
    assert np.isfinite(y).all()
    np.testing.assert_allclose(y, by_definition(x.astype(dtype), p), rtol=3 * float(limits.eps))


def test_large_p_takes_the_maximum() -> None:
    x = RNG.uniform(1, 2, (1, 8, 100)).astype(np.float32)
    np.testing.assert_allclose(pooled(x, 1e30), x.max(-1, keepdims=True), rtol=1e-6)


# Not 0.5, where NumPy takes the square root of -inf and not its power, which is inf.
@pytest.mark.parametrize("p", [0.6, 1.0, 1.5, 2.0, 2.87, 3.0, 4.0, 5.0])
@pytest.mark.parametrize("epsilon", [None, 0.0, 1e-6])
def test_special_values_are_those_of_the_reference(p: float, epsilon: float | None) -> None:
    inf, nan = np.inf, np.nan
    windows = [
        [nan, 1, 2, 3],
        [-nan, 0, 0, 0],
        [1, 2, 3, nan],
        [inf, 1, 2, 3],
        [inf, nan, 2, 3],
        [-inf, 1, 2, 3],
        [inf, -inf, 1, 2],
        [-inf, -inf, -inf, -inf],
        [0, 0, 0, 0],
        [-0.0, 0, 0, 0],
        [0, 1, 0, 2],
        [-1, -2, -3, -4],
        [-1, 4, 2, 1],
        [1e-40, 2e-40, 0, 1e-45],
        [1e-40, 1, 2, 3],
        [3e38, 3e38, 3e38, 1],
    ]
    x = np.array(windows, np.float32)[None]
    op = GeMPool((1,), epsilon)
    with np.errstate(over="ignore"):
        (expected,) = op.reference(x, np.array([p], np.float32))
    found = pooled(x, p, epsilon)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-44)


@pytest.mark.parametrize("epsilon", [None, 1e-6])
def test_many_small_windows_one_by_one(epsilon: float | None) -> None:
    """Every window has its own scale: small values beside large ones keep their digits."""
    x = np.repeat(np.exp2(np.arange(-60.0, 60.0)), 2).astype(np.float32).reshape(1, 1, 240)
    found = pooled(x, 10.0, epsilon, (120,))
    expected = np.maximum(x[..., ::2], epsilon or 0)
    np.testing.assert_allclose(found, expected, rtol=3e-7)


def test_an_exponent_for_each_channel_of_each_image() -> None:
    x = RNG.uniform(0.1, 1, (3, 4, 5, 6)).astype(np.float32)
    p = np.array([1.0, 2.5, 3.0, 7.0], np.float32).reshape(1, 4, 1, 1)
    op = GeMPool((2, 3), 1e-6)
    np.testing.assert_allclose(run(op, x, p)[0], op.reference(x, p)[0], rtol=5e-7)


@pytest.mark.parametrize("size", [(1, 1), (3, 4)])
def test_threads_do_not_change_bits(size: tuple[int, ...]) -> None:
    x = RNG.standard_normal((3, 40, 33, 33)).astype(np.float32)
    p = RNG.uniform(1, 5, 40).astype(np.float32)
    one, many = (run(GeMPool(size, 1e-6), x, p, threads=threads)[0] for threads in (1, 3))
    np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([0.0], "GeMPool: takes finite exponents greater than 0, found 0"),
        ([-1.0], "found -1"),
        ([np.nan], "found nan"),
        ([np.inf], "found inf"),
        ([3.0, 0.0, 3.0], "found 0"),
        ([3.0, 3.0], "GeMPool: takes 1 or 3 exponents, found 2"),
    ],
)
def test_exponents_that_mean_nothing_are_errors(p: list[float], message: str) -> None:
    x = np.ones((1, 3, 4), np.float32)
    with pytest.raises(Exception, match=re.escape(message)):
        run(GeMPool((1,)), x, np.array(p, np.float32))


COMPILER = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)


@pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("flags", [(), ("-march=native",), ("-DONNXPOOL_SCALAR",)], ids=str)
def test_powers_are_as_accurate_as_they_say(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """All exponents, random mantissas, and special values; 1 is the bound that powers.h states."""
    program = tmp_path / "sweep"
    kernels = Path(__file__).parents[3] / "ops" / "kernels"
    source = Path(__file__).with_name("powers_sweep.cc")
    options = ("-std=c++17", "-O2", "-ffp-contract=off", f"-I{kernels}", "-DONNXPOOL_ISA=sweep")
    subprocess.run([str(COMPILER), *options, *flags, source, "-o", program], check=True)
    text = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in text.splitlines()]
    assert len(rows) == 22
    assert [row for row in rows if not float(row[1]) <= 1] == []
