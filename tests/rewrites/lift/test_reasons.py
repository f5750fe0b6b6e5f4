"""Every reason for which a region is left alone."""

import functools
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import onnxpool
from onnxpool.rewrites.lift import rule
from onnxpool.rewrites.region import computation, terms
from onnxpool.rewrites.region.terms import Value
from tests.exports import Graph, cut, reduced, separable

SHAPE = (1, 2, 7, 7)


def reasons(model: onnx.ModelProto) -> set[str]:
    return {finding.detail for finding in onnxpool.inspect(model).findings}


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("AveragePool", {"strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
        ("AveragePool", {"strides": [1, 1]}),
        ("AveragePool", {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("MaxPool", {"strides": [3, 3]}),
        ("MaxPool", {"strides": [2, 2], "dilations": [2, 2]}),
    ],
)
def test_an_ordinary_sliding_window(op_type: str, attributes: dict[str, object]) -> None:
    g = Graph()
    model = g.model(SHAPE, g(op_type, "X", kernel_shape=[3, 3], **attributes))
    assert reasons(model) == {f"an ordinary sliding window, one {op_type} already"}


@pytest.mark.parametrize("op_type", ["GlobalAveragePool", "GlobalMaxPool"])
def test_one_standard_node(op_type: str) -> None:
    g = Graph()
    assert reasons(g.model(SHAPE, g(op_type, "X"))) == {f"one {op_type} already"}


def test_a_reduction_of_one_axis_is_not_mentioned() -> None:
    g = Graph()
    assert reasons(g.model(SHAPE, g("ReduceMean", "X", axes=[3], keepdims=1))) == set()


def test_the_best_form() -> None:
    g = Graph()
    *_, last = separable(g, SHAPE, (4, 4), "ReduceMean")
    model = g.model(SHAPE, last)
    (finding,) = onnxpool.inspect(model, strategy="slice").findings
    assert (finding.action, finding.detail) == ("left", "in the best form already")


def test_what_only_leaves_out_nodes_that_cost_nothing() -> None:
    g = Graph()
    whole = g.model(SHAPE, g("GlobalMaxPool", cut(g, "X", 2, 0, 7)))
    assert reasons(whole) == {"one GlobalMaxPool already"}


@pytest.mark.parametrize(
    ("op_type", "title"),
    [("ReduceMean", "adaptive average pooling"), ("ReduceMax", "adaptive max pooling")],
)
def test_windows_that_are_not_adaptive(op_type: str, title: str) -> None:
    g = Graph()
    parts = [reduced(g, cut(g, "X", 3, i, i + 2), 3, 2, op_type) for i in (0, 1, 5)]
    found = reasons(g.model(SHAPE, g("Concat", *parts, axis=3)))
    assert found == {f"it is not {title}: window 0 lacks 1 elements"}


def test_a_power_mean_with_another_root() -> None:
    g = Graph()
    power = g("Pow", g("Clip", "X", np.array(1e-6, np.float32)), np.array(3, np.float32))
    mean = g("ReduceMean", power, axes=[2, 3], keepdims=1)
    model = g.model(SHAPE, g("Pow", mean, np.array(0.3, np.float32)))
    assert "it is not a generalised mean: its root is 3.33333, of powers 1" in reasons(model)


def test_windows_too_large_to_prove(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "MOST_TERMS", 10)
    g = Graph()
    *_, last = separable(g, SHAPE, (4, 4), "ReduceMax")
    (reason,) = reasons(g.model(SHAPE, last))
    assert reason == "it is not adaptive max pooling: too large to try: 12 terms, at most 10"


def test_sizes_that_are_not_fixed() -> None:
    g = Graph()
    *_, last = separable(g, SHAPE, (4, 4), "ReduceMean")
    model = g.model(SHAPE, last)
    for axis, name in ((2, "H"), (3, "W")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    del model.graph.value_info[:]
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, None)
    )
    assert any(r.startswith("its sizes are not fixed: [1, 2, ") for r in reasons(model))


def test_a_constant_that_onnxruntime_does_not_run() -> None:
    g = Graph()
    weights = g("Gather", np.full((7, 1), 1 / 7, np.float32), np.array([0, 1, 2, 3, 4, 5, 9]))
    (reason,) = reasons(g.model(SHAPE, g("MatMul", "X", weights)))
    assert reason.startswith("it is not adaptive average pooling: onnxruntime does not run it: ")
    assert "out of data bounds, idx=9" in reason


def test_an_op_that_the_dialect_does_not_have() -> None:
    node = helper.make_node("SoftPool", ["X"], ["Y"], "pool", domain="onnxpool")
    info = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, SHAPE) for name in "XY"]
    graph = helper.make_graph([node], "main", info[:1], info[1:])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("onnxpool", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    (reason,) = reasons(model)
    assert reason.startswith("the dialect has no op 'SoftPool'; it has AdaptiveAveragePool")


def test_fixed_windows_over_sizes_that_are_not_fixed() -> None:
    g = Graph()
    model = g.model(SHAPE, g("AveragePool", "X", kernel_shape=[3, 3], strides=[3, 3]))
    for axis, name in ((2, "H"), (3, "W")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    model.graph.output[0].type.tensor_type.ClearField("shape")
    (reason,) = reasons(model)
    assert reason.startswith("windows of a fixed size over sizes that are not fixed")


def test_windows_gathered_at_computed_positions() -> None:
    g = Graph()
    positions = g("Reshape", g("Shape", "X"), np.array([2, 2]))
    model = g.model(SHAPE, g("GatherND", "X", positions))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "H"
    (reason,) = reasons(model)
    assert reason.startswith("elements gathered at positions that the graph computes")


def test_the_parts_of_an_unrolled_sum_are_not_tried_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = []

    def counted(*args: Any) -> Value:
        runs.append(args)
        return computation.compute(*args)

    monkeypatch.setattr(rule, "compute", counted)
    g = Graph()
    rows = [g("Gather", "X", np.array([i]), axis=2) for i in range(12)]
    cells = [g("Gather", row, np.array([j]), axis=3) for row in rows for j in range(12)]
    total = functools.reduce(lambda a, b: g("Add", a, b), cells)
    (reason,) = reasons(g.model((1, 2, 12, 12), total))
    assert reason.startswith("it is not adaptive average pooling")
    assert len(runs) <= 2 * 51
