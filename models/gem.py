"""Generalised-mean pooling (GeM), in the spellings people deploy.

Radenović, Tolias, Chum: Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2018
(arXiv:1711.02512), equation 3, over the set X of one feature map's activations:

    f = (1/|X| * sum of x^p over X)^(1/p)

p = 1 averages, p towards infinity takes the maximum. p is fixed, learned, or learned for each
channel. The activations are clamped to a small positive value, where x^p has a gradient.
"""

import torch
from torch import Tensor, nn

Size = int | tuple[int, int]


class GeM(nn.Module):
    """GeM over adaptive windows: ``(N, C, H, W)`` to ``(N, C, *output_size)``."""

    def __init__(
        self, p: float | nn.Parameter = 3.0, output_size: Size = 1, epsilon: float = 1e-6
    ) -> None:
        super().__init__()
        self.p = p
        self.output_size = output_size
        self.epsilon = epsilon

    def exponent(self) -> float | Tensor:
        return self.p

    def mean(self, x: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(x, self.output_size)

    def forward(self, x: Tensor) -> Tensor:
        p = self.exponent()
        return self.mean(x.clamp(min=self.epsilon).pow(p)).pow(1.0 / p)


class GeMFullWindow(GeM):
    """The spelling of the paper's own code: one average pooling window as large as the map."""

    def mean(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x, (x.size(-2), x.size(-1)))


class GeMFlat(GeM):
    """The spelling by a mean over the flattened map: ``(N, C, H, W)`` to ``(N, C)``."""

    def mean(self, x: Tensor) -> Tensor:
        return x.reshape(x.size(0), x.size(1), -1).mean(-1)


class GeMSoftplus(GeM):
    """GeM with an exponent that stays above 1 while it is learned.

    Gulcehre, Cho, Pascanu, Bengio: Learned-Norm Pooling for Deep Feedforward and Recurrent Neural
    Networks, ECML PKDD 2014 (arXiv:1311.1780), section 3: p = 1 + log(1 + exp(rho)).
    """

    def __init__(self, rho: nn.Parameter) -> None:
        super().__init__()
        self.rho = rho

    def exponent(self) -> Tensor:
        return 1 + nn.functional.softplus(self.rho)


def learned(*p: float) -> nn.Parameter:
    """An exponent that starts at `p`: ``(1,)`` for all channels, or ``(C, 1, 1)``, one for each."""
    exponents = torch.tensor(p)
    return nn.Parameter(exponents if len(p) == 1 else exponents.reshape(-1, 1, 1))


def gem_fixed() -> nn.Module:
    return GeM(3.0)


def gem() -> nn.Module:
    return GeM(learned(2.87))


def gem_per_channel() -> nn.Module:
    return GeM(learned(1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0))


def gem_sized() -> nn.Module:
    return GeM(learned(3.0), output_size=(3, 3))


def gem_full_window() -> nn.Module:
    return GeMFullWindow(learned(2.87))


def gem_flat() -> nn.Module:
    return GeMFlat(learned(2.87))


def gem_softplus() -> nn.Module:
    return GeMSoftplus(learned(1.5))


EXAMPLES = {
    "gem_fixed": (1, 8, 13, 13),
    "gem": (1, 8, 13, 13),
    "gem_per_channel": (1, 8, 13, 13),
    "gem_sized": (1, 8, 13, 13),
    "gem_full_window": (1, 8, 13, 13),
    "gem_flat": (1, 8, 13, 13),
    "gem_softplus": (1, 8, 13, 13),
}
