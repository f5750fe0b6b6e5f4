"""Planes of more than 2^31 bytes, and of more than 2^31 elements; they need 16 GB of memory.

ONNXPOOL_TEST_HUGE=1 python -m pytest -m slow tests/ops/kernels/test_huge.py
"""

import os

import numpy as np
import pytest

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool
from tests.ops.kernels.runtime import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "ONNXPOOL_TEST_HUGE" not in os.environ,
        reason="set ONNXPOOL_TEST_HUGE=1 to run; needs 16 GB of memory",
    ),
]


@pytest.mark.parametrize(
    ("shape", "size", "dtype"),
    [
        ((1, 1, 2**15 + 1, 2**14 + 3), (2, 3), np.float32),
        ((1, 2**31 + 70), (3,), np.float16),
        ((1, 2**31 + 70, 1), (3, 1), np.float16),
        ((1, 3, 2**30 + 7), (1, 5), np.float16),
    ],
)
def test_a_plane_of_more_than_2_31_bytes(
    shape: tuple[int, ...], size: tuple[int, ...], dtype: type[np.floating]
) -> None:
    x = np.ones(shape, dtype)
    x.reshape(-1)[-2] = 3
    (y,) = run(AdaptiveAveragePool(size), x, threads=2)
    # The windows are so long that the 3 in the last of them is rounded away.
    np.testing.assert_array_equal(y, np.ones_like(y))
    rows = int(np.prod(shape[1 : 1 - len(size)])) if len(size) > 1 else 1
    if rows > np.iinfo(np.int32).max:
        with pytest.raises(Exception, match="with Indices takes at most 2147483647 rows"):
            run(AdaptiveMaxPool(size), x, outputs=2)
        return
    values, indices = run(AdaptiveMaxPool(size), x, outputs=2, threads=2)
    assert values.reshape(-1)[-1] == 3
    assert indices.reshape(-1)[-1] == x.size - 2
    assert (values.reshape(-1)[:-1] == 1).all()
