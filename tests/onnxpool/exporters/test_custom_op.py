"""`export --to custom-op`: right at every size, by the kernels and by the function bodies."""

from pathlib import Path

import onnx
import pytest

import onnxpool
from onnxpool.exporters import EXPORTERS
from onnxpool.exporters.command import export_source
from onnxpool.model.functions import dialect_nodes
from onnxpool.rewrites.graph.run import kernels_missing
from onnxpool.rewrites.lower.function_body import is_body
from tests.onnxpool import custom_op
from tests.onnxpool.exporters.test_exporters import (
    DYNAMIC,
    MECHANISMS,
    SIZES,
    TRACED,
    Function,
    assert_close,
    run,
    sample,
)

MODELS = Path(__file__).parents[3] / "models"
WAYS = (False, *[True] * (not kernels_missing()))
"""Whether the library is registered."""


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("mechanism", ["adaptive_sizes", "adaptive_max_sizes"])
def test_it_is_right_at_other_sizes_both_ways(
    mechanism: str, exporter: str, tmp_path: Path
) -> None:
    module = Function(MECHANISMS[mechanism][0]).eval()
    path = tmp_path / "m.onnx"
    onnxpool.export(
        module,
        sample(TRACED),
        path,
        dynamic_shapes=DYNAMIC,
        to="custom-op",
        opset=18,
        exporter=exporter,
    )
    model = onnx.load(path)
    onnx.checker.check_model(model)
    called = {node.op_type for node in dialect_nodes(model)}
    assert called
    assert called == {function.name for function in model.functions if is_body(function)}
    (given,) = (value.name for value in model.graph.input)
    for library in WAYS:
        session = custom_op.session(model, library=library)
        for size in SIZES:
            x = sample(size)
            assert_close(session.run(None, {given: x.numpy()}), run(module, x))


@pytest.mark.parametrize(
    ("source", "ops"),
    [
        ("pyramid.py:ppm", {"PyramidPool", "PyramidUpsample"}),
        ("gem.py:gem", {"GeMPool"}),
        ("gem.py:gem_sized", {"GeMPool"}),
        ("attention.py:linear_attention", {"AdaptiveAveragePool"}),
        ("adaptive.py:adaptive_max_2d_indices", {"AdaptiveMaxPool"}),
    ],
)
def test_validate_finds_published_constructs_right(
    source: str, ops: set[str], tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    export_source(str(MODELS / source), path, dynamic=True, to="custom-op")
    assert {node.op_type for node in dialect_nodes(onnx.load(path))} == ops
    for library in WAYS:
        found = onnxpool.validate(path, str(MODELS / source), library=library)
        assert found.passed, found.failing
        assert found.kernels == library
