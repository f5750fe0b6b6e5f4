"""The corpus itself: every model runs, computes its reference, and holds the pools it lists."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool
from tests.exports import CASES, EXPORTS, HAND_WRITTEN, LOOK_ALIKES, Case, load, parameters

# Both sides round in the dtype, in different orders: a few hundred roundings of values near 1.
TOLERANCE = {"float16": 5e-3, "float32": 2e-5, "float64": 1e-12}

UPSAMPLING = ("not_repeated", "not_expanded", "not_resized")
"""Adaptive pooling to a larger size is nearest upsampling, so these do equal it."""


def run(model: onnx.ModelProto, x: NDArray[Any]) -> list[NDArray[Any]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {"X": x})


def assert_close(found: list[NDArray[Any]], wanted: tuple[NDArray[Any], ...]) -> None:
    assert len(found) == len(wanted)
    for y, z in zip(found, wanted, strict=True):
        assert y.dtype == z.dtype
        if y.dtype == np.int64:
            np.testing.assert_array_equal(y.reshape(z.shape), z)
        else:
            tolerance = TOLERANCE[str(y.dtype)]
            np.testing.assert_allclose(y.reshape(z.shape), z, rtol=tolerance, atol=tolerance)


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("case", parameters(CASES))
def test_model_is_valid_and_computes_its_reference(case: Case) -> None:
    model, reference = load(case)
    if not case.runnable:
        assert any(node.domain == "org.pytorch.aten" for node in model.graph.node)
        return
    onnx.checker.check_model(model, full_check=True)
    x = case.sample(np.random.default_rng(0))
    outputs = run(model, x)
    if reference is not None:
        assert_close(outputs, reference(x))


@pytest.mark.parametrize("case", parameters(c for c in EXPORTS if c.dynamic_batch))
def test_dynamic_batch_takes_another_batch(case: Case) -> None:
    model, reference = load(case)
    assert reference is not None
    batch, *rest = case.shape
    x = np.random.default_rng(3).standard_normal((batch + 3, *rest)).astype(case.dtype)
    assert_close(run(model, x), reference(x))


@pytest.mark.parametrize("case", parameters(c for c in CASES if c.bare and c.expected))
def test_expected_pools_compute_the_reference(case: Case) -> None:
    _, reference = load(case)
    assert reference is not None
    x = case.sample(np.random.default_rng(1))
    wanted = tuple(y for pool in case.expected for y in pool(x))
    assert_close(list(reference(x)), wanted)


@pytest.mark.parametrize(
    "case", parameters(c for c in LOOK_ALIKES if not c.expected and c.name not in UPSAMPLING)
)
def test_look_alikes_differ_from_adaptive_pooling(case: Case) -> None:
    model, _ = load(case)
    x = 10 * case.sample(np.random.default_rng(2))
    (y,) = run(model, x)
    for op in (AdaptiveAveragePool, AdaptiveMaxPool):
        pooled = op(y.shape[2:]).reference(x)[0]
        assert pooled.shape != y.shape or np.abs(pooled - y).max() > 1e-4


def test_caller_may_change_a_loaded_model() -> None:
    model, _ = load(HAND_WRITTEN[0])
    del model.graph.node[:]
    assert load(HAND_WRITTEN[0])[0].graph.node
