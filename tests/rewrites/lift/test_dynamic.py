"""Windows that the graph computes of Shape: lifted, repaired, and said where it was wrong."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

import onnxpool
from models import attention, gem, pyconv
from tests.dynamic_exports import Shape, dynamo, example, right_at
from tests.exports import Graph, quiet

LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 16, 17, 20, 31, 33, 40, 64)


class Head(nn.Module):
    """A pool behind strided convolutions: its sizes are computed of those of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2))
        self.pool = nn.AdaptiveAvgPool2d(5)
        self.classify = nn.Linear(8 * 25, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.pool(self.stem(x)).flatten(1))


class Twins(nn.Module):
    """Two equal pools, whose index arithmetic is shared."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = functional.adaptive_avg_pool2d(x, (4, 3))
        second = functional.adaptive_avg_pool2d(x * 2, (4, 3))
        return first + second


class SizedGeM(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        powers = x.clamp(min=1e-6).pow(2.5)
        return functional.adaptive_avg_pool2d(powers, (3, 3)).pow(1 / 2.5)


@dataclasses.dataclass(frozen=True)
class Twice:
    """Averages of averages: where the inner windows overlap, these are those of no one pool."""

    inner: int
    outer: int

    def __call__(self) -> nn.Module:
        pooled = nn.AdaptiveAvgPool2d(self.inner)
        return nn.Sequential(pooled, nn.AvgPool2d(self.inner // self.outer))


class Statistics(nn.Module):
    """Mean and deviation of six windows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        windows = functional.adaptive_avg_pool2d(x, (1, 6)).flatten(2)
        return torch.cat([windows.mean(2), windows.std(2)], 1)


@dataclasses.dataclass(frozen=True)
class Export:
    """A module, the shape it was traced at and its dynamic axes; `ops` are those to be found."""

    name: str
    build: Callable[[], nn.Module]
    traced: Shape
    axes: tuple[int, ...]
    ops: tuple[str, ...] = ("AdaptiveAveragePool",)
    least: int = 1

    def shapes(self) -> list[Shape]:
        """Square and oblong ones, with another batch wherever that is dynamic."""
        shapes = []
        for number, length in enumerate(LENGTHS):
            oblong = (length, LENGTHS[(number + 5) % len(LENGTHS)])
            for lengths in ((length, length), oblong):
                shape = list(self.traced)
                for axis in self.axes:
                    shape[axis] = 3 if axis == 0 else lengths[axis % 2]
                shapes.append(tuple(shape))
        open_axes = [axis for axis in self.axes if axis]
        return [s for s in dict.fromkeys(shapes) if min(s[a] for a in open_axes) >= self.least]


EXPORTS = (
    Export("equal windows", lambda: nn.AdaptiveAvgPool2d(6), (2, 4, 13, 13), (0, 2, 3)),
    Export("masked windows", lambda: nn.AdaptiveAvgPool2d(6), (2, 4, 16, 16), (0, 2, 3)),
    Export("not square", lambda: nn.AdaptiveAvgPool2d((7, 2)), (2, 4, 20, 31), (0, 2, 3)),
    Export("far from square", lambda: nn.AdaptiveAvgPool2d(6), (2, 4, 16, 40), (2, 3)),
    Export("kept width", lambda: nn.AdaptiveAvgPool2d((3, None)), (2, 4, 13, 13), (0, 2, 3)),
    Export("one dynamic axis", lambda: nn.AdaptiveAvgPool2d((7, 2)), (2, 4, 20, 31), (3,)),
    Export("1-D", lambda: nn.AdaptiveAvgPool1d(5), (2, 4, 13), (0, 2)),
    Export("1-D, equal windows", lambda: nn.AdaptiveAvgPool1d(4), (2, 4, 13), (0, 2)),
    Export("unbatched", lambda: nn.AdaptiveAvgPool2d(6), (4, 13, 13), (1, 2)),
    Export("behind convolutions", Head, (2, 3, 60, 60), (0, 2, 3), least=5),
    Export("shared arithmetic", Twins, (2, 4, 13, 14), (0, 2, 3), ("AdaptiveAveragePool",) * 2),
    Export("GeM with a size", SizedGeM, (2, 4, 13, 13), (0, 2, 3), ("GeMPool",)),
    Export("GeM, 3x3, of models/", gem.gem_sized, (1, 8, 13, 13), (0, 2, 3), ("GeMPool",)),
    *(
        Export(f"{inner} to {outer}, traced at {n}", Twice(inner, outer), (2, 4, n, n), (0, 2, 3))
        for inner, outer, n in ((6, 3, 13), (6, 3, 16), (6, 2, 26), (6, 1, 26), (4, 2, 15))
    ),
    Export("statistics of windows", Statistics, (2, 4, 18, 26), (0, 2, 3)),
    Export("PyConv", pyconv.pyconv_global, (1, 16, 20, 20), (0, 2, 3), least=2),
    Export("PVTv2", attention.linear_attention, (1, 16, 16, 16), (0, 2, 3), least=2),
)


