"""The float64 verdict: every construct of models/, in every form, against its PyTorch source."""

import functools
import importlib
from pathlib import Path

import onnx
import pytest
import torch

import onnxpool
from onnxpool.rewrites.lower import STRATEGIES
from onnxpool.validation.source import Source, load_source
from tests.exports import quiet

MODELS = Path(__file__).parents[2] / "models"
BUILDERS = [
    f"{file}:{name}"
    for file in sorted(path.stem for path in MODELS.glob("*.py") if "EXAMPLES" in path.read_text())
    for name in getattr(importlib.import_module(f"models.{file}"), "EXAMPLES", ())
]
REFUSED_BY_TORCH = frozenset(
    (
        "adaptive:adaptive_avg_3d",
        "adaptive:adaptive_max_1d",
        "adaptive:adaptive_max_2d",
        "adaptive:adaptive_max_2d_indices",
        "adaptive:adaptive_max_2d_keep",
        "adaptive:adaptive_max_2d_tuple",
        "adaptive:adaptive_max_3d",
        "avgmax:avgmax_sized",
        "mixed:mixed_adaptive",
        "spatial_pyramid:spp",
    )
)
"""What torch.onnx.export(dynamo=True) cannot export; `onnxpool.export` does."""

SPELLINGS = [
    pytest.param(s, marks=[] if s == "auto" else pytest.mark.slow, id=s) for s in STRATEGIES
]
"""All are compared with PyTorch over the corpus too (tests/onnxpool/pipeline/test_rewrite.py)."""


@functools.cache
def source_of(builder: str) -> Source:
    file, name = builder.split(":")
    return load_source(f"{MODELS / file}.py:{name}")


def arguments(source: Source) -> tuple[torch.Tensor, ...]:
    assert source.example_shapes is not None
    return tuple(torch.randn(shape) for shape in source.example_shapes)


@functools.cache
def plain_export(builder: str) -> onnx.ModelProto:
    source = source_of(builder)
    with quiet():
        program = torch.onnx.export(source.module, arguments(source), dynamo=True, verbose=False)
    assert program is not None
    return program.model_proto


def each(builders: list[str]) -> list[object]:
    return [pytest.param(b, id=b, marks=pytest.mark.xdist_group(b)) for b in builders]


def check(model: onnx.ModelProto, builder: str) -> None:
    validation = onnxpool.validate(model, source_of(builder))
    assert validation.passed, [(s.size, s.detail) for s in validation.failing]
    assert any(size.outcome == "right" for size in validation.sizes)


@pytest.mark.parametrize("strategy", SPELLINGS)
@pytest.mark.parametrize("builder", each([b for b in BUILDERS if b not in REFUSED_BY_TORCH]))
def test_a_plain_export_rewritten(builder: str, strategy: str) -> None:
    check(onnxpool.rewrite(plain_export(builder), strategy=strategy).model, builder)


@pytest.mark.parametrize("builder", sorted(REFUSED_BY_TORCH))
def test_what_torch_refuses_is_still_refused(builder: str) -> None:
    with pytest.raises(torch.onnx.errors.OnnxExporterError):
        plain_export(builder)


@pytest.mark.parametrize("strategy", SPELLINGS)
@pytest.mark.parametrize("builder", each(sorted(REFUSED_BY_TORCH)))
def test_an_export_of_what_torch_refuses(builder: str, strategy: str, tmp_path: Path) -> None:
    source = source_of(builder)
    result = onnxpool.export(
        source.module, arguments(source), tmp_path / "m.onnx", strategy=strategy
    )
    check(result.model, builder)


@pytest.mark.parametrize("builder", each(BUILDERS))
def test_a_dynamic_export_is_right_at_every_size(builder: str, tmp_path: Path) -> None:
    source = source_of(builder)
    result = onnxpool.export(
        source.module, arguments(source), tmp_path / "m.onnx", dynamic_shapes="auto"
    )
    check(result.model, builder)
