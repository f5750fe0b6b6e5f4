"""Spatial pyramid pooling (SPP): a vector of fixed length from a map of any size.

He, Zhang, Ren, Sun: Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition,
TPAMI 2015 (arXiv:1406.4729): max pooling to n x n bins on each level, flattened and concatenated.
The bins of an a x a map have two definitions there:

    section 2.3, one training size:   windows of ceil(a/n) every floor(a/n) positions
    appendix A, any size:             from floor(i * a/n) to ceil((i + 1) * a/n), adaptive pooling
"""

import torch
from torch import Tensor, nn

BINS = (6, 3, 2, 1)


class SpatialPyramidPooling(nn.Module):
    """``(N, C, H, W)`` to ``(N, C * sum(n * n for n in bins))``, adaptive windows."""

    def __init__(self, bins: tuple[int, ...] = BINS) -> None:
        super().__init__()
        self.bins = bins

    def pool(self, x: Tensor, bins: int) -> Tensor:
        return nn.functional.adaptive_max_pool2d(x, bins)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.pool(x, bins).flatten(1) for bins in self.bins], dim=1)


class SlidingSpatialPyramidPooling(SpatialPyramidPooling):
    """The sliding windows of section 2.3."""

    def pool(self, x: Tensor, bins: int) -> Tensor:
        height, width = x.shape[-2:]
        kernel = (-(-height // bins), -(-width // bins))
        return nn.functional.max_pool2d(x, kernel, stride=(height // bins, width // bins))


def spp() -> nn.Module:
    return SpatialPyramidPooling()


def spp_divisible() -> nn.Module:
    """The levels whose bins divide the example's 12 x 12 map; plain exporters can spell these."""
    return SpatialPyramidPooling((4, 2, 1))


def spp_sliding() -> nn.Module:
    return SlidingSpatialPyramidPooling()


EXAMPLES = {
    "spp": (1, 8, 13, 13),
    "spp_divisible": (1, 8, 12, 12),
    "spp_sliding": (1, 8, 13, 13),
}
