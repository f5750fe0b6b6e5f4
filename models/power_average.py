"""Power-average (Lp) pooling.

Sermanet, Chintala, LeCun: Convolutional Neural Networks Applied to House Numbers Digit
Classification, ICPR 2012 (arXiv:1204.3968), section 2.2, as ``torch.nn.LPPool2d`` has it, over the
window R:

    y = (sum of x^p over R)^(1/p)

A sum, where GeM has the mean; p = 1 sums, p towards infinity takes the maximum. Training and
evaluation are the same.

Gulcehre, Cho, Pascanu, Bengio: Learned-Norm Pooling for Deep Feedforward and Recurrent Neural
Networks, ECML PKDD 2014 (arXiv:1311.1780), equation 1, learns p and a centre c for each channel:

    u = (1/|R| * sum of |x - c|^p over R)^(1/p),    p = 1 + log(1 + exp(rho))
"""

import torch
from torch import Tensor, nn


class LearnedNorm(nn.Module):
    """The Lp unit over adaptive windows: ``(N, C, H, W)`` to ``(N, C, *output_size)``."""

    def __init__(self, channels: int, output_size: int) -> None:
        super().__init__()
        self.center = nn.Parameter(torch.zeros(channels, 1, 1))
        self.rho = nn.Parameter(torch.ones(channels, 1, 1))
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        p = 1 + nn.functional.softplus(self.rho)
        return nn.functional.adaptive_avg_pool2d(
            (x - self.center).abs().pow(p), self.output_size
        ).pow(1 / p)


def lp_pool_1d() -> nn.Module:
    return nn.LPPool1d(2.0, 3, stride=2)


def lp_pool_2d() -> nn.Module:
    return nn.LPPool2d(2.0, 3, stride=2)


def lp_pool_3d() -> nn.Module:
    return nn.LPPool3d(2.0, 3, stride=2)


def lp_pool_global() -> nn.Module:
    return nn.LPPool2d(2.0, (13, 13))


def learned_norm() -> nn.Module:
    return LearnedNorm(8, 4)


EXAMPLES = {
    "lp_pool_1d": (1, 8, 13),
    "lp_pool_2d": (1, 8, 13, 13),
    "lp_pool_3d": (1, 4, 7, 7, 7),
    "lp_pool_global": (1, 8, 13, 13),
    "learned_norm": (1, 8, 13, 13),
}
