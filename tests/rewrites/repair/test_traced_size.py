"""The traced size is found where anything in the graph holds it."""

from collections.abc import Callable

import onnx
import pytest
import torch
from torch import Tensor, nn

import onnxpool
from tests.dynamic_exports import Shape, dynamo, right_at

IMAGE = (0, 2, 3)


class Positioned(nn.Module):
    """Tokens with an embedding of their position, which holds their number, and a pool to 6x6."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.pool = nn.Conv2d(3, 8, 4, 4), nn.AdaptiveAvgPool2d(6)
        self.positions = nn.Parameter(torch.randn(1, 144, 8))

    def forward(self, image: Tensor) -> Tensor:
        x = self.embed(image)
        tokens = x.flatten(2).transpose(1, 2) + self.positions
        return self.pool(tokens.transpose(1, 2).reshape(x.shape))


class Windowed(nn.Module):
    """A frozen level beside one whose windows the graph computes, as in a pyramid of a network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.first, self.second = nn.AdaptiveAvgPool2d(4), nn.AdaptiveAvgPool2d(6)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        return torch.cat([self.first(x).flatten(1), self.second(x).flatten(1)], 1)


class Tall(nn.Module):
    """Two pools to 5x3, and a layer that takes as many features."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveMaxPool2d((5, 3))
        self.classify = nn.Linear(3 * 15, 4)

    def forward(self, image: Tensor) -> Tensor:
        return self.classify(self.pool(image).flatten(1))




@pytest.mark.parametrize(
    ("build", "traced", "planes"),
    [
        (Windowed, (2, 3, 40, 40), ((40, 40), (36, 44), (64, 52), (90, 33), (41, 71))),
        (Tall, (2, 3, 30, 21), ((30, 21), (31, 40), (44, 24), (9, 70), (17, 33))),
    ],
)
def test_it_is_found(
    build: Callable[[], nn.Module], traced: Shape, planes: tuple[tuple[int, int], ...]
) -> None:
    torch.manual_seed(0)
    module = build().eval()
    model = dynamo(module, traced, IMAGE)
    shapes = [(3, 3, h, w) for h, w in planes]
    result = onnxpool.rewrite(model)
    assert right_at(result.model, module, shapes) == shapes


def test_an_embedding_of_positions_holds_it() -> None:
    """144 tokens are 12x12, if the image was a square: so the windows of 2 make 6x6."""
    torch.manual_seed(0)
    model = dynamo(Positioned().eval(), (2, 3, 48, 48), IMAGE)
    (finding,) = onnxpool.inspect(model).findings
    assert finding.shape.endswith("→ 6x6")
    assert "only one square size" in finding.wrong


def test_a_declared_size_holds_it() -> None:
    """An output that is declared as it was at the traced size, behind a convolution."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.AdaptiveAvgPool2d(6), nn.Conv2d(4, 4, 3)).eval()
    model = dynamo(module, (2, 4, 30, 30), IMAGE)
    for dim in model.graph.output[0].type.tensor_type.shape.dim[2:]:
        dim.Clear()
        dim.dim_value = 4
    del model.graph.value_info[:]
    shapes = [(3, 4, h, w) for h, w in ((30, 30), (31, 40), (44, 24), (9, 70))]
    result = onnxpool.rewrite(model)
    assert right_at(result.model, module, shapes) == shapes
