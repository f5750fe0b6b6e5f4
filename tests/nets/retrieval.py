"""Nets that describe an image: retrieval and re-identification."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.nets.backbone import Backbone
from tests.nets.net import Net


class GeM(nn.Module):
    """Radenović, Tolias, Chum: Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI
    2018, as their code has it: one window as large as the map."""

    def __init__(self, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.ones(1) * 3)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        powers = x.clamp(min=self.eps).pow(self.p)
        return functional.avg_pool2d(powers, (x.size(-2), x.size(-1))).pow(1.0 / self.p)


class L2Norm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / (torch.norm(x, p=2, dim=1, keepdim=True) + 1e-6).expand_as(x)


class Retrieval(nn.Module):
    """As that code goes on: normalised, then flat."""

    def __init__(self) -> None:
        super().__init__()
        self.features = Backbone()
        self.pool = GeM()
        self.norm = L2Norm()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.pool(self.features(x))).flatten(1)


class Landmarks(nn.Module):
    """The same head as most write it today: flattened, and F.normalize."""

    def __init__(self) -> None:
        super().__init__()
        self.features = Backbone()
        self.pool = GeM()

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(self.pool(self.features(x)).flatten(1), p=2.0, dim=1)


class PCB(nn.Module):
    """Sun, Zheng, Yang, Tian, Wang: Beyond Part Models, ECCV 2018: six parts, each of its own."""

    def __init__(self, parts: int = 6) -> None:
        super().__init__()
        self.features = Backbone(last_stride=1)
        self.parts_avgpool = nn.AdaptiveAvgPool2d((parts, 1))
        self.reduce = nn.Conv2d(Backbone.channels, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.reduce(self.parts_avgpool(self.features(x)))
        return functional.normalize(parts, p=2.0, dim=1).view(parts.size(0), -1)


PERSONS = ((96, 32), (64, 32), (128, 64), (144, 48), (192, 64), (100, 50), (80, 40), (96, 64))

NETS = (
    Net("ResNet, GeM, L2 norm", Retrieval),
    Net("ResNet, GeM, F.normalize", Landmarks),
    Net("PCB traced at 96x32", PCB, PERSONS),
)
