"""A proof sees every missing and every additional position of a window."""

import itertools
import math

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from onnxpool.ops.windows import Window, windows
from onnxpool.rewrites.lift.construct import Declined
from onnxpool.rewrites.region.proof import peaks
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role
from tests.exports import Graph, cut, reduced
from tests.rewrites.test_find import find_in

SIZE = 6


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize(
    ("plane", "size"), [((7, 5), (3, 2)), ((6,), (4,)), ((3, 4, 5), (2, 3, 2)), ((2, 3), (4, 5))]
)
def test_every_position_is_the_peak_of_each_of_its_windows(
    plane: tuple[int, ...], size: tuple[int, ...], low: bool, dtype: type[np.generic]
) -> None:
    region = Region(gs.Variable("X", dtype), gs.Variable("Y", dtype), (), Role.MAX)
    inputs = list(peaks(region, (1, 2, *plane), size))
    assert all(np.all(np.isfinite(x)) for x in inputs)
    trials = [t for x in inputs for t in x.reshape(-1, *plane) if (t.max() < 0) is np.bool(low)]
    axes = [windows(length, bins) for length, bins in zip(plane, size, strict=True)]
    for ranges in itertools.product(*axes):
        window = (..., *(slice(r.start, r.end) for r in ranges))
        seen = {int(trial[window].argmax()) for trial in trials}
        assert seen == set(range(math.prod(r.length for r in ranges)))


def shifted() -> list[tuple[int, tuple[Window, ...]]]:
    """The windows of 6 to 4 with one bound of one window moved by one, on either axis."""
    cases = []
    right = windows(SIZE, 4)
    for axis, i, (start, end) in itertools.product(
        (2, 3), range(len(right)), [(-1, 0), (1, 0), (0, -1), (0, 1)]
    ):
        moved = Window(right[i].start + start, right[i].end + end)
        if 0 <= moved.start < moved.end <= SIZE:
            cases.append((axis, (*right[:i], moved, *right[i + 1 :])))
    return cases


@pytest.mark.parametrize("op_type", ["ReduceMax", "ReduceMean"])
@pytest.mark.parametrize(("axis", "bins"), shifted())
def test_a_window_that_is_off_by_one_is_no_adaptive_pooling(
    axis: int, bins: tuple[Window, ...], op_type: str
) -> None:
    g = Graph()
    x = "X"
    for pooled in (2, 3):
        chosen = bins if pooled == axis else windows(SIZE, 4)
        parts = [
            reduced(g, cut(g, x, pooled, w.start, w.end), pooled, w.length, op_type) for w in chosen
        ]
        x = g("Concat", *parts, axis=pooled)
    constructs, declined = find_in(g.model((1, 1, SIZE, SIZE), x))
    # The axis with the right windows is pooling in itself.
    assert all(c.op.attributes()["output_size"][axis - 2] == -1 for c in constructs if not c.best)
    assert any(
        isinstance(d, Declined) and "pooling: its output differs by up to" in d.reason
        for d in declined
    )
