"""Planes whose sizes the graph computes: tokens viewed as a map, windows, maps of shares."""

import functools
from collections.abc import Callable

import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as in the sources that are exported here
from torch import Tensor, nn

import onnxpool
from tests.dynamic_exports import Shape, dynamo, right_at

IMAGE = (0, 2, 3)


class SpatialReduction(nn.Module):
    """Tokens to a map, pooled to 7x7, and back, as PVTv2's linear attention is written."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.first = nn.Conv2d(3, 8, 7, 4, 3), nn.LayerNorm(8)
        self.pool, self.reduce, self.last = (
            nn.AdaptiveAvgPool2d(7),
            nn.Conv2d(8, 8, 1),
            nn.LayerNorm(8),
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.embed(image)
        n, c, h, w = x.shape
        tokens = self.first(x.flatten(2).transpose(1, 2))
        pooled = self.reduce(self.pool(tokens.permute(0, 2, 1).reshape(n, c, h, w)))
        return self.last(pooled.reshape(n, c, -1).permute(0, 2, 1))


class ViTHead(nn.Module):
    """Patches as tokens, viewed as a map, and a pyramid on it, as segmentation heads have it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Conv2d(3, 8, 8, 8), nn.LayerNorm(8)
        self.levels = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(n), nn.Conv2d(8, 4, 1)) for n in (1, 2, 4)
        )

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[2] // 8, image.shape[3] // 8
        tokens = self.norm(self.embed(image).flatten(2).transpose(1, 2))
        x = tokens.transpose(1, 2).reshape(-1, 8, height, width)
        sizes = x.shape[2:]
        upsampled = [F.interpolate(level(x), size=sizes, mode="bilinear") for level in self.levels]
        return torch.cat([x, *upsampled], 1)


class Retrieval(nn.Module):
    """GeM over the whole map, normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.p = nn.Conv2d(3, 8, 3, 2, 1), nn.Parameter(torch.ones(1) * 3)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image).clamp(min=1e-6).pow(self.p)
        pooled = F.avg_pool2d(x, (x.size(-2), x.size(-1))).pow(1 / self.p)
        return F.normalize(pooled.flatten(1))


@functools.cache
def exported(build: Callable[[], nn.Module], traced: Shape) -> tuple[nn.Module, bytes]:
    torch.manual_seed(0)
    module = build().eval()
    return module, dynamo(module, traced, IMAGE).SerializeToString()


@pytest.mark.parametrize(
    ("build", "traced", "told"),
    [
        (SpatialReduction, (2, 3, 112, 112), True),
        (SpatialReduction, (2, 3, 112, 56), True),
        (ViTHead, (2, 3, 64, 128), True),
        (Retrieval, (2, 3, 16, 24), False),
    ],
)
def test_computed_planes_are_repaired(
    build: Callable[[], nn.Module], traced: Shape, told: bool
) -> None:
    module, serialized = exported(build, traced)
    model = onnx.load_from_string(serialized)
    shapes = [(3, 3, h, w) for h, w in ((112, 112), (64, 200), (96, 48), (72, 88), (137, 121))]
    shapes = [s for s in shapes if build is not ViTHead or not (s[2] % 8 or s[3] % 8)]
    assert right_at(model, module, shapes) != shapes
    hints = {"image": traced} if told else {}
    result = onnxpool.rewrite(model, traced_sizes=hints)
    assert result.report.rewritten == 1
    assert right_at(result.model, module, shapes) == shapes
