"""The pyramid pooling module.

Zhao, Shi, Qi, Wang, Jia: Pyramid Scene Parsing Network, CVPR 2017 (arXiv:1612.01105), section 3.2
and figure 3: average pooling to 1x1, 2x2, 3x3 and 6x6 bins, a 1x1 convolution to 1/4 of the
channels on each, bilinear upsampling to the input's size, and concatenation with the input.

Three forms are deployed: as published; the older PyTorch port, whose stages keep all channels and
which ends in a bottleneck convolution; and the TensorFlow ports, which pool with a fixed window.
"""

import math

import torch
from torch import Tensor, nn

BINS = (1, 2, 3, 6)


def upsample(x: Tensor, size: torch.Size, align_corners: bool) -> Tensor:
    return nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


class PyramidPooling(nn.Module):
    """``(N, C, H, W)`` to ``(N, 2C, H, W)``: the input, then one level after the other."""

    def __init__(self, channels: int, bins: tuple[int, ...] = BINS) -> None:
        super().__init__()
        reduced = channels // len(bins)
        self.levels = nn.ModuleList(
            nn.Sequential(
                self.pool(level),
                nn.Conv2d(channels, reduced, 1, bias=False),
                nn.BatchNorm2d(reduced),
                nn.ReLU(),
            )
            for level in bins
        )

    def pool(self, bins: int) -> nn.Module:
        return nn.AdaptiveAvgPool2d(bins)

    def forward(self, x: Tensor) -> Tensor:
        levels = [upsample(level(x), x.shape[-2:], True) for level in self.levels]
        return torch.cat([x, *levels], dim=1)


class BottleneckPyramidPooling(nn.Module):
    """The older form: ``(N, C, H, W)`` to ``(N, out_channels, H, W)``."""

    def __init__(self, channels: int, out_channels: int, bins: tuple[int, ...] = BINS) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(level), nn.Conv2d(channels, channels, 1, bias=False))
            for level in bins
        )
        self.bottleneck = nn.Conv2d(channels * (len(bins) + 1), out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        levels = [upsample(stage(x), x.shape[-2:], False) for stage in self.stages]
        return nn.functional.relu(self.bottleneck(torch.cat([*levels, x], dim=1)))


class SamePaddedAverage(nn.Module):
    """TensorFlow's ``AveragePooling2D(k, strides=k, padding="same")`` with k = round(size / bins).

    SAME pads an axis to ceil(size / k) windows, the odd element at the end; the padding is left out
    of the average. The output has ceil(size / k) bins, which is not always `bins`: 33 to 2 gives 3.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        kernel = (max(1, round(height / self.bins)), max(1, round(width / self.bins)))
        top, bottom = same_padding(height, kernel[0])
        left, right = same_padding(width, kernel[1])
        padding = (left, right, top, bottom)
        counted = nn.functional.avg_pool2d(
            nn.functional.pad(torch.ones_like(x[:1, :1]), padding), kernel
        )
        return nn.functional.avg_pool2d(nn.functional.pad(x, padding), kernel) / counted


def same_padding(size: int, kernel: int) -> tuple[int, int]:
    """What SAME adds before and after an axis, where the stride is the kernel."""
    total = math.ceil(size / kernel) * kernel - size
    return total // 2, total - total // 2


class TensorFlowPyramidPooling(PyramidPooling):
    """The form as published, over TensorFlow's windows."""

    def pool(self, bins: int) -> nn.Module:
        return SamePaddedAverage(bins)


def ppm() -> nn.Module:
    return PyramidPooling(16)


def ppm_bottleneck() -> nn.Module:
    return BottleneckPyramidPooling(8, 12)


def ppm_tensorflow() -> nn.Module:
    return TensorFlowPyramidPooling(16)


EXAMPLES = {
    "ppm": (1, 16, 33, 33),
    "ppm_bottleneck": (1, 8, 33, 33),
    "ppm_tensorflow": (1, 16, 33, 33),
}
