"""Average and max pooling together, as timm's ``avgmax`` and ``catavgmax`` heads have them.

Lee, Gallagher, Tu: Generalizing Pooling Functions in Convolutional Neural Networks: Mixed, Gated,
and Tree, AISTATS 2016 (arXiv:1509.08985), section 3.1, mixed max-average pooling with a = 1/2:

    f(x) = a * max(x) + (1 - a) * average(x)

catavgmax concatenates the two along the channels instead.
"""

import torch
from torch import Tensor, nn


class AvgMax(nn.Module):
    """``(N, C, H, W)`` to ``(N, C, *output_size)``."""

    def __init__(self, output_size: int = 1) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        average = nn.functional.adaptive_avg_pool2d(x, self.output_size)
        maximum = nn.functional.adaptive_max_pool2d(x, self.output_size)
        return 0.5 * (average + maximum)


class CatAvgMax(nn.Module):
    """``(N, C, H, W)`` to ``(N, 2C, *output_size)``."""

    def __init__(self, output_size: int = 1) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        average = nn.functional.adaptive_avg_pool2d(x, self.output_size)
        maximum = nn.functional.adaptive_max_pool2d(x, self.output_size)
        return torch.cat([average, maximum], dim=1)


def avgmax() -> nn.Module:
    return AvgMax()


def catavgmax() -> nn.Module:
    return CatAvgMax()


def avgmax_sized() -> nn.Module:
    return AvgMax(output_size=4)


EXAMPLES = {
    "avgmax": (1, 8, 13, 13),
    "catavgmax": (1, 8, 13, 13),
    "avgmax_sized": (1, 8, 13, 13),
}
