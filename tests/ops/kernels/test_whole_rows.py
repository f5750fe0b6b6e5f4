"""Rows that are reduced whole: windows of any width, in registers, in parts and in bands."""

from collections.abc import Iterator

import numpy as np
import pytest

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool, Op, PyramidPool
from tests.cases import Case, Draw, infinite, nan, normal
from tests.ops.kernels.runtime import run

PLANES = 19  # No multiple of a vector.


def ops(width: int) -> Iterator[Op]:
    """From windows of one or two elements to one of all; and between, as wide as vectors."""
    for bins in (1, 2, width // 14 + 1, width // 7 + 1, width // 3, width - 3):
        yield AdaptiveAveragePool((4, bins))
        yield AdaptiveMaxPool((4, bins))
    for mode in ("average", "max"):
        yield PyramidPool((1, 1, 3, 3, 6, 6), 3, mode)


@pytest.mark.parametrize("draw", [normal, nan, infinite], ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("width", [17, 23, 32, 33, 40, 47, 60, 65, 96, 97, 105, 128, 129])
def test_every_width(width: int, draw: Draw) -> None:
    for op in ops(width):
        levels = op.levels if isinstance(op, PyramidPool) else 1
        case = Case(op, (1, PLANES, 37, width), draw, outputs=levels)
        _check(case, run(op, *case.inputs(), outputs=case.outputs))


@pytest.mark.parametrize(
    "shape",
    [
        (1, 3, 300, 41),  # More rows than are summed one after the other.
        (2, 9, 600, 20),  # More than are summed in one row of Y.
        (1, 5, 200, 128),  # More rows of Y than fit in a band.
        (1, 1, 40, 40),
    ],
    ids=str,
)
@pytest.mark.parametrize("bins", [(1, 5), (2, 4), (150, 16), (39, 2)], ids=str)
def test_many_rows(shape: tuple[int, ...], bins: tuple[int, int]) -> None:
    for op in (AdaptiveAveragePool(bins), AdaptiveMaxPool(bins)):
        case = Case(op, shape, normal)
        _check(case, run(op, *case.inputs()))


def test_slices() -> None:
    for op in (AdaptiveAveragePool((3, 4, 5)), AdaptiveMaxPool((3, 4, 5))):
        case = Case(op, (1, PLANES, 20, 37, 41), normal)
        _check(case, run(op, *case.inputs()))


def _check(case: Case, found: list[np.ndarray]) -> None:
    for y, expected in zip(found, case.expected(), strict=True):
        if isinstance(case.op, AdaptiveMaxPool) or getattr(case.op, "mode", "") == "max":
            np.testing.assert_array_equal(y, expected.astype(np.float32))
        else:
            # Blocked sums of some thousand elements at most, a division and a rounding.
            eps = float(np.finfo(np.float32).eps)
            np.testing.assert_allclose(y, expected, rtol=2 * eps, atol=4 * eps)
