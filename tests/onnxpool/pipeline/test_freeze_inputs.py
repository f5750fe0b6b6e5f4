"""Initializers that are inputs too: named in the report, and constant where the user says so."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import onnxpool
from onnxpool.errors import ArgumentError
from onnxpool.rewrites.graph.run import Runner
from tests.onnxpool.conftest import Run

NOTE = (
    "p: initializers that are inputs too, so that a caller may give others; --freeze-inputs NAME "
    "or all makes them constant"
)


def gem(ir_version: int = 8) -> onnx.ModelProto:
    """GeM with an exponent that the caller may give: it is an input, and an initializer."""
    nodes = [
        helper.make_node("Max", ["X", "low"], ["a"]),
        helper.make_node("Pow", ["a", "p"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["m"]),
        helper.make_node("Reciprocal", ["p"], ["q"]),
        helper.make_node("Pow", ["m", "q"], ["Y"]),
    ]
    values = {"low": np.float32(1e-6), "p": np.float32(2.5)}
    stored = [numpy_helper.from_array(np.asarray(v), name) for name, v in values.items()]
    given = ["p"] if ir_version > 3 else ["p", "low"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in given]
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, [1, 8, 13, 13])
    y = helper.make_tensor_value_info("Y", TensorProto.FLOAT, [1, 8, 1, 1])
    graph = helper.make_graph(nodes, "g", [x, *inputs], [y], stored)
    imports = [helper.make_opsetid("", 17 if ir_version > 3 else 11)]
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version)


def test_what_a_caller_may_override_is_named_and_nothing_is_proven_with_it() -> None:
    result = onnxpool.rewrite(gem().SerializeToString())
    assert result.report.notes == (NOTE,)
    assert [f.op for f in result.report.findings] == ["AdaptiveAveragePool"]
    assert result.serialize() == gem().SerializeToString()


@pytest.mark.parametrize("names", ["p", "all", ["p"]])
def test_what_is_frozen_is_constant(names: str | list[str]) -> None:
    assert [f.op for f in onnxpool.inspect(gem(), freeze_inputs=names).findings] == ["GeMPool"]
    result = onnxpool.rewrite(gem(), freeze_inputs=names)
    assert [f.op for f in result.report.findings] == ["GeMPool"]
    assert result.report.notes == ()
    assert [value.name for value in result.model.graph.input] == ["X"]
    x = np.random.default_rng(1).standard_normal((1, 8, 13, 13)).astype(np.float32)
    clamped = torch.from_numpy(x).double().clamp(min=1e-6)
    wanted = clamped.pow(2.5).mean((2, 3), keepdim=True).pow(1 / 2.5)
    np.testing.assert_allclose(Runner(result.model)({"X": x})[0], wanted, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["X", "low", "nothing"])
def test_what_cannot_be_frozen_is_refused(name: str) -> None:
    reason = f"{name!r} is no initializer that is also an input, so it cannot be frozen; .*: p$"
    with pytest.raises(ArgumentError, match=reason):
        onnxpool.rewrite(gem(), freeze_inputs=[name])


@pytest.mark.parametrize("names", [(), ("p",), "all"])
def test_before_ir_4_they_are_constant_already(names: tuple[str, ...] | str) -> None:
    result = onnxpool.rewrite(gem(ir_version=3), freeze_inputs=names)
    assert [f.op for f in result.report.findings] == ["GeMPool"]
    assert result.report.notes == ()
    assert result.model == onnxpool.rewrite(gem(ir_version=3)).model


def test_the_option(run: Run, tmp_path: Path) -> None:
    source, out = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(gem(), source)
    assert NOTE in run("inspect", source)[1]
    status, printed, _ = run("rewrite", source, out, "--freeze-inputs", "p")
    assert (status, "GeMPool" in printed) == (0, True)
    status, _, complaint = run("rewrite", source, out, "--freeze-inputs", "q")
    assert (status, complaint.count("\n")) == (2, 1)
