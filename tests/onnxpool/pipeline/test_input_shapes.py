"""Fixed input sizes: what they fix, what they fold, and what is refused."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

import onnxpool
from onnxpool.errors import ArgumentError
from onnxpool.ops import AdaptiveAveragePool
from onnxpool.pipeline.input_shapes import parse_all
from onnxpool.rewrites.graph.run import Runner


def resizing_model() -> onnx.ModelProto:
    """X ("N", 2, "H", "W") and Z ("N", 3), Y: X resized to its own height and twice its width."""
    nodes = [
        helper.make_node("Shape", ["X"], ["shape"], "shape"),
        helper.make_node("Mul", ["shape", "factors"], ["sizes"], "mul"),
        helper.make_node("Resize", ["X", "", "", "sizes"], ["Y"], "resize", mode="linear"),
        helper.make_node("Identity", ["Z"], ["A"], "copy"),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 2, "H", "W"]),
            helper.make_tensor_value_info("Z", TensorProto.FLOAT, ["N", 3]),
        ],
        [
            helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["N", 2, "H", "V"]),
            helper.make_tensor_value_info("A", TensorProto.FLOAT, ["N", 3]),
        ],
        [onnx.numpy_helper.from_array(np.array([1, 1, 1, 2], np.int64), "factors")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def dims(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def test_sizes_are_fixed_everywhere_and_folded() -> None:
    before = resizing_model()
    after = onnxpool.rewrite(before, input_shapes={"X": (4, 2, 5, 6)}).model
    assert [dims(v) for v in after.graph.input] == [[4, 2, 5, 6], [4, 3]]
    assert [dims(v) for v in after.graph.output] == [[4, 2, 5, 12], [4, 3]]
    assert [node.op_type for node in after.graph.node] == ["Constant", "Resize", "Identity"]
    x, z = np.random.default_rng(0).random((4, 2, 5, 6), np.float32), np.ones((4, 3), np.float32)
    inputs = {"X": x, "Z": z}
    for found, wanted in zip(Runner(after)(inputs), Runner(before)(inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_sizes_that_are_fixed_already_change_nothing(tmp_path: Path) -> None:
    before, after = tmp_path / "in.onnx", tmp_path / "out.onnx"
    relu = helper.make_node("Relu", ["X"], ["Y"])
    value = helper.make_tensor_value_info("X", TensorProto.FLOAT, [2, 3])
    graph = helper.make_graph([relu], "graph", [value], [onnx.ValueInfoProto(name="Y")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), before)
    onnxpool.rewrite(before, input_shapes={"X": (2, 3)}).save(after)
    assert after.read_bytes() == before.read_bytes()


def test_a_target_of_fixed_sizes_gets_them_folded() -> None:
    model = onnxpool.rewrite(resizing_model(), input_shapes={"X": (4, 2, 5, 6)}).model
    static = resizing_model()
    for given, fixed in zip(static.graph.input, model.graph.input, strict=True):
        given.CopyFrom(fixed)
    after = onnxpool.rewrite(static, target="opencv4").model
    assert "Shape" not in [node.op_type for node in after.graph.node]
    assert "Shape" in [node.op_type for node in onnxpool.rewrite(static).model.graph.node]


def traced_at(*lengths: int) -> onnx.ModelProto:
    """adaptive_avg_pool2d(X, 3) with open height and width, as torch exports it."""
    open_axes = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            torch.nn.AdaptiveAvgPool2d(3).eval(),
            (torch.zeros(1, 2, *lengths),),
            dynamo=True,
            verbose=False,
            dynamic_shapes=(open_axes,),
        )
    assert program is not None
    return program.model_proto


def test_what_is_frozen_at_another_size_is_repaired_before_sizes_are_fixed() -> None:
    model = traced_at(13, 10)
    name = model.graph.input[0].name
    result = onnxpool.rewrite(model, input_shapes={name: (1, 2, 7, 8)}, target="ncnn")
    x = np.random.default_rng(0).random((1, 2, 7, 8), np.float32)
    (wanted,) = AdaptiveAveragePool((3, 3)).reference(x)
    np.testing.assert_allclose(Runner(result.model)({name: x})[0], wanted, rtol=1e-6)
    (finding,) = result.report.findings
    assert finding.repair
    assert (finding.action, finding.detail) == ("rewritten", "pool")
    assert finding.error_after is not None


def test_what_may_be_wrong_is_said_though_the_fixed_size_hides_it() -> None:
    model = traced_at(12, 9)  # an AveragePool of 4x3, whatever the size
    result = onnxpool.rewrite(model, input_shapes={model.graph.input[0].name: (1, 2, 7, 8)})
    (finding,) = result.report.findings
    assert (finding.action, finding.level) == ("left", "error")
    assert "frozen at the traced size" in finding.detail


def test_shapes_inside_a_body_are_folded_too() -> None:
    model = resizing_model()
    body = helper.make_graph(
        [
            helper.make_node("Shape", ["X"], ["s"]),
            helper.make_node("Cast", ["s"], ["t"], to=TensorProto.FLOAT),
        ],
        "body",
        [],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, [4])],
    )
    node = helper.make_node("If", ["yes"], ["B"], "if", then_branch=body, else_branch=body)
    model.graph.node.append(node)
    model.graph.input.append(helper.make_tensor_value_info("yes", TensorProto.BOOL, []))
    model.graph.output.append(helper.make_tensor_value_info("B", TensorProto.FLOAT, [4]))
    after = onnxpool.rewrite(model, input_shapes={"X": (1, 2, 3, 4)}).model
    branch = after.graph.node[-1].attribute[0].g
    assert [node.op_type for node in branch.node] == ["Constant"]


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({"Q": (1,)}, "no input 'Q'; it has X, Z"),
        ({"X": (1, 2, 3)}, "has 4 axes, Nx2xHxW; found 1x2x3"),
        ({"X": (1, 3, 5, 5)}, "axis 1 of input 'X' is fixed at 2, found 3"),
        ({"X": (1, 2, 0, 5)}, "would be 0, wanted at least 1"),
        ({"X": (1, 2, 5, 5), "Z": (2, 3)}, "size N would be 1 and 2"),
    ],
)
def test_what_does_not_fit_is_refused(shapes: dict[str, tuple[int, ...]], reason: str) -> None:
    with pytest.raises(ArgumentError, match=reason):
        onnxpool.rewrite(resizing_model(), input_shapes=shapes)


def test_the_option_is_parsed() -> None:
    assert parse_all(["a=1x2", "b:0=3"]) == {"a": (1, 2), "b:0": (3,)}
    for texts in (["1x2"], ["=1x2"], ["a=1x"], ["a=1", "a=2"]):
        with pytest.raises(ArgumentError):
            parse_all(texts)


def with_negative_sizes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Some writers say -1 where a size is open."""
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.dim_value = -1
    return model


