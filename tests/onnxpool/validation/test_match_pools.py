"""Frozen pools that their PyTorch source settles, judged by that source at other sizes."""

import functools
import warnings
from collections.abc import Callable

import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as in the sources that are exported here
from torch import Tensor, nn

import onnxpool
from models import attention, pyramid
from onnxpool.errors import ArgumentError, SourceError
from onnxpool.pipeline.report import Report
from tests.dynamic_exports import Shape, dynamo, right_at, torchscript

LENGTHS = ((24, 24), (25, 24), (40, 36), (17, 41), (64, 64), (30, 48), (55, 33))


def pooled_here(x: Tensor, size: int | tuple[int, int]) -> Tensor:
    return F.adaptive_avg_pool2d(x, size)


class Bins(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(6))


class Shares(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        average = F.adaptive_avg_pool2d(x, (h // 4, w // 4))
        return average - F.adaptive_max_pool2d(x.abs(), (h // 4, w // 4))


class Beside(nn.Module):
    """Adaptive pools beside ordinary ones of the same tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, 1, 1)
        self.down, self.pool = nn.AvgPool2d(3), nn.AdaptiveAvgPool2d(6)
        self.most, self.parts = nn.MaxPool2d(4), nn.AdaptiveMaxPool2d(3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        ordinary = self.down(x).mean((2, 3)), self.most(x).mean((2, 3))
        return torch.cat([*ordinary, self.pool(x).flatten(1), self.parts(x).flatten(1)], 1)


class Twice(nn.Module):
    """One module, called for two planes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.down = nn.Conv2d(3, 3, 3, 1, 1), nn.AvgPool2d(2)
        self.pool = nn.AdaptiveAvgPool2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv(self.down(x)))
        return torch.cat([self.pool(x), self.pool(y)], 1)


class Series(nn.Module):
    """A frozen pool behind a frozen pool: what it pools is right where it was traced only."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.AdaptiveAvgPool2d(12), nn.AdaptiveMaxPool2d((3, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(F.relu(self.a(x)))


class Functional(nn.Module):
    """Levels that no line of the source names, of a map with a stride."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        return torch.cat([pooled_here(y, size).flatten(2) for size in (2, 3, 4, 6)], 2)


class Windows(nn.Module):
    """Ordinary pools alone."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.max_pool2d(x, 2), 3)


Case = tuple[Callable[[], nn.Module], Shape]
CASES: dict[str, Case] = {
    "bins traced at 12": (Bins, (2, 3, 12, 12)),
    "bins traced at 6": (Bins, (2, 3, 6, 6)),
    "shares": (Shares, (2, 3, 24, 24)),
    "beside ordinary pools": (Beside, (2, 3, 24, 24)),
    "called twice": (Twice, (2, 3, 24, 24)),
    "in series": (Series, (2, 3, 24, 24)),
    "functional, 24": (Functional, (2, 3, 24, 24)),
    "functional, 20": (Functional, (2, 3, 20, 20)),
    "pyramid traced at 30": (pyramid.ppm, (2, 16, 30, 30)),
    "pyramid traced at 33": (pyramid.ppm, (2, 16, 33, 33)),
    "attention traced at 14": (attention.linear_attention, (2, 16, 14, 14)),
}


@functools.cache
def exported(build: Callable[[], nn.Module], traced: Shape) -> tuple[nn.Module, bytes]:
    torch.manual_seed(0)
    module = build().eval()
    return module, dynamo(module, traced, (0, 2, 3)).SerializeToString()


def load(
    build: Callable[[], nn.Module], traced: Shape, *, wiped: bool = False
) -> tuple[nn.Module, onnx.ModelProto]:
    module, serialized = exported(build, traced)
    model = onnx.load_from_string(serialized)
    for node in model.graph.node if wiped else ():
        del node.metadata_props[:]
    return module, model


def shapes(channels: int) -> list[Shape]:
    return [(3, channels, h, w) for h, w in LENGTHS]


@pytest.mark.parametrize("wiped", [False, True], ids=["metadata", "wiped"])
@pytest.mark.parametrize("name", CASES)
def test_a_reference_makes_a_frozen_model_right(name: str, wiped: bool) -> None:
    build, traced = CASES[name]
    module, model = load(build, traced, wiped=wiped)
    tried = shapes(traced[1])
    assert len(right_at(model, module, tried)) < len(tried)
    result = onnxpool.rewrite(model, reference=module)
    assert right_at(result.model, module, tried) == tried
    assert "the reference pools it to" in evidence(result.report)
    assert not any("leaves node" in note for note in result.report.notes)


def evidence(report: Report) -> str:
    return " ".join(f.repair.evidence for f in report.findings if f.repair)


def test_an_ordinary_pool_is_no_finding_that_asks() -> None:
    module, model = load(Windows, (2, 3, 24, 24), wiped=True)
    result = onnxpool.rewrite(model, reference=module)
    assert result.model.graph.node == model.graph.node
    assert not [
        f for f in result.report.findings if f.level != "note" or "--output-size" in f.detail
    ]


def test_windows_of_the_whole_plane_are_known_where_torchscript_froze_them() -> None:
    class GeM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x).clamp(min=1e-6).pow(3)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch, that a number is frozen
                return F.avg_pool2d(y, (int(y.shape[-2]), int(y.shape[-1]))).pow(1 / 3)

    torch.manual_seed(0)
    module = GeM().eval()
    model = torchscript(module, (2, 3, 24, 20), (0, 2, 3))
    tried = shapes(3)
    assert right_at(model, module, tried) == []
    result = onnxpool.rewrite(model, reference=module)
    assert right_at(result.model, module, tried) == tried


def test_what_the_user_says_comes_first() -> None:
    module, model = load(Bins, (2, 3, 12, 12))
    node = next(n.name for n in model.graph.node if n.op_type == "AveragePool")
    result = onnxpool.rewrite(model, reference=module, output_sizes={node: (3, 3)})
    tried = shapes(3)
    assert right_at(result.model, nn.AdaptiveAvgPool2d(3), tried) == tried


@pytest.mark.parametrize("wiped", [False, True], ids=["metadata", "wiped"])
def test_a_source_of_another_model_is_refused_by_name(wiped: bool) -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.other = nn.AdaptiveAvgPool2d(6)

        def forward(self, x: Tensor) -> Tensor:
            return self.other(x.exp())

    _, model = load(Bins, (2, 3, 12, 12), wiped=wiped)
    with pytest.raises(SourceError, match=r"Other is not the source .* node 'node_avg_pool2d'"):
        onnxpool.rewrite(model, reference=Other())


def test_a_pool_that_does_not_fit_is_left_with_the_reason() -> None:
    class Nine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("0", nn.AvgPool2d(9))

        def forward(self, x: Tensor) -> Tensor:
            return self.get_submodule("0")(x)

    _, model = load(Bins, (2, 3, 12, 12))
    result = onnxpool.rewrite(model, reference=Nine())
    (note,) = result.report.notes
    assert note.startswith("Nine leaves node 'node_avg_pool2d' open: none of its pools fits")
    assert result.model.graph.node == model.graph.node


@pytest.mark.parametrize("order", [1, -1])
def test_one_node_of_two_calls_is_left_with_the_reason(order: int) -> None:
    """Traced at 24, windows of 4 are those of a pool to 6x6, and torch's exporter merges both."""

    class Both(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            windows = F.avg_pool2d(x, 4) if order > 0 else None
            bins = F.adaptive_avg_pool2d(x, 6)
            windows = F.avg_pool2d(x, 4) if windows is None else windows
            return torch.cat([windows.flatten(1), bins.flatten(1)], 1)

    module = Both()
    model = dynamo(module, (2, 3, 24, 24), (0, 2, 3))
    assert [node.op_type for node in model.graph.node].count("AveragePool") == 1
    result = onnxpool.rewrite(model, reference=module)
    assert any("one node of two calls" in note for note in result.report.notes)
    assert result.model.graph.node == model.graph.node


def test_two_pools_that_both_fit_settle_nothing() -> None:
    """Of a wiped graph with one of two pools of a tensor, at whose size both would be right."""

    class Either(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.adaptive_avg_pool2d(x, 3).mean() + F.adaptive_avg_pool2d(x, 5).mean() * 0

    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.adaptive_avg_pool2d(x, 3).mean() * 0

    _, model = load(Constant, (2, 3, 12, 12), wiped=True)
    result = onnxpool.rewrite(model, reference=Either())
    assert any("several of its pools fit" in note for note in result.report.notes)


def test_a_share_in_a_way_of_its_own_is_told() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return pooled_here(x, (x.shape[2] // 4 + 1, x.shape[3] // 4 + 1))

    module, model = load(Odd, (2, 3, 12, 12), wiped=True)
    result = onnxpool.rewrite(model, reference=module)
    assert any("way of its own" in note for note in result.report.notes)
    assert result.model.graph.node == model.graph.node


def test_input_shapes_are_fixed_after_the_repair() -> None:
    module, model = load(Bins, (2, 3, 12, 12))
    name = model.graph.input[0].name
    result = onnxpool.rewrite(model, reference=module, input_shapes={name: (1, 3, 33, 20)})
    assert right_at(result.model, module, [(1, 3, 33, 20)]) == [(1, 3, 33, 20)]


def test_a_model_without_open_pools_does_not_run_its_source() -> None:
    class Never(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError

    module, _ = exported(Bins, (2, 3, 12, 12))
    model = dynamo(module, (2, 3, 12, 12), ())
    onnxpool.rewrite(model, reference=Never())
    _, open_model = load(Bins, (2, 3, 12, 12))
    onnxpool.rewrite(open_model, reference=Never(), repair=False)


def test_a_model_is_no_source() -> None:
    _, model = load(Bins, (2, 3, 12, 12))
    with pytest.raises(ArgumentError, match=r"other\.onnx names no PyTorch source"):
        onnxpool.rewrite(model, reference="other.onnx")


def test_weights_need_a_source() -> None:
    _, model = load(Bins, (2, 3, 12, 12))
    with pytest.raises(ArgumentError, match="give a reference"):
        onnxpool.rewrite(model, weights="w.pt")
