"""What a source pools to, seen by running it: fixed sizes, shares, ordinary pools, and neither."""

from collections.abc import Callable

import numpy as np
import pytest
import torch.nn.functional as F  # noqa: N812 - as in the sources that are run here
from torch import Tensor, nn

from onnxpool.errors import SourceError
from onnxpool.inputs.values import ModelInput
from onnxpool.ops.op import KEEP
from onnxpool.rewrites.region.size import OutputSize, Share
from onnxpool.validation.pools_of_source import SourcePool, pools_of
from onnxpool.validation.runnable import TorchSource
from onnxpool.validation.source import Source

AXES: dict[int, tuple[int | str, ...]] = {
    1: ("n", 4, "l"),
    2: ("n", 4, "h", "w"),
    3: ("n", 4, "d", "h", "w"),
}


class Calls(nn.Module):
    def __init__(self, call: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: Tensor) -> object:
        return self.call(x)


def seen(module: nn.Module, k: int = 2) -> list[SourcePool]:
    inputs = [ModelInput("x", np.dtype(np.float32), AXES[k])]
    source = Source("source", module.eval())
    return list(pools_of(TorchSource(source, inputs), inputs).pools)


@pytest.mark.parametrize(
    ("call", "k", "size"),
    [
        (lambda x: F.adaptive_avg_pool2d(x, 6), 2, (6, 6)),
        (lambda x: F.adaptive_avg_pool2d(x, (3, None)), 2, (3, KEEP)),
        (lambda x: F.adaptive_max_pool2d(x, (1, 2)), 2, (1, 2)),
        (lambda x: F.adaptive_avg_pool3d(x, (2, 3, 2)), 3, (2, 3, 2)),
        (lambda x: F.adaptive_avg_pool1d(x, 5), 1, (1, 5)),
        (lambda x: F.adaptive_max_pool1d(x, 5, return_indices=True), 1, (1, 5)),
        (lambda x: F.interpolate(x, size=(6, 5), mode="area"), 2, (6, 5)),
        (lambda x: nn.AdaptiveAvgPool2d((x.shape[2] // 4, 3))(x), 2, (Share(4), 3)),
        (
            lambda x: F.adaptive_avg_pool2d(x, (x.shape[2] // 9, x.shape[3] // 9)),
            2,
            (Share(9),) * 2,
        ),
        (lambda x: F.avg_pool2d(x, (x.size(-2), x.size(-1))), 2, (1, 1)),
        (lambda x: F.max_pool2d(x, (x.size(-2), 1)), 2, (1, KEEP)),
        (lambda x: F.lp_pool2d(x, 2, x.shape[2:]), 2, (1, 1)),
    ],
)
def test_a_size_is_seen_whatever_calls_for_it(
    call: Callable[[Tensor], object], k: int, size: OutputSize
) -> None:
    (pool,) = seen(Calls(call), k)
    assert (pool.size, pool.open_because) == (size, "")


@pytest.mark.parametrize(
    ("call", "kernel"),
    [
        (lambda x: F.avg_pool2d(x, 2), (2, 2)),
        (lambda x: F.max_pool2d(x, (2, 3)), (2, 3)),
        (lambda x: F.max_pool2d(F.relu(x), 4, stride=4), (4, 4)),
        (lambda x: F.lp_pool2d(x, 2, 3), (3, 3)),
    ],
)
def test_an_ordinary_pool_is_known_by_its_windows(
    call: Callable[[Tensor], object], kernel: tuple[int, ...]
) -> None:
    (pool,) = seen(Calls(call))
    assert (pool.size, pool.kernel, pool.open_because) == (None, kernel, "")


@pytest.mark.parametrize(
    "call",
    [
        lambda x: F.avg_pool2d(x, 3, 2),
        lambda x: F.max_pool2d(x, 2, padding=1),
        lambda x: F.max_pool2d(x, 2, dilation=2),
        lambda x: F.max_pool2d(x, 2, ceil_mode=True),
        lambda x: F.avg_pool2d(x, 2, divisor_override=3),
        lambda x: x.mean((2, 3), keepdim=True),
        lambda x: F.adaptive_avg_pool2d(x, 1),
    ],
)
def test_what_no_exporter_freezes_is_left_out(call: Callable[[Tensor], object]) -> None:
    assert seen(Calls(call)) == []


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda x: F.adaptive_avg_pool2d(x, (x.shape[2] // 2 + 1, 3)), "way of its own"),
        (lambda x: F.avg_pool2d(x, x.shape[2] // 6), "its kernel follows its input"),
        (lambda x: F.avg_pool2d(x, (x.shape[2], 2)), "its kernel follows its input"),
        (
            lambda x: [F.adaptive_avg_pool2d(x, 3) for _ in range(1 + x.shape[2] // 64)],
            "another number of times",
        ),
        (
            lambda x: F.adaptive_avg_pool2d(x, 3) if x.shape[2] > 90 else F.avg_pool2d(x, 3),
            "adaptive at some sizes only",
        ),
    ],
)
def test_what_is_not_known_has_a_reason(call: Callable[[Tensor], object], why: str) -> None:
    pools = seen(Calls(call))
    assert pools
    assert all(pool.size is None and why in pool.open_because for pool in pools)


def test_larger_sizes_are_tried_where_a_small_map_leaves_it_open() -> None:
    """Of 3 and 2 elements one is a half as well as a fixed size."""

    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x[..., ::32, ::32]
            return F.adaptive_avg_pool2d(y, (y.shape[2] // 2, y.shape[3] // 2))

    (pool,) = seen(Half())
    assert pool.size == (Share(2), Share(2))
    assert len(pool.planes) > 3


def test_modules_are_named_and_calls_are_in_order() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.AvgPool2d(2))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.adaptive_max_pool2d(x, 12)) + self.head(x)

    places = [(pool.module, pool.mode) for pool in seen(Net())]
    assert places == [("", "max"), *(("head.0", "avg"), ("head.1", "avg")) * 2]


def test_what_is_pooled_is_kept_as_it_was() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x * 2
            pooled = F.adaptive_avg_pool2d(y, 3)
            y.zero_()
            return pooled

    (pool,) = seen(InPlace())
    assert pool.x is not None
    assert np.abs(pool.x).max() > 0


def test_a_source_that_runs_nowhere_is_refused() -> None:
    with pytest.raises(SourceError, match=r"at 0 of the sizes that were tried.*EXAMPLES"):
        seen(nn.Conv2d(7, 1, 1))


def test_squares_alone_are_enough() -> None:
    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[2] != x.shape[3]:
                raise ValueError(x.shape)
            return F.adaptive_avg_pool2d(x, 7)

    (pool,) = seen(Square())
    assert pool.size == (7, 7)
