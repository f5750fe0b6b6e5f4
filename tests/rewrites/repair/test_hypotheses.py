"""A pool of side-by-side windows over open sizes: adaptive to a size, to a share, or ordinary."""

import functools
from collections.abc import Callable

import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as in the sources that are exported here
from torch import Tensor, nn

import onnxpool
from onnxpool.errors import ArgumentError
from onnxpool.pipeline.report import Finding, Report
from onnxpool.rewrites.repair.source_line import Says, words
from tests.dynamic_exports import Shape, dynamo, right_at

IMAGE = (0, 2, 3)
LENGTHS = ((24, 24), (25, 24), (30, 35), (7, 41), (16, 12), (33, 9), (64, 64), (4, 6))


def pooled_here(x: Tensor, size: int) -> Tensor:
    """A call that no line of a `forward` shows."""
    return F.adaptive_avg_pool2d(x, size)


class Quarter(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        return F.adaptive_avg_pool2d(x, (h // 4, w // 4))


class MaximumOfThirds(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_max_pool2d(x, (x.shape[2] // 3, x.shape[3] // 3))


class Strips(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, (x.shape[2] // 8, 1))


class KeptAndHalf(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        w = x.shape[3]
        return F.adaptive_avg_pool2d(x, (None, w // 2))


class MadeThere(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        return nn.AdaptiveAvgPool2d((h // 4, w // 4))(x)


class Aliased(nn.Module):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode, self.by = mode, 4

    def forward(self, x: Tensor) -> Tensor:
        pool = F.adaptive_max_pool2d if self.mode == "max" else F.adaptive_avg_pool2d
        a, b = x.shape[-2:]
        return pool(x, (a // self.by, b // self.by))


class Named(nn.Module):
    """A size that is computed lines before."""

    def forward(self, x: Tensor) -> Tensor:
        size = (x.shape[2] // 4, x.shape[3] // 4)
        return F.adaptive_max_pool2d(x, size)


class OfTheImage(nn.Module):
    """Divided are the lengths of the image, and not those of what is pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 4, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        return F.adaptive_avg_pool2d(self.stem(x), (h // 8, w // 8))


class Written(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, (3, 6))


class Ordinary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.average, self.maximum = nn.AvgPool2d(4), nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        both = F.adaptive_avg_pool2d(x, (1, 1)) + F.avg_pool2d(x, 6).mean()
        return self.average(x), self.maximum(x), F.avg_pool2d(x, 3), F.max_pool2d(x, 3), both


class Hidden(nn.Module):
    """Levels of a pyramid in one line that does not say what it calls."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(pooled_here(x, size) for size in (1, 2, 3, 6))


class TwoHeads(nn.Module):
    """An ordinary pool beside an adaptive one of the same tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.pool, self.classify = (
            nn.AvgPool2d(4),
            nn.AdaptiveAvgPool2d(3),
            nn.Linear(4 * 9, 5),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.down(x), self.classify(self.pool(x).flatten(1))


@functools.cache
def exported(build: Callable[[], nn.Module], traced: Shape) -> tuple[nn.Module, bytes]:
    torch.manual_seed(0)
    module = build().eval()
    return module, dynamo(module, traced, IMAGE).SerializeToString()


def load(
    build: Callable[[], nn.Module], traced: Shape = (2, 4, 24, 24)
) -> tuple[nn.Module, onnx.ModelProto]:
    module, serialized = exported(build, traced)
    return module, onnx.load_from_string(serialized)


def shapes(channels: int = 4) -> list[Shape]:
    return [(3, channels, h, w) for h, w in LENGTHS]


def outputs_are_right(module: nn.Module, model: onnx.ModelProto) -> bool:
    """Of a module of several outputs, one after the other."""
    for index, output in enumerate(list(model.graph.output)):
        one = onnx.ModelProto()
        one.CopyFrom(model)
        del one.graph.output[:]
        one.graph.output.append(output)
        pick = functools.partial(lambda i, x: module(x)[i], index)
        if right_at(one, pick, shapes()) != shapes():
            return False
    return True


def pools(report: Report) -> list[Finding]:
    return [f for f in report.findings if "Pool" in f.form]


@pytest.mark.parametrize(
    ("build", "size"),
    [
        (Quarter, "H/4xW/4"),
        (MaximumOfThirds, "H/3xW/3"),
        (KeptAndHalf, "NonexW/2"),
        (MadeThere, "H/4xW/4"),
    ],
)
def test_a_share_on_the_source_line_is_restored(build: Callable[[], nn.Module], size: str) -> None:
    module, model = load(build)
    assert right_at(model, module, shapes()) != shapes()
    result = onnxpool.rewrite(model)
    (finding,) = pools(result.report)
    assert finding.shape.endswith(f"→ {size}")
    assert "its source line is" in finding.wrong
    assert right_at(result.model, module, shapes()) == shapes()
    custom = onnxpool.rewrite(model, to="custom-op")
    assert right_at(custom.model, module, shapes()) == shapes()


@pytest.mark.parametrize("mode", ["max", "avg"])
def test_a_divisor_that_is_no_number_is_found_where_the_traced_size_is(mode: str) -> None:
    """24 // 4 and 4 // 3 and 8 // 3 all give windows of 4."""
    module, model = load(functools.partial(Aliased, mode))
    result = onnxpool.rewrite(model)
    (finding,) = pools(result.report)
    assert (finding.level, result.report.rewritten) == ("error", 0)
    assert "pools: a share of its input: H/4xW/4 to H/3xW/3; say it" in finding.detail
    result = onnxpool.rewrite(model, traced_sizes={"x": (2, 4, 24, 24)})
    assert right_at(result.model, module, shapes()) == shapes()


@pytest.mark.parametrize(
    ("build", "traced", "size"),
    [
        (MaximumOfThirds, (2, 4, 8, 8), "H/3xW/3"),
        (Strips, (2, 4, 18, 26), "H/8x1"),
        (Strips, (2, 4, 22, 7), "H/8x1"),
    ],
)
def test_a_share_that_does_not_divide_the_traced_size_is_restored(
    build: Callable[[], nn.Module], traced: Shape, size: str
) -> None:
    module, model = load(build, traced)
    taken = [shape for shape in shapes() if shape[2] >= 8]
    assert right_at(model, module, taken) != taken
    result = onnxpool.rewrite(model)
    (finding,) = pools(result.report)
    assert finding.shape.endswith(f"→ {size}")
    assert right_at(result.model, module, taken) == taken


def test_whose_length_is_divided_is_asked_where_windows_do_not_say_it() -> None:
    """10 // 4 windows of 5; those of a stem of another length are as long."""
    module, model = load(Quarter, (2, 4, 10, 10))
    result = onnxpool.rewrite(model)
    (finding,) = pools(result.report)
    assert (finding.level, result.report.rewritten) == ("error", 0)
    for hints in ({"output_sizes": {finding.node: "H/4xW/4"}}, {"reference": module}):
        result = onnxpool.rewrite(model, **hints)
        assert right_at(result.model, module, shapes()) == shapes()


@pytest.mark.parametrize("build", [Named, OfTheImage])
def test_what_may_be_a_share_is_asked(build: Callable[[], nn.Module]) -> None:
    """Also where the traced size is known: a size and a share are both right there."""
    module, model = load(build)
    for traced in ({}, {"x": (2, 4, 24, 24)}):
        result = onnxpool.rewrite(model, traced_sizes=traced)
        (finding,) = pools(result.report)
        assert (finding.level, result.report.rewritten) == ("error", 0)
        assert "or a share of its input: H/4xW/4" in finding.detail
    assert "its kernel 4x4 does not say to which size it pools: " in finding.detail
    assert module is not None


def test_the_user_says_a_share() -> None:
    module, model = load(Named)
    name = pools(onnxpool.inspect(model))[0].node
    for size in ("H/4xW/4", ("H/4", "W/4")):
        result = onnxpool.rewrite(model, output_sizes={name: size})
        assert right_at(result.model, module, shapes()) == shapes()


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("W/4xH/4", "takes a share of W where node"),
        ("H/2xW/2", "does not fit windows of 4x4: those of a share /2 are 2 to 3 long"),
        ("H/4", "has 1 axes, node"),
        ("H/4xW/0", "is not understood"),
        ("H*4", "is not understood"),
        ((3, -1), "does not fit windows of 4x4: an axis that is kept has windows of 1"),
    ],
)
def test_a_share_has_to_fit(size: str | tuple[int, ...], message: str) -> None:
    _, model = load(Named)
    name = pools(onnxpool.inspect(model))[0].node
    with pytest.raises(ArgumentError) as error:
        onnxpool.inspect(model, output_sizes={name: size})
    assert message in str(error.value)


@pytest.mark.parametrize("build", [Quarter, MaximumOfThirds])
def test_a_share_of_a_short_axis_is_no_window(build: Callable[[], nn.Module]) -> None:
    """There PyTorch gives a tensor without elements."""
    module, model = load(build)
    short = [(3, 4, 2, 9), (3, 4, 2, 2), (3, 4, 12, 1)]
    assert right_at(onnxpool.rewrite(model).model, module, short) == short


def test_a_size_on_the_source_line_needs_no_other_evidence() -> None:
    module, model = load(Written)
    result = onnxpool.rewrite(model)
    assert pools(result.report)[0].shape.endswith("→ 3x6")
    assert right_at(result.model, module, shapes()) == shapes()


def test_ordinary_pools_are_left_and_no_warnings() -> None:
    _, model = load(Ordinary)
    report = onnxpool.rewrite(model, traced_sizes={"x": (2, 4, 24, 24)}).report
    assert report.rewritten == 0
    assert {f.level for f in report.findings} == {"note"}
    for node in model.graph.node:
        del node.metadata_props[:]
    report = onnxpool.inspect(model)
    assert not [f for f in report.findings if f.form == "MaxPool" and f.level == "error"]


def test_a_detector_without_metadata_has_no_warnings() -> None:
    """MaxPool 2x2 of stride 2 and an average between convolutions, over open sizes."""
    network = nn.Sequential(
        nn.Conv2d(4, 8, 3, 1, 1), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, 1, 1), nn.AvgPool2d(2)
    )
    model = dynamo(network, (2, 4, 24, 24), IMAGE)
    for node in model.graph.node:
        del node.metadata_props[:]
    report = onnxpool.inspect(model)
    assert {f.level for f in report.findings} == {"note"}


def test_an_ordinary_pool_is_no_level_of_a_pyramid() -> None:
    module, model = load(TwoHeads)
    result = onnxpool.rewrite(model)
    assert [(f.op, f.level) for f in result.report.findings] == [
        ("AdaptiveAveragePool", "error"),
        ("", "note"),
    ]
    assert outputs_are_right(module, result.model)


def test_windows_of_one_element_are_those_of_the_traced_size() -> None:
    """The level of 6 of a map of 6 is no identity, and the others are called in the same line."""
    traced = (2, 4, 6, 6)
    module, model = load(Hidden, traced)
    left = onnxpool.rewrite(model).report
    assert {f.level for f in pools(left)} == {"error"}
    assert left.rewritten == 0
    result = onnxpool.rewrite(model, traced_sizes={"x": traced})
    assert outputs_are_right(module, result.model)


class Area(nn.Module):
    """Adaptive pooling under the name of an interpolation, as smp's PSPNet has it for exporters."""

    def __init__(self) -> None:
        super().__init__()
        self.bins = 3

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=(self.bins, self.bins), mode="area")


def test_area_interpolation_is_adaptive_pooling() -> None:
    traced = (2, 4, 24, 24)
    module, model = load(Area, traced)
    (finding,) = pools(onnxpool.inspect(model))
    assert finding.level == "error"
    assert 'mode="area"' in finding.detail
    result = onnxpool.rewrite(model, traced_sizes={"x": traced})
    assert right_at(result.model, module, shapes()) == shapes()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("y = F.adaptive_avg_pool2d(x, 6)", Says.FIXED),
        ("y = F.adaptive_avg_pool2d(x, self.bins[i])", Says.FIXED),
        ("return [F.adaptive_avg_pool2d(x, o) for o in (1, 2)]", Says.FIXED),
        ("for o in self.bins: y = F.adaptive_avg_pool2d(x, o)", Says.ADAPTIVE),
        ("y = F.adaptive_avg_pool2d(x, (h // 4, h // 4))", Says.ADAPTIVE),
        ("y = F.adaptive_avg_pool2d(x, ((h + 1) // 2, w // 2))", Says.ADAPTIVE),
        ("y = F.adaptive_avg_pool2d(x, y.shape[2:])", Says.ADAPTIVE),
        ("y = F.adaptive_avg_pool2d(", Says.ADAPTIVE),
        ("y = F.adaptive_avg_pool2d(x, output_size=(h // 2, w // 2))", Says.SHARE),
        ("y = F.interpolate(x, size=(self.bins, self.bins), mode='area')", Says.FIXED),
        ("y = F.interpolate(x, (h // 2, w // 2), None, 'area')", Says.SHARE),
        ("y = F.interpolate(x, scale_factor=0.5, mode='area')", Says.ADAPTIVE),
        ("y = F.avg_pool2d(x, x.size()[2:])", Says.WHOLE),
        ("y = F.avg_pool2d(x, kernel_size=(x.shape[2], x.shape[3]))", Says.WHOLE),
        ("y = F.avg_pool2d(x, x.shape[-1] // 4)", Says.NOTHING),
        ("y = F.avg_pool2d(x, (h, w))", Says.NOTHING),
        ("y = F.avg_pool2d(x, 2)", Says.ORDINARY),
    ],
)
def test_what_a_source_line_says(line: str, says: Says) -> None:
    assert [word.says for word in words(line, "avg")] == [says]
    assert words(line, "max") == []


def test_other_interpolation_is_no_pooling() -> None:
    assert words("y = F.interpolate(x, size=(4, 4), mode='bilinear')", "avg") == []
    assert words("y = F.interpolate(x, (4, 4))", "avg") == []
