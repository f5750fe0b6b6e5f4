"""Fixed sizes that fit one branch alone: what ONNX Runtime does not load is not written."""

import numpy as np
import onnx.parser
import pytest

import onnxpool
from onnxpool.errors import CheckError
from onnxpool.rewrites.graph.run import Runner

SQUEEZES = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[B,L] X) => (float[] Y)
    <int64[1] last = {-1}, int64 one = {1}>
    { shape = Shape(X) length = Gather(shape, last) single = Squeeze(length) c = Equal(single, one)
      Y = If(c) <then_branch = t () => (float[] s) { s = Squeeze(X, last) },
                 else_branch = e () => (float[] i) { i = Identity(X) }> }"""


def test_a_branch_that_no_longer_loads_is_refused() -> None:
    model = onnx.parser.parse_model(SQUEEZES)
    Runner(model)
    with pytest.raises(
        CheckError, match=r"loads the model as it came, and not the result.*Squeeze"
    ):
        onnxpool.rewrite(model, input_shapes={"X": (1, 2)})


def test_sizes_that_fit_both_branches_are_fixed() -> None:
    model = onnx.parser.parse_model(SQUEEZES)
    fixed = onnxpool.rewrite(model, input_shapes={"X": (3, 1)}).model
    x = np.ones((3, 1), np.float32)
    assert Runner(fixed)({"X": x})[0].shape == Runner(model)({"X": x})[0].shape == (3,)
