"""Norms, attention and feed-forward blocks come out as they went in.

`python -m pytest -n auto -m slow tests/identical` tries every opset of each exporter.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest

import onnxpool
from onnxpool.rewrites.graph.run import Runner
from tests.identical.blocks import BLOCKS, MAP, SPREAD
from tests.identical.export import ALL_VARIANTS, VARIANTS, Source, Variant, exported, parameters
from tests.identical.unchanged import assert_unchanged


@pytest.mark.parametrize(("block", "variant"), parameters(BLOCKS, VARIANTS, slow=ALL_VARIANTS))
def test_a_block_without_pooling_is_untouched(
    block: Source, variant: Variant, tmp_path: Path
) -> None:
    assert_unchanged(exported(block, variant), tmp_path)


@pytest.mark.parametrize(("block", "variant"), parameters([SPREAD], VARIANTS))
def test_a_norm_that_is_spread_out_stays_what_it_was(block: Source, variant: Variant) -> None:
    """Its outputs are near 1 at most, and two sums of a plane may differ by some roundings."""
    model = onnx.load_from_string(exported(block, variant))
    before, after = Runner(model), Runner(onnxpool.rewrite(model).model)
    x = np.random.default_rng(0).standard_normal(MAP).astype(np.float32)
    bound = 16 * float(np.finfo(np.float32).eps)
    for scale in (0, 1e-6, 1, 1e4):
        fed = {model.graph.input[0].name: x * np.float32(scale)}
        for new, old in zip(after(fed), before(fed), strict=True):
            np.testing.assert_allclose(new, old, rtol=bound, atol=bound)
