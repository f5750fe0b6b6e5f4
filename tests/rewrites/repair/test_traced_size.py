"""The traced size is found where nodes or declared sizes hold it; windows: see test_frozen.py."""

import re

import pytest
import torch
from torch import Tensor, nn

import onnxpool
from tests.dynamic_exports import dynamo, right_at

IMAGE = (0, 2, 3)
ONE_SYMBOL = pytest.mark.filterwarnings("ignore:# The axis name")


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


class Tall(nn.Module):
    """Two pools to 5x3, and a layer that takes as many features."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveMaxPool2d((5, 3))
        self.classify = nn.Linear(3 * 15, 4)

    def forward(self, image: Tensor) -> Tensor:
        return self.classify(self.pool(image).flatten(1))


def test_only_sizes_that_the_graph_takes_are_suggested() -> None:
    """45 features of 3 channels were 5x3 or three other planes, and no square one."""
    torch.manual_seed(0)
    model = dynamo(Tall().eval(), (2, 3, 30, 21), IMAGE)
    (finding,) = onnxpool.inspect(model).findings
    assert finding.level == "error"
    suggested = "1x15 (traced at 6x105), 3x5 (traced at 18x35), 5x3 (traced at 30x21), 15x1 (traced"
    assert suggested in finding.detail


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


class Strip(nn.Module):
    """What is left of a map without the means of its rows."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d((None, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x - self.pool(x)
        return out


def test_windows_of_one_element_beside_longer_ones_suggest_a_kept_axis() -> None:
    """At another width the means of two halves of a row could not be subtracted from it."""
    model = dynamo(Strip().eval(), (2, 4, 16, 20), IMAGE)
    (finding,) = onnxpool.inspect(model).findings
    assert finding.level == "error"
    assert "to which size it pools: Nonex1 (traced at ?x20); say it" in finding.detail


class Patches(nn.Module):
    """A pyramid over a map of 2x2: the windows to 3x3 and 6x6 were right at 1x1 and 3x3, too."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 4, 32, 32)
        self.levels = nn.ModuleList(nn.AdaptiveAvgPool2d(bins) for bins in (2, 3, 6))

    def forward(self, image: Tensor) -> Tensor:
        x = self.embed(image)
        pooled = [level(x) for level in self.levels]
        return torch.cat([nn.functional.interpolate(y, x.shape[2:]) for y in pooled], 1)


def test_large_sizes_are_not_left_out_where_few_fit() -> None:
    torch.manual_seed(0)
    module = Patches().eval()
    model = dynamo(module, (2, 3, 64, 64), IMAGE)
    traced = [(3, 3, 64, 64)]
    assert right_at(onnxpool.rewrite(model).model, module, traced) == traced
    details = [finding.detail for finding in onnxpool.inspect(model).findings]
    assert any("to which size it pools: 1x1 (traced at 1x1)" in detail for detail in details)


class Levels(nn.Module):
    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.pools = nn.ModuleList(map(nn.AdaptiveAvgPool2d, sizes))

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv(image)
        return torch.cat([pool(x).flatten(2) for pool in self.pools], 2)


@ONE_SYMBOL
@pytest.mark.parametrize("traced", [30, 33])
@pytest.mark.parametrize("sizes", [(3,), (1, 2, 3, 6)])
def test_one_symbol_may_stand_for_height_and_width(traced: int, sizes: tuple[int, ...]) -> None:
    side, module = torch.export.Dim("side", min=2, max=200), Levels(*sizes)
    model = dynamo(module, (2, 4, traced, traced), {2: side, 3: side})
    for finding in onnxpool.inspect(model).findings:
        suggested = re.findall(r"traced at ([0-9]+)x([0-9]+)", finding.detail)
        assert all(height == width for height, width in suggested)
    shapes = [(2, 4, n, n) for n in (2, 7, 12, 30, 33, 64)]
    result = onnxpool.rewrite(model, traced_sizes={"image": (2, 4, traced, traced)})
    assert right_at(result.model, module, shapes) == shapes


@ONE_SYMBOL
def test_a_size_is_no_square_because_its_input_is() -> None:
    side, module = torch.export.Dim("side", min=2, max=200), nn.AdaptiveMaxPool2d((5, 3))
    model = dynamo(module, (2, 4, 30, 30), {2: side, 3: side})
    (finding,) = onnxpool.inspect(model).findings
    assert "5x3 (traced at 30x30)" in finding.detail
    shapes = [(2, 4, n, n) for n in (1, 7, 12, 30, 33, 64)]
    result = onnxpool.rewrite(model, output_sizes={finding.node: (5, 3)})
    assert right_at(result.model, module, shapes) == shapes
