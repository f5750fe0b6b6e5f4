"""Stochastic pooling: one activation of the window, drawn in proportion to its size.

Zeiler, Fergus: Stochastic Pooling for Regularization of Deep Convolutional Neural Networks, ICLR
2013 (arXiv:1301.3557), over the window R of activations a >= 0:

    p_i = a_i / sum of a_k over R                             (equation 4)
    training:    s = a_l, where l is drawn from p             (equation 5)
    evaluation:  s = sum of p_i * a_i over R                  (equation 6)

A window of zeros gives zero.
"""

import torch
from torch import Tensor, nn


class StochasticPool(nn.Module):
    """Stochastic pooling over the windows that `average` and `maximum` share.

    Args:
        average: pools ``(N, C, H, W)`` by the average.
        maximum: pools ``(N, C, H, W)`` by the maximum, over the same windows, with indices.
    """

    def __init__(self, average: nn.Module, maximum: nn.Module) -> None:
        super().__init__()
        self.average = average
        self.maximum = maximum

    def forward(self, a: Tensor) -> Tensor:
        return self.draw(a) if self.training else self.expectation(a)

    def draw(self, a: Tensor) -> Tensor:
        # Of exponential clocks with rates a_i, clock i rings first with probability p_i; so the
        # smallest E/a_i, or the largest a_i/E, is a draw from p. Overlapping windows share clocks.
        _, drawn = self.maximum(a / torch.empty_like(a).exponential_())
        return a.flatten(2).gather(2, drawn.flatten(2)).view_as(drawn)

    def expectation(self, a: Tensor) -> Tensor:
        squares: Tensor = self.average(a * a)
        activations: Tensor = self.average(a)
        return squares / activations.clamp(min=torch.finfo(a.dtype).tiny)


def stochastic() -> nn.Module:
    """After ReLU, which makes the activations non-negative; over the paper's 3x3 windows."""
    return nn.Sequential(
        nn.ReLU(),
        StochasticPool(nn.AvgPool2d(3, stride=2), nn.MaxPool2d(3, stride=2, return_indices=True)),
    )


def stochastic_adaptive() -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        StochasticPool(nn.AdaptiveAvgPool2d(4), nn.AdaptiveMaxPool2d(4, return_indices=True)),
    )


EXAMPLES = {
    "stochastic": (1, 8, 13, 13),
    "stochastic_adaptive": (1, 8, 13, 13),
}
