"""Generalised-mean pooling, exported."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models import gem
from tests.exports.case import generalised
from tests.exports.export import Export
from tests.exports.modules import EVEN, MAP

P = (2.87,)
PER_CHANNEL = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0)
SOFTPLUS = (1 + math.log1p(math.exp(1.5)),)


class GeMMaximum(gem.GeM):
    """The clamp spelled as a maximum of two tensors."""

    def forward(self, x: Tensor) -> Tensor:
        p = self.exponent()
        return self.mean(torch.maximum(x, torch.tensor(self.epsilon)).pow(p)).pow(1.0 / p)


class GeMUnclamped(gem.GeM):
    def forward(self, x: Tensor) -> Tensor:
        p = self.exponent()
        return self.mean(x.pow(p)).pow(1.0 / p)


def learned_gem(of: type[gem.GeM] = gem.GeM, **options: Any) -> Callable[[], nn.Module]:
    return lambda: of(gem.learned(*P), **options)


GEMS = (
    Export("gem_fixed", MAP, (generalised(1, 1, p=(3.0,)),), gem.gem_fixed),
    Export("gem_learned", MAP, (generalised(1, 1, p=P),), gem.gem),
    Export("gem_per_channel", MAP, (generalised(1, 1, p=PER_CHANNEL),), gem.gem_per_channel),
    Export("gem_divisible", EVEN, (generalised(3, 3, p=P),), learned_gem(output_size=3)),
    Export("gem_equal", MAP, (generalised(3, 3, p=(3.0,)),), gem.gem_sized),
    Export("gem_unequal", MAP, (generalised(5, 5, p=P),), learned_gem(output_size=5)),
    Export("gem_full_window", MAP, (generalised(1, 1, p=P),), gem.gem_full_window),
    Export("gem_flat", MAP, (generalised(1, 1, p=P),), gem.gem_flat),
    Export("gem_softplus", MAP, (generalised(1, 1, p=SOFTPLUS),), gem.gem_softplus),
    Export("gem_maximum", MAP, (generalised(1, 1, p=P),), learned_gem(GeMMaximum)),
    Export(
        "gem_unclamped",
        MAP,
        (generalised(1, 1, p=P, epsilon=None),),
        learned_gem(GeMUnclamped),
        positive=True,
    ),
    Export(
        "gem_float16",
        MAP,
        (generalised(1, 1, p=(3.0,), epsilon=1e-2),),
        lambda: gem.GeM(3.0, epsilon=1e-2),
        dtype="float16",
    ),
)
