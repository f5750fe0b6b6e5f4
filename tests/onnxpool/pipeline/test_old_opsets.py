"""Models of opset 7 to 10: their pooling is read, and written in their opset or in a newer one."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxpool
from onnxpool.errors import ArgumentError
from onnxpool.ops.op import Array
from onnxpool.ops.windows import windows
from onnxpool.rewrites.graph.schemas import schema_of

IR = {7: 3, 8: 3, 9: 4, 10: 5}
GREATEST = float(np.finfo(np.float32).max)
Nodes = list[onnx.NodeProto]


def model(opset: int, nodes: Nodes, **stored: Array) -> onnx.ModelProto:
    """Before IR 4, initializers are inputs as well."""
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [2, 4, 12, 13])]
    for name, value in stored.items() if IR[opset] < 4 else ():
        inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape))
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, list("ABCD"))],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=IR[opset])


def rows(opset: int) -> onnx.ModelProto:
    nodes, stored = [], {}
    for i, window in enumerate(windows(13, 6)):
        bounds: dict[str, Any] = {"axes": [3], "starts": [window.start], "ends": [window.end]}
        if opset < 10:
            part = helper.make_node("Slice", ["X"], [f"t{i}"], **bounds)
        else:
            names = [f"{name}{i}" for name in ("starts", "ends", "axes")]
            part = helper.make_node("Slice", ["X", *names], [f"t{i}"])
            stored.update({n: np.array(bounds[n[:-1]], np.int64) for n in names})
        mean = helper.make_node("ReduceMean", [f"t{i}"], [f"r{i}"], axes=[3], keepdims=1)
        nodes += [part, mean]
    nodes.append(helper.make_node("Concat", [f"r{i}" for i in range(6)], ["Y"], axis=3))
    return model(opset, nodes, **stored)


def gem(opset: int, **bounds: Any) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Clip", ["X"], ["a"], **bounds),
        helper.make_node("Pow", ["a", "p"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["m"]),
        helper.make_node("Pow", ["m", "q"], ["Y"]),
    ]
    return model(opset, nodes, p=np.array([2.5], np.float32), q=np.array([0.4], np.float32))


def by_matrices(opset: int) -> onnx.ModelProto:
    a, b = np.zeros((5, 12), np.float32), np.zeros((13, 6), np.float32)
    for row, window in enumerate(windows(12, 5)):
        a[row, window.start : window.end] = 1 / window.length
    for column, window in enumerate(windows(13, 6)):
        b[window.start : window.end, column] = 1 / window.length
    nodes = [
        helper.make_node("MatMul", ["a", "X"], ["u"]),
        helper.make_node("MatMul", ["u", "b"], ["Y"]),
    ]
    return model(opset, nodes, a=a, b=b)


def padded(opset: int) -> onnx.ModelProto:
    """A row of zeros is cut off again; Softmax means something else from opset 13 on."""
    nodes = [
        helper.make_node("Pad", ["X"], ["p"], pads=[0, 0, 0, -1, 0, 0, 0, 0]),
        helper.make_node("AveragePool", ["p"], ["m"], kernel_shape=[4, 1], strides=[4, 1]),
        helper.make_node("AveragePool", ["m"], ["n"], kernel_shape=[1, 4], strides=[1, 4]),
        helper.make_node("Softmax", ["n"], ["Y"], axis=1),
    ]
    return model(opset, nodes)


FORMS: dict[str, tuple[Any, dict[str, float], str]] = {
    "rows": (rows, {}, "AdaptiveAveragePool"),
    "gem": (gem, {"min": 1e-6}, "GeMPool"),
    "gem with the default bound": (gem, {"min": 1e-6, "max": GREATEST}, "GeMPool"),
    "matrices": (by_matrices, {}, "AdaptiveAveragePool"),
    "padded": (padded, {}, "AdaptiveAveragePool"),
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"strategy": "matmul"},
    {"opset": 13},
    {"opset": 18},
    {"opset": 17, "to": "custom-op"},
]


@pytest.mark.parametrize("opset", IR)
@pytest.mark.parametrize("form", FORMS)
def test_pooling_of_an_old_opset(form: str, opset: int) -> None:
    build, bounds, op = FORMS[form]
    before = build(opset, **bounds)
    x = np.random.default_rng(0).standard_normal((2, 4, 12, 13)).astype(np.float32)
    (wanted,) = ort.InferenceSession(before.SerializeToString()).run(None, {"X": x})
    for options in OPTIONS:
        result = onnxpool.rewrite(before, **options)
        assert [f.op for f in result.report.findings if f.action == "rewritten"] == [op], options
        assert result.report.opset == options.get("opset", opset)
        assert all(
            schema_of(n.op_type, result.report.opset)
            for n in result.model.graph.node
            if not n.domain
        )
        onnx.checker.check_model(result.model)
        (found,) = ort.InferenceSession(result.serialize()).run(None, {"X": x})
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_clamp_of_an_old_opset_that_is_not_its_default_is_no_part_of_a_generalised_mean() -> None:
    result = onnxpool.rewrite(gem(9, min=1e-6, max=1000.0))
    x = np.full((2, 4, 12, 13), 5000.0, np.float32)
    (found,) = ort.InferenceSession(result.serialize()).run(None, {"X": x})
    np.testing.assert_allclose(found, 1000.0, rtol=1e-5)


def test_a_form_that_an_old_opset_has_not_is_the_reason_why_it_is_left() -> None:
    """Doubles are clamped by Max, which broadcasts from opset 8 on."""
    before = gem(7, min=1e-6)
    for value in (*before.graph.input, *before.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in before.graph.initializer:
        value = numpy_helper.to_array(tensor).astype(np.float64).round(6)
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    finding = onnxpool.inspect(before).findings[0]
    assert finding.detail == "opset 7 does not broadcast Max; convert the model first"


@pytest.mark.parametrize("opset", [7, 9])
def test_no_older_opset_is_written(opset: int) -> None:
    with pytest.raises(ArgumentError, match="converts from 7 on, to 11 and more"):
        onnxpool.rewrite(gem(10, min=1e-6), opset=opset)
