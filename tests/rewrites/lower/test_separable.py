"""Runs of equal windows."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from onnxpool.ops.windows import Window, windows
from onnxpool.rewrites.lower.separable import Run, equal_windows, runs

sizes = st.integers(1, 200)


@given(sizes, sizes)
def test_runs_are_the_windows(length: int, bins: int) -> None:
    distinct = list(dict.fromkeys(windows(length, bins)))
    unrolled = [
        Window(start, start + run.kernel)
        for run in runs(distinct)
        for start in range(run.start, run.end - run.kernel + 1, run.stride)
    ]
    assert unrolled == distinct


@given(sizes, sizes)
def test_runs_are_maximal(length: int, bins: int) -> None:
    found = runs(list(dict.fromkeys(windows(length, bins))))
    for a, b in itertools.pairwise(found):
        stride = b.start - (a.end - a.kernel)
        alone = a.end - a.start == a.kernel
        assert a.kernel != b.kernel or stride == 0 or (not alone and a.stride != stride)


def test_equal_windows() -> None:
    assert equal_windows(12, 4) == Run(0, 12, 3, 3)
    assert equal_windows(13, 6) == Run(0, 13, 3, 2)
    assert equal_windows(14, 1) == Run(0, 14, 14, 1)
    assert equal_windows(14, 4) is None
    assert equal_windows(4, 8) is None
    assert equal_windows("W", 1) is None
