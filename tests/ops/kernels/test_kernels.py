"""The kernels compute what the dialect's case table says, in every element type."""

import dataclasses

import numpy as np
import pytest

from onnxpool.ops import AdaptiveMaxPool, GeMPool, PyramidPool
from tests.cases import CASES, Case
from tests.ops.kernels.runtime import run


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_kernel_equals_pytorch(case: Case, dtype: type[np.floating]) -> None:
    case = as_stored(case)
    outputs = run(case.op, *case.inputs(dtype), outputs=case.outputs)
    for output, expected in zip(outputs, case.expected(dtype), strict=True):
        assert output.shape == expected.shape
        if _is_max(case):
            np.testing.assert_array_equal(output, expected.astype(output.dtype))
        else:
            # Blocked sums of at most a few hundred elements, then a division and a rounding.
            eps = float(np.finfo(dtype).eps)
            np.testing.assert_allclose(output, expected, rtol=2 * eps, atol=4 * eps)


def _is_max(case: Case) -> bool:
    op = case.op
    return isinstance(op, AdaptiveMaxPool) or (isinstance(op, PyramidPool) and op.mode == "max")


def as_stored(case: Case) -> Case:
    """With the attributes that a model file gives back: numbers are float32 there."""
    if not isinstance(case.op, GeMPool) or case.op.epsilon is None:
        return case
    epsilon = float(np.float32(case.op.epsilon))
    return dataclasses.replace(case, op=dataclasses.replace(case.op, epsilon=epsilon))
