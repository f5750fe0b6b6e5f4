"""Sizes that were computed for a frozen plane follow its repair, whatever reads them."""

import functools
import math
from collections.abc import Callable

import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as in the sources that are exported here
from torch import Tensor, nn

import onnxpool
from tests.dynamic_exports import Shape, dynamo, right_at

IMAGE = (0, 2, 3)
TRACED = (2, 8, 24, 36)
PLANES = ((24, 36), (25, 37), (48, 36), (24, 72), (31, 50), (61, 44), (70, 90), (17, 19))

Reader = Callable[[Tensor, Tensor], Tensor]
"""What is computed of the pooled map and of the map that it is pooled from."""


def tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def attention(p: Tensor, x: Tensor) -> Tensor:
    query, key = (tokens(t).view(t.shape[0], -1, 2, 4).transpose(1, 2) for t in (x, p))
    return F.scaled_dot_product_attention(query, key, key)


def arange(p: Tensor, x: Tensor) -> Tensor:
    rows, columns = torch.arange(p.shape[2])[:, None], torch.arange(p.shape[3])
    return p + rows * p.shape[3] + columns


def positions(p: Tensor, x: Tensor) -> Tensor:
    return torch.cat([tokens(p), torch.zeros(p.shape[0], p.shape[2] * p.shape[3], 1)], -1)


def without_edges(p: Tensor, x: Tensor) -> Tensor:
    return p[:, :, 1 : p.shape[2] - 1, : p.shape[3] - 1]


def softmax(p: Tensor, x: Tensor) -> Tensor:
    return p.flatten(2).softmax(-1).view_as(p) * p


def heads(p: Tensor, x: Tensor) -> Tensor:
    n, c, h, w = p.shape
    return p.reshape(n * 2, c // 2, h * w).mean(1).reshape(n, 2 * h * w)


def windowed(p: Tensor, x: Tensor) -> Tensor:
    n, c, h, w = p.shape
    return p.view(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1).flatten(1, 2)


def weighted(p: Tensor, x: Tensor) -> Tensor:
    return (tokens(x) @ p.flatten(2)).softmax(-1) @ tokens(p) / math.sqrt(p.shape[1])


READERS: dict[str, Reader] = {
    "normalize": lambda p, x: F.normalize(p.flatten(1)),
    "normalize channels": lambda p, x: F.normalize(p, dim=1),
    "expand_as": lambda p, x: x.mean((2, 3), keepdim=True).expand_as(p) * p,
    "expand": lambda p, x: p.mean((2, 3), keepdim=True).expand(-1, -1, *p.shape[2:]) - p,
    "matmul": lambda p, x: p.flatten(2) @ tokens(p),
    "attention": attention,
    "weighted": weighted,
    "resize to it": lambda p, x: F.interpolate(x, size=p.shape[2:], mode="bilinear") + p,
    "resize from it": lambda p, x: F.interpolate(p, size=x.shape[2:], mode="bilinear") + x,
    "view": lambda p, x: p.view(p.shape[0], 2, -1, p.shape[2], p.shape[3]).sum(1),
    "heads": heads,
    "windowed": windowed,
    "arange": arange,
    "positions": positions,
    "upsample": lambda p, x: F.interpolate(p, scale_factor=2.0).flatten(1),
    "softmax": softmax,
    "layer norm": lambda p, x: F.layer_norm(tokens(p), (8,)).flatten(1),
    "group norm": lambda p, x: F.group_norm(p, 2).flatten(1),
    "pixel_shuffle": lambda p, x: F.pixel_shuffle(p, 2).flatten(1),
    "repeat": lambda p, x: p.repeat(1, 1, 2, 3).flatten(2),
    "tile of zeros": lambda p, x: p + torch.ones(1, 1, 1, p.shape[3]).repeat(1, 1, p.shape[2], 1),
    "slice": without_edges,
    "zeros": lambda p, x: torch.zeros(p.shape[0], 8, p.shape[2], p.shape[3]) + p.relu(),
    "pad": lambda p, x: F.pad(p, (1, 2, 3, 0)).flatten(1),
    "mean": lambda p, x: p.sum((2, 3)) / (p.shape[2] * p.shape[3]),
}


class Net(nn.Module):
    """A stem of stride 2, a pool, and a reader."""

    def __init__(self, reader: Reader, pool: nn.Module) -> None:
        super().__init__()
        self.stem, self.pool, self.reader = nn.Conv2d(8, 8, 3, 2, 1), pool, reader

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        return self.reader(self.pool(x), x)


@functools.cache
def exported(reader: str, size: tuple[int, int]) -> tuple[nn.Module, bytes]:
    torch.manual_seed(0)
    module = Net(READERS[reader], nn.AdaptiveAvgPool2d(size)).eval()
    return module, dynamo(module, TRACED, IMAGE).SerializeToString()


def load(reader: str, size: tuple[int, int]) -> tuple[nn.Module, onnx.ModelProto]:
    module, serialized = exported(reader, size)
    return module, onnx.load_from_string(serialized)


def shapes() -> list[Shape]:
    return [(3, TRACED[1], h, w) for h, w in PLANES]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("size", [(4, 6), (12, 18), (4, 2)])
def test_a_reader_follows(reader: str, size: tuple[int, int]) -> None:
    """Pools to 4x6 and to 4x2, and one of windows of one element."""
    module, model = load(reader, size)
    result = onnxpool.rewrite(model, traced_sizes={"image": TRACED})
    assert result.report.rewritten == 1
    assert right_at(result.model, module, shapes()) == shapes()
