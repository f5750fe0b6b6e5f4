"""Pyramidal convolution (PyConv), and the blocks of PyConvSegNet's head.

Duta, Liu, Zhu, Shao: Pyramidal Convolution: Rethinking Convolutional Neural Networks for Visual
Recognition, 2020 (arXiv:2006.11538). Section 3: one input, convolved at several kernel sizes, the
larger ones in more groups; the results are concatenated. Section 4: the local block convolves at
the full size; the global block does so on the input pooled to 9 x 9, and upsamples the result; the
merge block concatenates both.
"""

import torch
from torch import Tensor, nn

KERNELS = (9, 7, 5, 3)
GROUPS = (16, 8, 4, 1)


class PyConv(nn.Module):
    """``(N, C, H, W)`` to ``(N, out_channels, H, W)``, an equal share from each kernel size."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        kernels: tuple[int, ...] = KERNELS,
        groups: tuple[int, ...] = GROUPS,
    ) -> None:
        super().__init__()
        share = out_channels // len(kernels)
        self.levels = nn.ModuleList(
            nn.Conv2d(channels, share, kernel, padding=kernel // 2, groups=group, bias=False)
            for kernel, group in zip(kernels, groups, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([level(x) for level in self.levels], dim=1)


def normalised(convolution: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())


class LocalPyConv(nn.Module):
    """``(N, C, H, W)`` to ``(N, reduced, H, W)``: reduce, PyConv, combine."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            normalised(nn.Conv2d(channels, reduced, 1, bias=False), reduced),
            normalised(PyConv(reduced, reduced), reduced),
            normalised(nn.Conv2d(reduced, reduced, 1, bias=False), reduced),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out


class GlobalPyConv(LocalPyConv):
    """The same on the input pooled to `bins` x `bins`, resized back to ``(H, W)``."""

    def __init__(self, channels: int, reduced: int, bins: int = 9) -> None:
        super().__init__(channels, reduced)
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        pooled = super().forward(nn.functional.adaptive_avg_pool2d(x, self.bins))
        return nn.functional.interpolate(
            pooled, size=x.shape[-2:], mode="bilinear", align_corners=True
        )


class PyConvHead(nn.Module):
    """``(N, C, H, W)`` to ``(N, reduced, H, W)``: the local and the global block, merged."""

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.local_context = LocalPyConv(channels, reduced)
        self.global_context = GlobalPyConv(channels, reduced)
        self.merge = normalised(nn.Conv2d(2 * reduced, reduced, 3, padding=1, bias=False), reduced)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.local_context(x), self.global_context(x)], dim=1)
        out: Tensor = self.merge(both)
        return out


def pyconv() -> nn.Module:
    return PyConv(16, 64)


def pyconv_local() -> nn.Module:
    return LocalPyConv(16, 64)


def pyconv_global() -> nn.Module:
    return GlobalPyConv(16, 64)


def pyconv_head() -> nn.Module:
    return PyConvHead(16, 64)


EXAMPLES = {
    "pyconv": (1, 16, 20, 20),
    "pyconv_local": (1, 16, 20, 20),
    "pyconv_global": (1, 16, 20, 20),
    "pyconv_head": (1, 16, 20, 20),
}
