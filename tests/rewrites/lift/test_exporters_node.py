"""Pools that exporters beside torch's leave as ops of their own, and ONNX Runtime's own pools."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from onnx import TensorProto, helper, parser

import onnxpool
from onnxpool.ops import KEEP, AdaptivePool
from tests.rewrites.test_find import find_in

SIZE = "size = Constant<value_ints=[3,5]>()"
OWN_HEIGHT = """shape = Shape(X) two = Constant<value_ints=[2]>() five = Constant<value_ints=[5]>()
    h = Gather(shape, two) size = Concat<axis=0>(h, five)"""


def model(nodes: str, x: str = "float[2,4,13,11] X") -> onnx.ModelProto:
    imports = '"" : 17, "mmdeploy" : 1, "Paddle" : 1'
    return parser.parse_model(
        f"<ir_version: 8, opset_import: [{imports}]> g ({x}) => (Y) {{ {nodes} }}"
    )


@pytest.mark.parametrize(
    ("nodes", "kind", "size"),
    [
        (f"{SIZE} Y = mmdeploy.AdaptiveAvgPool2d(X, size)", "Average", (3, 5)),
        (f"{SIZE} Y = mmdeploy.adaptive_avg_pool2d(X, size)", "Average", (3, 5)),
        (f"{OWN_HEIGHT} Y = mmdeploy.AdaptiveAvgPool2d(X, size)", "Average", (KEEP, 5)),
        (
            'Y = Paddle.AdaptivePool<pooling_type="avg", output_size=[-1,4,3,5]>(X)',
            "Average",
            (3, 5),
        ),
        ('Y = Paddle.Mine<pooling_type="max", output_size=[2,4,3,5]>(X)', "Max", (3, 5)),
    ],
)
def test_what_a_node_says(nodes: str, kind: str, size: tuple[int, ...]) -> None:
    ([construct], _) = find_in(model(nodes))
    assert isinstance(construct.op, AdaptivePool)
    assert construct.op.op_type() == f"Adaptive{kind}Pool"
    assert construct.op.output_size == size
    before = onnxpool.inspect(model(nodes)).findings[0]
    owner = "Paddle" if "Paddle" in nodes else "mmdeploy"
    assert before.wrong == f"an op of {owner}'s own, which ONNX Runtime does not load"
    session = ort.InferenceSession(onnxpool.rewrite(model(nodes)).serialize())
    x = np.random.default_rng(3).standard_normal((2, 4, 13, 11)).astype(np.float32)
    (found,) = session.run(None, {"X": x})
    pool = F.adaptive_avg_pool2d if kind == "Average" else F.adaptive_max_pool2d
    height, width = (n if o == KEEP else o for o, n in zip(size, x.shape[2:], strict=True))
    wanted = pool(torch.from_numpy(x), (height, width))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 if kind == "Average" else 0)


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        (
            "size = Constant<value_ints=[3]>() Y = mmdeploy.AdaptiveAvgPool2d(X, size)",
            "its output_size is [3], wanted 2 sizes of at least 1",
        ),
        (
            'Y = Paddle.AdaptivePool<pooling_type="lp", output_size=[2,4,3,5]>(X)',
            "its pooling_type is 'lp', wanted avg or max",
        ),
        (
            'Y = Paddle.AdaptivePool<pooling_type="avg", output_size=[2,4,-1,5]>(X)',
            "its output_size is [2, 4, -1, 5], wanted a shape that ends in two sizes",
        ),
    ],
)
def test_a_refusal(nodes: str, reason: str) -> None:
    (finding,) = onnxpool.inspect(model(nodes)).findings
    assert finding.level == "error"
    assert finding.detail == f"{reason}; ONNX Runtime does not load the model while it is there"


@pytest.mark.parametrize(
    ("op", "attributes", "scales"),
    [
        ("NhwcMaxPool", {"kernel_shape": [7, 7]}, False),
        ("QLinearAveragePool", {"kernel_shape": [7, 7]}, True),
        ("QLinearGlobalAveragePool", {"channels_last": 1}, True),
    ],
)
def test_a_pool_of_onnx_runtime_is_named_and_left(
    op: str, attributes: dict[str, Any], scales: bool
) -> None:
    more = ["scale", "zero", "scale", "zero"] if scales else []
    node = helper.make_node(op, ["X", *more], ["Y"], domain="com.microsoft", **attributes)
    stored = [
        helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1]),
        helper.make_tensor("zero", TensorProto.UINT8, [], [3]),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.UINT8, [1, 7, 7, 7]) for n in "XY")
    y.type.tensor_type.ClearField("shape")
    proto = helper.make_model(
        helper.make_graph([node], "g", [x], [y], stored[: len(more)]),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        ir_version=8,
    )
    result = onnxpool.rewrite(proto.SerializeToString())
    (finding,) = result.report.findings
    assert (finding.action, finding.level) == ("left", "note")
    assert finding.detail == f"one {op} already, an op of ONNX Runtime's own"
    assert result.serialize() == proto.SerializeToString()
