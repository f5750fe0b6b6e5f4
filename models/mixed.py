"""Mixed pooling: the maximum or the average of a window, by a coin.

Yu, Wang, Chen, Wei: Mixed Pooling for Convolutional Neural Networks, RSKT 2014, section 3.1, over
the window R:

    y = lambda * max(x in R) + (1 - lambda) * 1/|R| * sum(x in R)

In training lambda is 0 or 1, drawn for each feature map. In evaluation lambda is its mean, a fixed
mixture. (The paper's own test rule takes, for each feature map, the method drawn more often.)
"""

import torch
from torch import Tensor, nn


class MixedPool(nn.Module):
    """Mixed pooling over the windows that `average` and `maximum` share.

    Args:
        average: pools ``(N, C, H, W)`` by the average.
        maximum: pools ``(N, C, H, W)`` by the maximum, over the same windows.
        probability: the probability of the maximum.
    """

    def __init__(self, average: nn.Module, maximum: nn.Module, probability: float = 0.5) -> None:
        super().__init__()
        self.average = average
        self.maximum = maximum
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        average: Tensor = self.average(x)
        maximum: Tensor = self.maximum(x)
        if self.training:
            drawn = torch.rand(*x.shape[:2], 1, 1, device=x.device) < self.probability
            return torch.where(drawn, maximum, average)
        return self.probability * maximum + (1 - self.probability) * average


def mixed() -> nn.Module:
    """Over the overlapping windows of the paper's networks."""
    return MixedPool(nn.AvgPool2d(3, stride=2), nn.MaxPool2d(3, stride=2))


def mixed_adaptive() -> nn.Module:
    return MixedPool(nn.AdaptiveAvgPool2d(4), nn.AdaptiveMaxPool2d(4), probability=0.3)


EXAMPLES = {
    "mixed": (1, 8, 13, 13),
    "mixed_adaptive": (1, 8, 13, 13),
}
