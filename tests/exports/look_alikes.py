"""Pooling in some sense, but not adaptive; a rewrite changes none of these."""

import numpy as np
import torch
from torch import Tensor, nn

from models import power_average, pyramid
from onnxpool.ops.windows import windows
from tests.exports.case import Case, average
from tests.exports.export import Export
from tests.exports.graph import Graph, HandWritten
from tests.exports.hand_written import SMALL
from tests.exports.modules import AVERAGE_TO_1, EVEN, MAP, function
from tests.exports.spellings import (
    HALVING,
    averaging,
    cut,
    depthwise,
    ints,
    per_bin,
    reduced,
    two_matmuls,
)


class BlurPool(nn.Module):
    """Zhang: Making Convolutional Networks Shift-Invariant Again, ICML 2019: binomial, stride 2."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        binomial = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(binomial, binomial).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
        return nn.functional.conv2d(padded, self.kernel, stride=2, groups=x.size(1))


class AttentionPool(nn.Module):
    """A weighted mean over the positions, the weights a softmax of the map itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.score(x).flatten(2).softmax(-1)
        return (x.flatten(2) * weights).sum(-1)[..., None, None]


def channel_attention_input(x: Tensor) -> Tensor:
    """CBAM's spatial attention pools the channels."""
    return torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)


def off_by_a_thousandth(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    rows, columns = averaging(13, 6), averaging(7, 4)
    rows[2, 4] += 1e-3
    columns[0, 1] -= 1e-3
    return two_matmuls(g, shape, rows, columns)


def unordered(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    """The separable form with the first two windows of each axis swapped."""
    x = "X"
    for axis in (2, 3):
        w = windows(shape[axis], 4)
        bins = [
            reduced(g, cut(g, x, axis, w[i].start, w[i].end), axis, w[i].length, "ReduceMean")
            for i in (1, 0, 2, 3)
        ]
        x = g("Concat", *bins, axis=axis)
    return (x,)


def rectified_bins(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Linear on positive input only."""
    mean = {"axes": [2, 3], "keepdims": 1}
    return per_bin(g, shape, 4, lambda x: g("Relu", g("ReduceMean", x, **mean)))


def clipped_windows(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Linear on small input only."""
    bounds = np.float32(-8), np.float32(8)
    mean = {"axes": [2, 3], "keepdims": 1}
    clips = [np.array(bound) for bound in bounds]
    return per_bin(g, shape, 4, lambda x: g("ReduceMean", g("Clip", x, *clips), **mean))


def repeated(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Nearest upsampling by 2, spelled by Reshape and Expand."""
    n, c, h, w = shape
    apart = g("Reshape", "X", ints(n, c, h, 1, w, 1))
    copies = g("Expand", apart, ints(n, c, h, 2, w, 2))
    return (g("Reshape", copies, ints(n, c, 2 * h, 2 * w)),)


def grouped_channels(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    """The mean of each pair of channels."""
    n, c, h, w = shape
    pairs = g("Reshape", "X", ints(n, c // 2, 2, h, w))
    return (g("ReduceMean", pairs, axes=[2], keepdims=0),)


LOOK_ALIKES: tuple[Case, ...] = (
    Export("not_blur_pool", MAP, (), lambda: BlurPool(8)),
    Export("not_attention_pool", MAP, (), lambda: AttentionPool(8)),
    Export("not_channel_pool", MAP, (), function(channel_attention_input)),
    Export(
        "lp_pool_divisible",
        EVEN,
        (average(6, 6, native=True),),
        lambda: nn.LPPool2d(2.0, 2),
        bare=False,
    ),
    Export("lp_pool_full_window", MAP, AVERAGE_TO_1, power_average.lp_pool_global, bare=False),
    Export(
        "ppm_tensorflow",
        (1, 16, 33, 33),
        (average(1, 1), average(3, 3)),
        pyramid.ppm_tensorflow,
        bare=False,
    ),
    HandWritten("not_off_by_a_thousandth", (1, 4, 13, 7), (), off_by_a_thousandth),
    HandWritten("not_unordered", SMALL, (), unordered),
    HandWritten("not_rectified_bins", SMALL, (), rectified_bins),
    HandWritten("not_clipped_windows", SMALL, (), clipped_windows),
    HandWritten("not_repeated", (1, 4, 5, 5), (), repeated),
    HandWritten("not_grouped_channels", (1, 4, 6, 6), (), grouped_channels),
    HandWritten(
        "not_expanded",
        (1, 4, 1, 1),
        (),
        lambda g, s: (g("Expand", "X", ints(1, 4, 6, 6)),),
    ),
    HandWritten(
        "not_resized",
        (1, 4, 5, 5),
        (),
        lambda g, s: (g("Resize", "X", "", np.array([1, 1, 2, 2], np.float32), mode="nearest"),),
    ),
    HandWritten(
        "not_strided_slice",
        (1, 4, 12, 12),
        (),
        lambda g, s: (cut(g, cut(g, "X", 2, 0, 12, step=2), 3, 0, 12, step=2),),
    ),
    HandWritten(
        "not_padded_average_pool",
        (1, 4, 13, 13),
        (),
        lambda g, s: (g("AveragePool", "X", **HALVING, count_include_pad=1),),
    ),
    HandWritten(
        "not_padded_max_pool", (1, 4, 12, 12), (), lambda g, s: (g("MaxPool", "X", **HALVING),)
    ),
    HandWritten(
        "not_floor_stride_14_4",
        (1, 4, 14, 14),
        (),
        lambda g, s: (g("AveragePool", "X", kernel_shape=[5, 5], strides=[3, 3]),),
    ),
    HandWritten(
        "not_ceil_mode",
        (1, 4, 13, 13),
        (),
        lambda g, s: (g("AveragePool", "X", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),),
    ),
    HandWritten(
        "not_convolution",
        (1, 4, 13, 13),
        (),
        lambda g, s: depthwise(g, s, np.arange(1.0, 10.0).reshape(3, 3) / 45, stride=2),
    ),
    HandWritten(
        "not_sum_pool",
        (1, 4, 12, 12),
        (),
        lambda g, s: depthwise(g, s, np.ones((2, 2)), stride=2),
    ),
)
