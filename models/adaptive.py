"""Adaptive average and max pooling, and global average pooling.

Output i of O over an axis of L positions pools the window

    floor(i * L / O) <= position < ceil((i + 1) * L / O)

the bins of He, Zhang, Ren, Sun: Spatial Pyramid Pooling in Deep Convolutional Networks for Visual
Recognition, TPAMI 2015 (arXiv:1406.4729), appendix A, and of ``torch.nn.AdaptiveAvgPool2d``.

Global average pooling, the mean of each feature map: Lin, Chen, Yan: Network in Network, ICLR 2014
(arXiv:1312.4400), section 3.2.
"""

from torch import Tensor, nn


class GlobalAverage(nn.Module):
    """``(N, C, H, W)`` to ``(N, C)``."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((-2, -1))


def adaptive_avg_1d() -> nn.Module:
    return nn.AdaptiveAvgPool1d(6)


def adaptive_avg_2d() -> nn.Module:
    return nn.AdaptiveAvgPool2d(6)


def adaptive_avg_2d_tuple() -> nn.Module:
    return nn.AdaptiveAvgPool2d((3, 5))


def adaptive_avg_2d_keep() -> nn.Module:
    return nn.AdaptiveAvgPool2d((3, None))


def adaptive_avg_3d() -> nn.Module:
    return nn.AdaptiveAvgPool3d((2, 3, None))


def adaptive_max_1d() -> nn.Module:
    return nn.AdaptiveMaxPool1d(6)


def adaptive_max_2d() -> nn.Module:
    return nn.AdaptiveMaxPool2d(6)


def adaptive_max_2d_tuple() -> nn.Module:
    return nn.AdaptiveMaxPool2d((3, 5))


def adaptive_max_2d_keep() -> nn.Module:
    return nn.AdaptiveMaxPool2d((3, None))


def adaptive_max_2d_indices() -> nn.Module:
    return nn.AdaptiveMaxPool2d(6, return_indices=True)


def adaptive_max_3d() -> nn.Module:
    return nn.AdaptiveMaxPool3d((2, 3, None))


def global_average() -> nn.Module:
    return GlobalAverage()


def global_average_pool() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


EXAMPLES = {
    "adaptive_avg_1d": (1, 8, 13),
    "adaptive_avg_2d": (1, 8, 13, 13),
    "adaptive_avg_2d_tuple": (1, 8, 13, 17),
    "adaptive_avg_2d_keep": (1, 8, 13, 17),
    "adaptive_avg_3d": (1, 4, 5, 7, 9),
    "adaptive_max_1d": (1, 8, 13),
    "adaptive_max_2d": (1, 8, 13, 13),
    "adaptive_max_2d_tuple": (1, 8, 13, 17),
    "adaptive_max_2d_keep": (1, 8, 13, 17),
    "adaptive_max_2d_indices": (1, 8, 13, 13),
    "adaptive_max_3d": (1, 4, 5, 7, 9),
    "global_average": (1, 8, 13, 13),
    "global_average_pool": (1, 8, 13, 13),
}
