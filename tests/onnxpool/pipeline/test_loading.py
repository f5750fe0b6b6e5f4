"""What inspect tells of a model that ONNX Runtime does not load."""

import onnx
import pytest
from onnx import TensorProto, helper

import onnxpool


def pyramid(scale: float, domain: str = "") -> onnx.ModelProto:
    """Pools of 28 x 42 with TensorFlow's padding, the finest of them upsampled and joined to X."""
    windows = {1: (28, 42), 2: (14, 21), 3: (9, 14), 6: (5, 7)}
    pools = [
        helper.make_node(
            "AveragePool", ["X"], [f"Y{n}"], kernel_shape=k, strides=k, auto_pad="SAME_UPPER"
        )
        for n, k in windows.items()
    ]
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, scale, 7])
    resize = helper.make_node("Resize", ["Y6", "", "scales"], ["large"], mode="linear")
    concat = helper.make_node("Concat", ["X", "large"], ["Y"], axis=1)
    last = helper.make_node("Relu", ["Y"], ["Z"], domain=domain)
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, [1, 8, 28, 42])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in ("Y1", "Y2", "Y3", "Z")
    ]
    graph = helper.make_graph([*pools, resize, concat, last], "g", [x], outputs, [scales])
    opsets = [helper.make_opsetid("", 17), *[helper.make_opsetid(domain, 1)] * bool(domain)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize(
    ("scale", "domain", "is_told"),
    [(4.6, "", True), (4.7, "", False), (4.6, "of.another", False)],
)
def test_that_it_does_not_load_is_told_beside_a_warning(
    scale: float, domain: str, *, is_told: bool
) -> None:
    """Of ops that ONNX Runtime does not have, that is no news."""
    report = onnxpool.inspect(pyramid(scale, domain))
    assert any(finding.level == "warning" for finding in report.findings)
    told = [note for note in report.notes if "ONNX Runtime does not load the model" in note]
    assert len(told) == is_told
    assert all("Inferred=27 Declared=28" in note for note in told)
