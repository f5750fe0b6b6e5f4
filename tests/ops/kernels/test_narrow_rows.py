"""Rows that fit in one vector or two, of 4, 8 or 16 lanes: every width up to the next."""

import numpy as np
import pytest

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool
from tests.cases import Case, Draw, infinite, nan, normal
from tests.ops.kernels.runtime import run

PLANES = 19  # No multiple of a vector.


def bins(width: int) -> set[int]:
    """From windows of eight elements to windows of one, and no more than a vector has lanes."""
    return {max(1, width // 6), max(1, width // 3), min(width, 8), min(width, 16)}


@pytest.mark.parametrize("draw", [normal, nan, infinite], ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("width", range(1, 36))
def test_every_width(width: int, draw: Draw) -> None:
    for size in bins(width):
        shape = (1, PLANES, 7, width)
        for case in (
            Case(AdaptiveAveragePool((3, size)), shape, draw),
            Case(AdaptiveMaxPool((3, size)), shape, draw),
        ):
            (found,), (expected,) = run(case.op, *case.inputs()), case.expected()
            if case.op_type is AdaptiveMaxPool:
                np.testing.assert_array_equal(found, expected.astype(np.float32))
            else:
                # A sum of at most 32 elements, a division and a rounding.
                eps = float(np.finfo(np.float32).eps)
                np.testing.assert_allclose(found, expected, rtol=2 * eps, atol=4 * eps)
