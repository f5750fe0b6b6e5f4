"""Nets whose classifier takes a map of one size: pooled to it, whatever the image is."""

from __future__ import annotations

from torch import nn

from tests.nets.net import Net

FROM_224 = (
    (224, 224),
    (256, 256),
    (192, 192),
    (224, 288),
    (160, 320),
    (448, 224),
    (200, 260),
    (96, 64),
)


def alexnet() -> nn.Module:
    """With an eighth of its channels."""
    import torch
    import torchvision

    with torch.device("meta"):
        net = torchvision.models.AlexNet()
    net.features = nn.Sequential(
        nn.Conv2d(3, 8, kernel_size=11, stride=4, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(8, 24, kernel_size=5, padding=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(24, 48, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(48, 32, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(kernel_size=3, stride=2),
    )
    net.classifier = _classifier(32 * 6 * 6)
    return net


def vgg() -> nn.Module:
    """VGG-11 with an eighth of its channels."""
    import torch
    from torchvision.models import vgg as source

    with torch.device("meta"):
        net = source.VGG(nn.Identity())
    channels = [8, "M", 16, "M", 32, 32, "M", 64, 64, "M", 64, 64, "M"]
    net.features = source.make_layers(channels)
    net.classifier = _classifier(64 * 7 * 7)
    return net


def _classifier(features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(),
        nn.Linear(features, 32),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(32, 10),
    )


NETS = (
    Net("AlexNet", alexnet, FROM_224, packages=("torchvision",)),
    Net("VGG-11", vgg, FROM_224, packages=("torchvision",)),
)
