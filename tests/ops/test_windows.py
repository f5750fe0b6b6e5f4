"""The windows of adaptive pooling."""

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from onnxpool.ops.windows import Window, windows

sizes = st.integers(1, 200)


def test_windows_of_14_to_4() -> None:
    assert windows(14, 4) == (Window(0, 4), Window(3, 7), Window(7, 11), Window(10, 14))


@given(sizes, sizes)
def test_windows_are_those_of_pytorch(length: int, bins: int) -> None:
    # The mean of consecutive integers is their middle, and the maximum their last.
    x = torch.arange(length, dtype=torch.float64)[None]
    last = torch.nn.functional.adaptive_max_pool1d(x, bins)[0]
    middle = torch.nn.functional.adaptive_avg_pool1d(x, bins)[0]
    expected = [
        (round(2 * m - e), e + 1) for m, e in zip(middle.tolist(), last.tolist(), strict=True)
    ]
    assert [(w.start, w.end) for w in windows(length, bins)] == expected


@given(sizes, sizes)
def test_windows_cover_the_axis(length: int, bins: int) -> None:
    found = windows(length, bins)
    assert len(found) == bins
    assert found[0].start == 0
    assert found[-1].end == length
    assert all(window.length >= 1 for window in found)
    assert all(a.start <= b.start <= a.end <= b.end for a, b in itertools.pairwise(found))


@given(sizes, st.integers(1, 20))
def test_dividing_sizes_have_equal_disjoint_windows(bins: int, length: int) -> None:
    found = windows(bins * length, bins)
    assert found == tuple(Window(i * length, (i + 1) * length) for i in range(bins))