def halves() -> onnx.ModelProto:
    """The means of the upper half of X and of the lower, which share a row where it is odd."""
    return onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[N,4,H,W] X) => (float[N,4,2,1] Y) {
            shape = Shape(X) i = Constant<value_ints=[2]>() h = Gather(shape, i)
            one = Constant<value_ints=[1]>() zero = Constant<value_ints=[0]>()
            middle = Div(h, i) more = Add(h, one) end = Div(more, i)
            a = Slice(X, zero, end, i) b = Slice(X, middle, h, i)
            ma = ReduceMean<axes=[2,3]>(a) mb = ReduceMean<axes=[2,3]>(b)
            Y = Concat<axis=2>(ma, mb)
        }""")


def test_a_negative_size_is_an_open_one() -> None:
    model = with_negative_sizes(halves())
    result = onnxpool.rewrite(model)
    (finding,) = result.report.findings
    assert (finding.op, finding.action) == ("AdaptiveAveragePool", "rewritten")
    x = np.random.default_rng(0).standard_normal((3, 4, 7, 5)).astype(np.float32)
    wanted = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(x), (2, 1))
    np.testing.assert_allclose(Runner(result.model)({"X": x})[0], wanted, rtol=0, atol=1e-6)
    assert onnxpool.validate(result.model, model).passed
    fixed = onnxpool.rewrite(model, input_shapes={"X": (3, 4, 7, 5)})
    assert fixed.report.fixed == {"X": "?x4x?x? → 3x4x7x5"}
    np.testing.assert_allclose(Runner(fixed.model)({"X": x})[0], wanted, rtol=0, atol=1e-6)
