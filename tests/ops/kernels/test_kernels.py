"""The kernels compute what the dialect's case table says, in every element type."""

import numpy as np
import pytest

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool, Op
from tests.cases import CASES, Case
from tests.ops.kernels.runtime import run

OPS: tuple[type[Op], ...] = (AdaptiveAveragePool, AdaptiveMaxPool)
"""The ops that have a kernel."""

KERNEL_CASES = [case for case in CASES if case.op_type in OPS]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("case", KERNEL_CASES, ids=str)
def test_kernel_equals_pytorch(case: Case, dtype: type[np.floating]) -> None:
    outputs = run(case.op, *case.inputs(dtype), outputs=case.outputs)
    for output, expected in zip(outputs, case.expected(dtype), strict=True):
        assert output.shape == expected.shape
        if case.op_type is AdaptiveMaxPool:
            np.testing.assert_array_equal(output, expected.astype(output.dtype))
        else:
            # Blocked sums of at most a few hundred elements, then a division and a rounding.
            eps = np.finfo(dtype).eps
            np.testing.assert_allclose(output, expected, rtol=2 * eps, atol=4 * eps)
