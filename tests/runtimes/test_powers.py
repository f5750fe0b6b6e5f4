"""The ways to write a power that are timed compute the same, and the stopwatch runs them."""

import sys
from pathlib import Path

import numpy as np
import pytest

from onnxpool.rewrites.graph.run import Runner
from tests.runtimes.powers import EXPONENTS, SHAPE, model_of, ratios, ways
from tests.runtimes.registry import by_name

ROUNDINGS = 64 * float(np.finfo(np.float32).eps)
"""Of p·Log(X), which is small here, and of the sum of a plane."""


@pytest.mark.parametrize("p", EXPONENTS)
def test_the_ways_compute_the_same(p: float) -> None:
    x = np.random.default_rng(0).uniform(0, 2, SHAPE).astype(np.float32)
    wanted, *others = (Runner(model_of(way, p))({"x": x})[0] for way in ways(p).values())
    for found in others:
        np.testing.assert_allclose(found, wanted, rtol=ROUNDINGS)


def test_the_stopwatch_compares_them() -> None:
    found = ratios(by_name("onnxruntime"), Path(sys.executable), 3.0, seconds=0.01)
    assert len(found) == len(ways(3.0)) - 1
    assert all(float(ratio) > 0 for ratio in found)
