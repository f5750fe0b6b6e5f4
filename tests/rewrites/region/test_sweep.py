"""Size arithmetic that rounds is no evidence for sizes that were not tried."""

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from onnxpool.rewrites.region.sweep import check_arithmetic
from onnxpool.rewrites.region.terms import NotUnderstood


def node(op: str, read: type[np.generic], made: type[np.generic]) -> gs.Node:
    x, y = (gs.Variable(name, np.dtype(dtype)) for name, dtype in (("x", read), ("y", made)))
    return gs.Node(op, op, {}, [x], [y])


@pytest.mark.parametrize(
    ("op", "read", "made", "reason"),
    [
        ("Cast", np.int64, np.float16, "half precision"),
        ("Cast", np.float32, np.int64, "rounded from floating-point"),
        ("Floor", np.float32, np.float32, "rounded from floating-point"),
        ("Less", np.float64, np.bool_, "rounded from floating-point"),
    ],
)
def test_what_rounds_is_refused(
    op: str, read: type[np.generic], made: type[np.generic], reason: str
) -> None:
    with pytest.raises(NotUnderstood, match=reason):
        check_arithmetic([node(op, read, made)])


def test_integers_and_weights_made_of_them_are_fine() -> None:
    check_arithmetic(
        [
            node("Div", np.int64, np.int64),
            node("Less", np.int64, np.bool_),
            node("Cast", np.int64, np.float32),
            node("Reciprocal", np.float32, np.float32),
        ]
    )
