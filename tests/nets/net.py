"""A whole net with random weights, and the sizes at which it is tried."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.nets.packages import make_importable

Size = tuple[int, ...]
"""Height and width of an image, or the length of a text."""

BATCH = 2
AROUND_64 = ((64, 64), (32, 32), (96, 96), (64, 96), (128, 96), (80, 112), (72, 56), (160, 64))
TIMES_32 = ((64, 64), (32, 32), (96, 96), (64, 96), (128, 96), (96, 160), (192, 64), (128, 128))
"""Sizes of which the first is the traced one; the second are for nets that want multiples of 32."""


@dataclasses.dataclass(frozen=True)
class Net:
    """Attributes:
    build: makes the module.
    sizes: those that are tried, the traced one first.
    inputs: its inputs of a size, by name.
    axes: of each input, those that are open.
    packages: what it is built of besides torch.
    """

    name: str
    build: Callable[[], nn.Module]
    sizes: tuple[Size, ...] = AROUND_64
    inputs: Callable[[Size], dict[str, Tensor]] = lambda size: image(size)
    axes: Callable[[], dict[str, tuple[int, ...]]] = lambda: {"x": (0, 2, 3)}
    packages: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    def module(self) -> nn.Module:
        make_importable()
        torch.manual_seed(0)
        module = self.build().eval()
        module.apply(_keep_variance)
        return module


def _keep_variance(module: nn.Module) -> None:
    """Draw weights that let what a layer sees through to the end of a deep net."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight)


def image(size: Size) -> dict[str, Tensor]:
    return {"x": torch.rand(BATCH, 3, *size, generator=torch.Generator().manual_seed(0))}
