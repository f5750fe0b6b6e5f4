"""A small ResNet.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016.
"""

from __future__ import annotations

from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + self.downsample(x))


class Backbone(nn.Sequential):
    """``(N, 3, H, W)`` to ``(N, 32, H / 16, W / 16)``; each length is rounded up."""

    channels = 32

    def __init__(self, last_stride: int = 2) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 7, 2, 3, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
            Block(8, 16, 2),
            Block(16, self.channels, last_stride),
        )