@functools.cache
def exported(export: Export) -> tuple[nn.Module, bytes]:
    torch.manual_seed(0)
    module = export.build().eval()
    return module, dynamo(module, export.traced, export.axes).SerializeToString()


def each() -> list[object]:
    return [pytest.param(e, id=e.name, marks=pytest.mark.xdist_group(e.name)) for e in EXPORTS]


@pytest.mark.parametrize("export", each())
def test_what_was_wrong_at_most_sizes_is_right_at_every_size(export: Export) -> None:
    module, serialized = exported(export)
    model = onnx.load_from_string(serialized)
    result = onnxpool.rewrite(model)
    found = [f for f in result.report.findings if f.action == "rewritten"]
    assert tuple(f.op for f in found) == export.ops
    assert all(f.level == "error" and f.wrong for f in found)
    assert len(export.shapes()) >= 12
    assert right_at(result.model, module, export.shapes()) == export.shapes()
    assert right_at(model, module, export.shapes()) != export.shapes()


@pytest.mark.parametrize("export", [e for e in EXPORTS if e.name in ("equal windows", "1-D")])
def test_the_report_says_at_which_sizes_it_was_wrong(export: Export) -> None:
    module, serialized = exported(export)
    model = onnx.load_from_string(serialized)
    (finding,) = onnxpool.inspect(model).findings
    assert finding.repair is not None
    bad = {*finding.repair.wrong, *finding.repair.failing}
    assert bad.isdisjoint(finding.repair.right)
    planes = sorted(bad.union(finding.repair.right))
    shapes = {plane: (*export.traced[:2], *plane) for plane in planes}
    right = right_at(model, module, shapes.values())
    assert [shapes[plane] for plane in planes if plane not in bad] == right


def test_no_repair_leaves_it_with_a_word() -> None:
    _, serialized = exported(EXPORTS[0])
    result = onnxpool.rewrite(onnx.load_from_string(serialized), repair=False)
    (finding,) = result.report.findings
    assert result.model.SerializeToString() == serialized
    assert finding.detail == "not right at every size; rewrite without --no-repair to repair it"
    assert finding.level == "error"
    assert finding.wrong.startswith("wrong at 21 and fails at 10 of 64 sizes (4x4, 5x5, 6x6, …)")


def computed_windows(
    g: Graph, kernel: Callable[[Graph, str, str], str], stride: Callable[[Graph, str], str]
) -> str:
    """Five windows on the last axis of (1, 2, "W"), from `stride` on, `kernel` long, averaged."""
    length = g("Shape", "X")
    length = g("Gather", length, np.array(2))
    start = stride(g, length)
    positions = g("Range", np.array(0), kernel(g, length, start), np.array(1))
    column = g("Reshape", start, np.array([-1, 1]))
    return g(
        "ReduceMean", g("Gather", "X", g("Add", column, positions), axis=2), axes=[3], keepdims=0
    )


