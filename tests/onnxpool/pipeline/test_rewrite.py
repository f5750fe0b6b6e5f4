"""Whole models through `rewrite` and `inspect`: right before, right after, and only once."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxpool
from onnxpool.errors import ArgumentError
from onnxpool.ops import AdaptiveAveragePool
from onnxpool.rewrites.graph.run import Runner
from onnxpool.rewrites.lower import STRATEGIES
from tests import exports

RUNNABLE = [case for case in exports.CASES if case.runnable]
LIFTED = [case for case in RUNNABLE if case.lifted]


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    largest = float(np.max(np.abs(wanted), initial=0.0)) or 1.0
    return float(np.max(np.abs(found.astype(np.float64) - wanted), initial=0.0)) / largest


def check_outputs(case: exports.Case, model: onnx.ModelProto, before: onnx.ModelProto) -> None:
    """The outputs are as near to the float64 reference as those of the model as it came.

    Both are allowed 16 roundings: the model as it came may be exact by luck.
    """
    x = case.sample(np.random.default_rng(1))
    _, reference = exports.load(case)
    new, old = Runner(model)({"X": x}), Runner(before)({"X": x})
    wanted = reference(x.astype(np.float64)) if reference else old
    bound = 16 * float(np.finfo(case.dtype).eps)
    for y, was, exact in zip(new, old, wanted, strict=True):
        assert y.shape == was.shape
        assert relative_error(y, exact) <= max(bound, 2 * relative_error(was, exact))


@pytest.mark.parametrize("case", exports.parameters(RUNNABLE))
def test_a_rewritten_model_computes_what_the_source_does(case: exports.Case) -> None:
    before, _ = exports.load(case)
    result = onnxpool.rewrite(before)
    onnx.checker.check_model(result.model, full_check=True)
    if case.lifted and not result.report.rewritten:
        assert any(f.detail == "in the best form already" for f in result.report.findings)
    else:
        assert (result.report.rewritten > 0) == bool(case.lifted)
    check_outputs(case, result.model, before)


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s != "auto"])
@pytest.mark.parametrize("case", exports.parameters(LIFTED))
def test_every_strategy_computes_what_the_source_does(case: exports.Case, strategy: str) -> None:
    before, _ = exports.load(case)
    check_outputs(case, onnxpool.rewrite(before, strategy=strategy).model, before)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("case", exports.parameters(LIFTED))
def test_a_second_rewrite_changes_nothing(case: exports.Case, strategy: str) -> None:
    once = onnxpool.rewrite(exports.load(case)[0], strategy=strategy).model
    again = onnxpool.rewrite(once, strategy=strategy)
    assert [f for f in again.report.findings if f.action == "rewritten"] == []
    assert again.model.SerializeToString() == once.SerializeToString()


@pytest.mark.parametrize("case", exports.parameters(LIFTED))
def test_inspect_foretells_what_rewrite_does(case: exports.Case) -> None:
    model, _ = exports.load(case)
    foretold, done = onnxpool.inspect(model), onnxpool.rewrite(model).report
    told = [(f.tensors, f.action.replace("rewritable", "rewritten")) for f in foretold.findings]
    assert told == [(f.tensors, f.action) for f in done.findings]


def test_the_input_model_is_not_changed() -> None:
    model, _ = exports.load(LIFTED[0])
    before = model.SerializeToString()
    onnxpool.rewrite(model)
    assert model.SerializeToString() == before


def pooling_nodes() -> list[onnx.NodeProto]:
    """Adaptive average pooling of "X" from 7x7 to 4x4 as "pooled", by Slice, and its constants."""
    g = exports.Graph()
    *_, last = exports.separable(g, (1, 2, 7, 7), (4, 4), "ReduceMean")
    constants = [helper.make_node("Constant", [], [t.name], value=t) for t in g.constants]
    g("Identity", last)
    g.nodes[-1].output[0] = "pooled"
    return [*constants, *g.nodes]


def model_around(nodes: list[onnx.NodeProto], **parts: object) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "main",
        [
            helper.make_tensor_value_info("X", TensorProto.FLOAT, [1, 2, 7, 7]),
            helper.make_tensor_value_info("condition", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [1, 2, 4, 4])],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **parts)


def run_both(before: onnx.ModelProto, condition: bool) -> tuple[np.ndarray, np.ndarray]:
    result = onnxpool.rewrite(before)
    assert result.report.rewritten == 1
    x = np.random.default_rng(0).standard_normal((1, 2, 7, 7)).astype(np.float32)
    inputs = {"X": x, "condition": np.array(condition)}
    return Runner(result.model)(inputs)[0], AdaptiveAveragePool((4, 4)).reference(x)[0]


@pytest.mark.parametrize("condition", [True, False])
def test_pooling_in_a_branch_is_rewritten(condition: bool) -> None:
    info = helper.make_tensor_value_info("pooled", TensorProto.FLOAT, None)
    branch = helper.make_graph(pooling_nodes(), "then", [], [info])
    other = helper.make_graph(
        [
            helper.make_node("Constant", [], ["zero"], value_float=0.0),
            helper.make_node("Expand", ["zero", "shape"], ["zeros"]),
        ],
        "else",
        [],
        [helper.make_tensor_value_info("zeros", TensorProto.FLOAT, None)],
    )
    shape = helper.make_node("Constant", [], ["shape"], value_ints=[1, 2, 4, 4])
    node = helper.make_node("If", ["condition"], ["Y"], then_branch=branch, else_branch=other)
    found, wanted = run_both(model_around([shape, node]), condition)
    np.testing.assert_allclose(found, wanted if condition else np.zeros_like(wanted), atol=1e-6)


def test_pooling_in_a_function_is_rewritten() -> None:
    function = helper.make_function(
        "local", "Pool", ["X"], ["pooled"], pooling_nodes(), [helper.make_opsetid("", 17)]
    )
    node = helper.make_node("Pool", ["X"], ["Y"], domain="local")
    found, wanted = run_both(model_around([node], functions=[function]), condition=True)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_an_inner_value_that_is_used_elsewhere_stays() -> None:
    nodes = pooling_nodes()
    first_slice = next(node.output[0] for node in nodes if node.op_type == "Slice")
    model = model_around([*nodes, helper.make_node("Identity", ["pooled"], ["Y"])])
    model.graph.output.append(helper.make_tensor_value_info(first_slice, TensorProto.FLOAT, None))
    result = onnxpool.rewrite(model)
    assert result.report.rewritten == 1
    x = np.random.default_rng(0).standard_normal((1, 2, 7, 7)).astype(np.float32)
    inputs = {"X": x, "condition": np.array(True)}
    for found, wanted in zip(Runner(result.model)(inputs), Runner(model)(inputs), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_an_old_opset_is_left_with_the_reason() -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["X"], ["mean"]),
        helper.make_node("Squeeze", ["X"], ["squeezed"], axes=[0]),
        helper.make_node("Unsqueeze", ["squeezed"], ["unsqueezed"], axes=[0]),
        helper.make_node(
            "AveragePool", ["unsqueezed"], ["wide"], kernel_shape=[1, 7], strides=[1, 7]
        ),
        helper.make_node("AveragePool", ["wide"], ["Y"], kernel_shape=[7, 1], strides=[7, 1]),
    ]
    model = model_around(nodes)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("Y", TensorProto.FLOAT, None))
    model.opset_import[0].version = 6
    report = onnxpool.inspect(model)
    (reason,) = {f.detail for f in report.findings if "opset" in f.detail}
    assert "opset 6 is below 7" in reason


def test_unknown_sizes_are_declined_with_the_reason() -> None:
    model, _ = exports.load(next(c for c in LIFTED if c.name == "separable_mean"))
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "HW"[axis - 2]
    del model.graph.value_info[:]
    findings = onnxpool.inspect(model).findings
    assert any("not fixed" in finding.detail for finding in findings)


def test_the_whole_model_is_checked_when_asked(tmp_path: Path) -> None:
    model, _ = exports.load(LIFTED[0])
    assert onnxpool.rewrite(model, check="full").report.rewritten == 1
    path = tmp_path / "in.onnx"
    onnx.save(model, path)
    assert onnxpool.rewrite(path, check="full").report.rewritten == 1


@pytest.mark.parametrize("argument", ["strategy", "check"])
def test_an_unknown_choice_is_refused(argument: str) -> None:
    options: dict[str, Any] = {argument: "fast"}
    with pytest.raises(ArgumentError, match=f"unknown {argument} 'fast'"):
        onnxpool.rewrite(exports.load(LIFTED[0])[0], **options)
