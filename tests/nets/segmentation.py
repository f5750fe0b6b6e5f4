"""Nets that label each pixel, most of them with a pyramid in their head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.nets.backbone import Backbone
from tests.nets.net import TIMES_32, Net

SMP = ("segmentation_models_pytorch",)
FROM_72 = ((72, 72), (48, 48), (96, 96), (64, 80), (128, 96), (104, 88), (144, 72), (40, 56))
FROM_192 = ((192, 192), *(size for size in TIMES_32 if size != (128, 128)))
FROM_96 = ((96, 96), *(size for size in FROM_72 if size != (96, 96)))


def psp_net() -> nn.Module:
    import segmentation_models_pytorch as smp

    return smp.PSPNet("tu-test_resnet", encoder_weights=None, psp_out_channels=16, classes=4)


def smp_upernet() -> nn.Module:
    import segmentation_models_pytorch as smp

    return smp.UPerNet("tu-test_resnet", encoder_weights=None, decoder_channels=16, classes=4)


def deeplab() -> nn.Module:
    import segmentation_models_pytorch as smp

    return smp.DeepLabV3Plus("tu-test_resnet", encoder_weights=None, decoder_channels=16, classes=4)


class Pyramid(nn.Module):
    """Zhao, Shi, Qi, Wang, Jia: Pyramid Scene Parsing Network, CVPR 2017, as semseg has it."""

    def __init__(self, channels: int, bins: tuple[int, ...] = (1, 2, 3, 6)) -> None:
        super().__init__()
        reduced = channels // len(bins)
        self.features = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(level),
                nn.Conv2d(channels, reduced, 1, bias=False),
                nn.BatchNorm2d(reduced),
                nn.ReLU(inplace=True),
            )
            for level in bins
        )

    def forward(self, x: Tensor) -> Tensor:
        size = x.size()
        out = [x]
        for level in self.features:
            out.append(
                functional.interpolate(level(x), size[2:], mode="bilinear", align_corners=True)
            )
        return torch.cat(out, 1)


class Semseg(nn.Module):
    """semseg's PSPNet: the classes at the size of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = Backbone(last_stride=1)
        self.ppm = Pyramid(Backbone.channels)
        self.cls = nn.Sequential(nn.Conv2d(64, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        size = x.size()
        x = self.cls(self.ppm(self.layers(x)))
        return functional.interpolate(x, size=size[2:], mode="bilinear", align_corners=True)


class FastSCNN(nn.Module):
    """Poudel, Liwicki, Cipolla: Fast-SCNN, BMVC 2019, as its PyTorch port has it: the pools are
    made where they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.learning_to_downsample = nn.Sequential(
            self.separable(3, 8), self.separable(8, 8), self.separable(8, 16)
        )
        self.extractor = nn.Sequential(self.separable(16, 32), self.separable(32, 32))
        self.convs = nn.ModuleList(nn.Conv2d(32, 8, 1) for _ in range(4))
        self.out = nn.Conv2d(64, 16, 1)
        self.lower, self.higher = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)
        self.classifier = nn.Conv2d(16, 4, 1)

    @staticmethod
    def separable(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, 2, 1, groups=inputs, bias=False),
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(True),
        )

    def pool(self, x: Tensor, size: int) -> Tensor:
        avgpool = nn.AdaptiveAvgPool2d(size)
        return avgpool(x)

    def upsample(self, x: Tensor, size: torch.Size) -> Tensor:
        return functional.interpolate(x, size, mode="bilinear", align_corners=True)

    def pyramid(self, x: Tensor) -> Tensor:
        size = x.size()[2:]
        feat1 = self.upsample(self.convs[0](self.pool(x, 1)), size)
        feat2 = self.upsample(self.convs[1](self.pool(x, 2)), size)
        feat3 = self.upsample(self.convs[2](self.pool(x, 3)), size)
        feat4 = self.upsample(self.convs[3](self.pool(x, 6)), size)
        return self.out(torch.cat([x, feat1, feat2, feat3, feat4], dim=1))

    def forward(self, x: Tensor) -> Tensor:
        size = x.size()[2:]
        higher = self.learning_to_downsample(x)
        lower = self.pyramid(self.extractor(higher))
        lower = functional.interpolate(
            lower, size=higher.size()[2:], mode="bilinear", align_corners=True
        )
        x = self.classifier(functional.relu(self.lower(lower) + self.higher(higher)))
        return functional.interpolate(x, size, mode="bilinear", align_corners=True)


FAST = (
    (192, 192),
    (96, 96),
    (256, 192),
    (128, 160),
    (320, 192),
    (224, 256),
    (384, 384),
    (200, 136),
)

NETS = (
    Net("PSPNet of smp traced at 72", psp_net, FROM_72, packages=SMP),
    Net("PSPNet of smp traced at 96", psp_net, FROM_96, packages=SMP),
    Net("PSPNet of semseg traced at 72", Semseg, FROM_72),
    Net("UPerNet of smp", smp_upernet, FROM_192, packages=SMP),
    Net("DeepLabV3+ of smp", deeplab, TIMES_32, packages=SMP),
    Net("Fast-SCNN", FastSCNN, FAST),
)
