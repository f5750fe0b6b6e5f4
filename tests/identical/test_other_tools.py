"""What other tools made of a model without pooling comes out as they left it."""

from pathlib import Path

import onnx
import pytest

import onnxpool
from onnxpool.errors import ModelError
from tests.identical.blocks import BLOCKS
from tests.identical.export import VARIANTS, Source, Variant, exported
from tests.identical.other_tools import TOOLS, Tool
from tests.identical.transformer_models import MODELS
from tests.identical.unchanged import assert_unchanged


def variant_for(source: Source, tool: Tool) -> Variant | None:
    """One that other tests export anyway, with open sizes."""
    fitting = (v for v in VARIANTS if v.exporter == tool.exporter and v.open_sizes)
    return next((v for v in fitting if source.can_be(v)), None)


TRIED = [
    pytest.param(
        source,
        variant,
        tool,
        id=f"{source.name}-{tool.name}",
        marks=pytest.mark.xdist_group(source.name),
    )
    for source in (*BLOCKS, *MODELS)
    for tool in TOOLS
    if (variant := variant_for(source, tool))
]


@pytest.mark.parametrize(("source", "variant", "tool"), TRIED)
def test_what_a_tool_made_of_it_is_untouched(
    source: Source, variant: Variant, tool: Tool, tmp_path: Path
) -> None:
    model = tool.run(exported(source, variant))
    if is_valid(model):
        assert_unchanged(model, tmp_path, [{}])
    else:
        with pytest.raises(ModelError, match="is not a valid model: No Op registered"):
            onnxpool.rewrite(onnx.load_from_string(model))


def is_valid(model: bytes) -> bool:
    """ONNX Runtime fuses LayerNormalization in opsets that do not have it, for itself alone."""
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError:
        return False
    return True