def floor_starts(g: Graph, length: str) -> str:
    return g("Div", g("Mul", np.arange(5), length), np.array(5))


def even_starts(g: Graph, length: str) -> str:
    return g("Mul", np.arange(5), g("Div", length, np.array(5)))


def longest(g: Graph, length: str, start: str) -> str:
    return g("Add", g("Div", length, np.array(5)), np.array(1))


def up_to_the_end(g: Graph, length: str, start: str) -> str:
    """kernel = in - (out - 1)·stride, which is what replaces adaptive pooling by hand."""
    return g("Sub", length, g("Mul", np.array(4), g("Div", length, np.array(5))))


def test_windows_that_start_elsewhere_are_left() -> None:
    g = Graph()
    model = g.model((1, 2, "W"), computed_windows(g, up_to_the_end, even_starts))  # type: ignore[arg-type]
    findings = onnxpool.inspect(model).findings
    reasons = {f.detail for f in findings}
    assert any("do not start where those of adaptive pooling start" in r for r in reasons), reasons
    assert onnxpool.rewrite(model).report.rewritten == 0


def test_windows_of_one_length_that_no_exporter_wrote_are_left() -> None:
    """They start where adaptive windows start; yet who wrote them may mean what they say."""
    g = Graph()
    model = g.model((1, 2, "W"), computed_windows(g, longest, floor_starts))  # type: ignore[arg-type]
    reasons = {f.detail for f in onnxpool.inspect(model).findings}
    assert any("nothing says that they should be that" in r for r in reasons), reasons
    assert onnxpool.rewrite(model).model == model


def test_windows_that_are_never_adaptive_are_left() -> None:
    def half(g: Graph, length: str, start: str) -> str:
        return g("Add", g("Div", length, np.array(2)), np.array(2))

    def thirds(g: Graph, length: str) -> str:
        return g("Div", g("Mul", np.arange(5), length), np.array(11))

    g = Graph()
    model = g.model((1, 2, "W"), computed_windows(g, half, thirds))  # type: ignore[arg-type]
    (reason,) = {f.detail for f in onnxpool.inspect(model).findings}
    assert "at none of" in reason


def test_an_output_size_that_follows_the_input_is_reported() -> None:
    class Third(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.adaptive_avg_pool2d(x, (x.shape[2] // 3, x.shape[3] // 3))

    findings = onnxpool.inspect(dynamo(Third(), (2, 4, 13, 13), (0, 2, 3))).findings
    (finding,) = [f for f in findings if f.level == "warning"]
    assert "for an output size that follows that of the input" in finding.detail


def test_our_own_dynamic_form_is_found_again_and_left() -> None:
    _, serialized = exported(EXPORTS[0])
    once = onnxpool.rewrite(onnx.load_from_string(serialized)).model
    again = onnxpool.rewrite(once)
    (finding,) = again.report.findings
    assert (finding.op, finding.shape) == (
        "AdaptiveAveragePool",
        onnxpool.inspect(once).findings[0].shape,
    )
    assert (finding.action, finding.detail, finding.wrong) == (
        "left",
        "in the best form already",
        "",
    )
    assert again.model.SerializeToString() == once.SerializeToString()


def test_the_sizes_of_another_input_do_not_matter() -> None:
    """A second input whose size has nothing to do with the pool."""

    class Both(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return functional.adaptive_avg_pool2d(x, 6), y * 2

    dim = torch.export.Dim.DYNAMIC
    arguments = (example((1, 2, 13, 13)), example((1, 5)))
    with quiet():
        program = torch.onnx.export(
            Both().eval(), arguments, dynamo=True, dynamic_shapes=({2: dim, 3: dim}, {1: dim})
        )
    assert program is not None
    report = onnxpool.rewrite(program.model_proto).report
    assert [f.action for f in report.findings] == ["rewritten"]
