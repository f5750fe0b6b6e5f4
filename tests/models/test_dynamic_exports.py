"""Plain dynamic exports of every construct, by both exporters: rewritten, right at every size."""

import dataclasses
import functools
from collections.abc import Callable

import onnx
import pytest
import torch
from torch import nn

import onnxpool
from tests.dynamic_exports import Shape, dynamo, fallthrough, right_at, torchscript
from tests.exports import quiet
from tests.models.test_validated import BUILDERS, source_of

pytestmark = pytest.mark.slow

LENGTHS = (3, 5, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 20, 24, 25, 31)
EXPORTERS = {"dynamo": dynamo, "torchscript": torchscript, "fallthrough": fallthrough}

LEFT = {("spatial_pyramid:spp_sliding", "fallthrough"): "max_pool2d"}
"""PyTorch's own ops that stay: sliding windows whose size the source computes are not adaptive."""


@dataclasses.dataclass(frozen=True)
class Exported:
    module: nn.Module
    traced: Shape
    model: bytes


@functools.cache
def exported(builder: str, exporter: str) -> Exported | None:
    """The export with everything but the channels dynamic; None where torch refuses."""
    source = source_of(builder)
    (traced,) = source.example_shapes or ()
    axes = [axis for axis in range(len(traced)) if axis != 1]
    try:
        model = EXPORTERS[exporter](source.module, traced, axes)
    except Exception:
        return None
    return Exported(source.module, traced, model.SerializeToString())


def accepted(export: Exported) -> list[Shape]:
    """Square and oblong shapes that the module takes."""
    shapes = []
    for number, length in enumerate(LENGTHS):
        other = LENGTHS[(number + 3) % len(LENGTHS)]
        for plane in ((length, length, length), (length, other, length)):
            rank = len(export.traced) - 2
            shapes.append((2, export.traced[1], *plane[:rank]))
    return [shape for shape in dict.fromkeys(shapes) if takes(export.module, shape)]


def takes(module: nn.Module, shape: Shape) -> bool:
    try:
        with torch.no_grad(), quiet():
            module(torch.randn(shape))
    except (RuntimeError, ValueError):
        return False
    return True


def each() -> list[object]:
    return [pytest.param(b, id=b, marks=pytest.mark.xdist_group(b)) for b in BUILDERS]


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("builder", each())
def test_right_at_every_size_that_the_module_takes(builder: str, exporter: str) -> None:
    export = exported(builder, exporter)
    if export is None:
        pytest.skip(f"{exporter} does not export it with dynamic sizes")
    shapes = accepted(export)
    assert len(shapes) >= 12
    model = onnx.load_from_string(export.model)
    name = model.graph.input[0].name
    result = onnxpool.rewrite(model, traced_sizes={name: export.traced})
    if op := LEFT.get((builder, exporter)):
        assert op in {node.op_type for node in result.model.graph.node}
        assert {f.level for f in result.report.findings if f.form == op} == {"error"}
        return
    assert right_at(result.model, first_output(export.module), shapes) == shapes


def first_output(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    def run(x: torch.Tensor) -> torch.Tensor:
        y = module(x)
        return y[0] if isinstance(y, tuple) else y

    return run
