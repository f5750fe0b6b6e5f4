"""The graphs that targets are measured on: each runs, and together they hold every op tried."""

import numpy as np
import onnx
import pytest

from onnxpool.rewrites.graph.run import Runner
from onnxpool.targets.tried import TRIED
from tests.runtimes.forms import forms


@pytest.mark.parametrize("name", forms())
def test_a_form_runs(name: str) -> None:
    model = forms()[name]
    onnx.checker.check_model(model, full_check=True)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    (y,) = Runner(model)({"x": np.full(shape, 0.6, np.float32)})
    assert y.dtype == np.float32


def test_every_op_that_counts_as_tried_has_a_form() -> None:
    assert {node.op_type for model in forms().values() for node in model.graph.node} == TRIED
