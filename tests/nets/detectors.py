"""Nets that find boxes: all their pools are ordinary ones, right as exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.nets.net import TIMES_32, Net


class ConvUnit(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.SiLU(inplace=True),
        )


class SPPF(nn.Module):
    """Max pooling of stride 1, three times one after the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cv1 = ConvUnit(channels, channels // 2)
        self.cv2 = ConvUnit(channels * 2, channels)
        self.m = nn.MaxPool2d(kernel_size=5, stride=1, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        y = [self.cv1(x)]
        y.extend(self.m(y[-1]) for _ in range(3))
        return self.cv2(torch.cat(y, 1))


class Yolo(nn.Module):
    """The parts of YOLOv8: a strided backbone, SPPF, upsampling, and a head that flattens its
    maps, over a grid of the size of each."""

    project: Tensor

    def __init__(self, classes: int = 4, bins: int = 4) -> None:
        super().__init__()
        self.classes, self.bins = classes, bins
        self.p3 = nn.Sequential(ConvUnit(3, 8, 3, 2), ConvUnit(8, 8, 3, 2), ConvUnit(8, 16, 3, 2))
        self.p4 = ConvUnit(16, 16, 3, 2)
        self.p5 = nn.Sequential(ConvUnit(16, 32, 3, 2), SPPF(32))
        self.up = nn.Upsample(None, 2, "nearest")
        self.h4, self.h3 = ConvUnit(48, 16), ConvUnit(32, 16)
        self.heads = nn.ModuleList(nn.Conv2d(c, 4 * bins + classes, 1) for c in (16, 16, 32))
        self.register_buffer("project", torch.arange(bins, dtype=torch.float))

    def forward(self, x: Tensor) -> Tensor:
        p3 = self.p3(x)
        p4 = self.p4(p3)
        p5 = self.p5(p4)
        h4 = self.h4(torch.cat([self.up(p5), p4], 1))
        h3 = self.h3(torch.cat([self.up(h4), p3], 1))
        maps = [head(h) for head, h in zip(self.heads, (h3, h4, p5), strict=True)]
        points, strides = self.anchors(maps)
        flat = torch.cat([m.view(m.shape[0], m.shape[1], -1) for m in maps], 2)
        box, scores = torch.split(flat, [4 * self.bins, self.classes], 1)
        b, _, a = box.shape
        box = box.view(b, 4, self.bins, a).transpose(2, 1).softmax(1)
        box = (box * self.project.view(1, -1, 1, 1)).sum(1)
        lt, rb = box.chunk(2, 1)
        box = torch.cat([(points - lt + points + rb) / 2, rb + lt], 1) * strides
        return torch.cat([box, scores.sigmoid()], 1)

    def anchors(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        points, strides = [], []
        for m, stride in zip(maps, (8, 16, 32), strict=True):
            h, w = m.shape[2:]
            y, x = torch.meshgrid(
                torch.arange(h, dtype=m.dtype) + 0.5,
                torch.arange(w, dtype=m.dtype) + 0.5,
                indexing="ij",
            )
            points.append(torch.stack((x, y), -1).view(-1, 2))
            strides.append(torch.full((h * w, 1), float(stride), dtype=m.dtype))
        return torch.cat(points).transpose(0, 1), torch.cat(strides).transpose(0, 1)


class YuNet(nn.Module):
    """Wu, Peng, Yu: YuNet, a tiny millisecond-level face detector, Machine Intelligence Research
    2023: depthwise units, max pooling by 2, a feature pyramid that adds."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(inplace=True))
        self.stages = nn.ModuleList(self.unit(8 if i == 0 else 16, 16) for i in range(5))
        self.pool = nn.MaxPool2d(2)
        self.laterals = nn.ModuleList(self.unit(16, 16) for _ in range(3))
        self.cls = nn.ModuleList(nn.Conv2d(16, 1, 1) for _ in range(3))
        self.box = nn.ModuleList(nn.Conv2d(16, 4, 1) for _ in range(3))

    @staticmethod
    def unit(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 1),
            nn.Conv2d(outputs, outputs, 3, 1, 1, groups=outputs),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stem(x))
        feats = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in (2, 3, 4):
                feats.append(x)
            if i in (1, 2, 3):
                x = self.pool(x)
        for i in (2, 1, 0):
            feats[i] = self.laterals[i](feats[i])
            if i > 0:
                feats[i - 1] = feats[i - 1] + functional.interpolate(
                    feats[i], feats[i - 1].shape[2:]
                )
        out = []
        for i, f in enumerate(feats):
            both = torch.cat([self.cls[i](f).sigmoid(), self.box[i](f)], 1)
            out.append(both.permute(0, 2, 3, 1).reshape(f.size(0), -1, 5))
        return torch.cat(out, 1)


NETS = (
    Net("YOLO", Yolo, TIMES_32),
    Net("YuNet", YuNet, TIMES_32),
)
