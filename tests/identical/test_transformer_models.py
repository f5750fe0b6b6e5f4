"""Whole transformers come out as they went in, and compute what they did.

`python -m pytest -n auto -m slow tests/identical` tries every opset of each exporter.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest

import onnxpool
from onnxpool.rewrites.graph.run import Runner
from tests.identical.export import ALL_VARIANTS, VARIANTS, Source, Variant, exported, parameters
from tests.identical.transformer_models import LENGTH, LLAMA, MODELS, PADDING, WORDS
from tests.identical.unchanged import assert_unchanged


@pytest.mark.parametrize(("model", "variant"), parameters(MODELS, VARIANTS, slow=ALL_VARIANTS))
def test_a_transformer_is_untouched(model: Source, variant: Variant, tmp_path: Path) -> None:
    assert_unchanged(exported(model, variant), tmp_path)


@pytest.mark.parametrize(("llama", "variant"), parameters([LLAMA], VARIANTS))
def test_a_padded_batch_through_llama_stays_what_it_was(llama: Source, variant: Variant) -> None:
    """The embedding of padding is zeros: only the epsilon keeps their mean of squares from 0."""
    model = onnx.load_from_string(exported(llama, variant))
    words = np.random.default_rng(0).integers(1, WORDS, (2, LENGTH))
    words[:, LENGTH // 2 :] = PADDING
    inputs = [words, np.ones_like(words)]
    fed = {value.name: x for value, x in zip(model.graph.input, inputs, strict=True)}
    (before,) = Runner(model)(fed)
    (after,) = Runner(onnxpool.rewrite(model).model)(fed)
    assert np.isfinite(before).all()
    np.testing.assert_array_equal(after, before)
