"""Pooling of quantized values: found, named and left."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxpool
from onnxpool.ops.windows import windows
from tests.rewrites.test_find import find_in

TYPES = [TensorProto.UINT8, TensorProto.INT8]


def maxima(elem_type: int, bins: int = 4) -> onnx.ModelProto:
    nodes, stored = [], {"axis": [2]}
    for i, window in enumerate(windows(7, bins)):
        stored |= {f"s{i}": [window.start], f"e{i}": [window.end]}
        nodes += [
            helper.make_node("Slice", ["X", f"s{i}", f"e{i}", "axis"], [f"t{i}"]),
            helper.make_node("ReduceMax", [f"t{i}"], [f"r{i}"], axes=[2], keepdims=1),
        ]
    nodes.append(helper.make_node("Concat", [f"r{i}" for i in range(bins)], ["Y"], axis=2))
    return model(nodes, elem_type, [1, 4, 7], [1, 4, bins], stored)


def model(
    nodes: list[onnx.NodeProto],
    elem_type: int,
    x: list[int],
    y: list[int],
    stored: dict[str, list[int]],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("X", elem_type, x)],
        [helper.make_tensor_value_info("Y", elem_type, y)],
        [onnx.numpy_helper.from_array(np.array(v, np.int64), n) for n, v in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("elem_type", TYPES)
def test_maxima_of_windows_are_named_and_left(elem_type: int) -> None:
    before = maxima(elem_type).SerializeToString()
    for options in ({}, {"strategy": "pool"}, {"to": "custom-op"}):
        result = onnxpool.rewrite(before, **options)  # type: ignore[arg-type]
        (finding,) = result.report.findings
        kind = "uint8" if elem_type == TensorProto.UINT8 else "int8"
        assert (finding.op, finding.action) == ("AdaptiveMaxPool", "left")
        assert finding.detail == f"pooling of {kind} stays in the form that it has"
        assert result.serialize() == before


@pytest.mark.parametrize("elem_type", TYPES)
def test_one_node_is_named_and_left(elem_type: int) -> None:
    node = helper.make_node("MaxPool", ["X"], ["Y"], kernel_shape=[4, 4], strides=[3, 3])
    ([construct], _) = find_in(model([node], elem_type, [1, 4, 7, 7], [1, 4, 2, 2], {}))
    assert construct.best == "one MaxPool already"
