"""Targets: what the result has, what is refused, and how it is said."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from typer.testing import CliRunner

import onnxpool
from onnxpool.cli.app import app
from onnxpool.errors import ArgumentError, TargetError
from onnxpool.rewrites.graph.run import Runner
from onnxpool.rewrites.lower import STRATEGIES
from onnxpool.targets import PLACES, TARGETS, find
from tests.rewrites.legalize.standard import model_of, ops, relative_error

PPM = "models/ppm.onnx"
X = {"X": (1, 8, 12, 12)}
DYNAMIC = {"X": ("N", 8, "H", "W")}
MEASURED = [t.name for t in TARGETS if t.tested]


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def same_outputs(new: onnx.ModelProto, old: onnx.ModelProto) -> bool:
    shape = [d.dim_value for d in old.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    name = old.graph.input[0].name
    found, wanted = Runner(new)({name: x}), Runner(old)({name: x})
    errors = (relative_error(y, w) for y, w in zip(found, wanted, strict=True))
    return max(errors) <= 64 * float(np.finfo(np.float32).eps)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_an_entry_is_complete(target: onnxpool.targets.Target) -> None:
    assert find(target.name) is target
    assert target.strategy in STRATEGIES
    assert 11 <= target.opset <= onnx.defs.onnx_opset_version()
    assert target.runtime
    assert target.run
    assert bool(target.measured) == bool(target.tested)
    for limit in target.limits:
        assert limit.ops
        assert limit.reason
        assert limit.evidence == "documented" or target.tested
        for op in limit.ops:
            assert onnx.defs.has(op), op
    for op in target.known_ops:
        assert onnx.defs.has(op), op


@pytest.mark.parametrize("name", MEASURED)
def test_a_pyramid_is_written_for_every_measured_target(name: str) -> None:
    target, before = find(name), onnx.load(PPM)
    result = onnxpool.rewrite(PPM, target=name)
    assert result.report.opset <= target.opset
    assert result.report.target == name
    assert not result.report.refusals
    assert same_outputs(result.model, before)
    onnx.checker.check_model(result.model, full_check=True)


def test_upsampling_from_one_pixel_is_expand_where_resize_is_wrong() -> None:
    report = onnxpool.rewrite(PPM, target="opencv5").report
    assert report.before.ops["Resize"] == 4
    assert (report.after.ops["Resize"], report.after.ops["Expand"]) == (3, 1)
    (change,) = (change for change in report.changes if change.form == "Expand")
    assert change.op == "Resize"
    assert change.error == 0


def test_without_a_target_it_is_onnxruntime() -> None:
    plain, named = onnxpool.rewrite(PPM), onnxpool.rewrite(PPM, target="onnxruntime")
    assert plain.model == named.model
    assert [change.op for change in plain.report.changes] == ["Resize"] * 4


def test_a_model_that_the_target_takes_comes_out_byte_for_byte(tmp_path: Path) -> None:
    model = model_of("Relu", X)
    onnx.save(model, tmp_path / "in.onnx")
    result = onnxpool.rewrite(tmp_path / "in.onnx", target="opencv4")
    result.save(tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "in.onnx").read_bytes()


CURED = [
    ("opencv4", model_of("AveragePool", X, kernel_shape=[3, 3], auto_pad="SAME_LOWER"), "pads"),
    ("opencv5", model_of("MaxPool", X, kernel_shape=[3, 3], auto_pad="SAME_UPPER"), "pads"),
    ("opencv4", model_of("GlobalLpPool", X, p=2), "powers"),
    ("tract", model_of("LpPool", X, kernel_shape=[2, 2], p=2), "powers"),
    (
        "opencv4",
        model_of("AveragePool", X, kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1),
        "Pad before it",
    ),
    (
        "opencv4",
        model_of("Resize", X, {"s": ints(1, 8, 17, 9)}, order=["X", "", "", "s"], mode="cubic"),
        "MatMul",
    ),
    (
        "opencv4",
        model_of("Resize", X, {"s": ints(1, 8, 17, 9)}, order=["X", "", "", "s"], mode="linear"),
        "attributes written out",
    ),
    (
        "mnn",
        model_of("Conv", {"X": (1, 2, 4, 5, 6)}, {"w": np.ones((3, 2, 2, 3, 2), "f")}),
        "attributes written out",
    ),
    ("ncnn", model_of("ReduceMax", X, axes=[2, 3]), "global pooling"),
    ("ncnn", model_of("Pow", X, {"p": floats(3)}), "a power of what is not 0"),
    ("opencv5", model_of("GlobalAveragePool", {"X": (1, 4, 5, 6, 7)}), "planes"),
    ("mnn", model_of("MaxPool", X, kernel_shape=[3, 1]), "strides"),
    ("ncnn", model_of("Gather", X, {"i": ints(3, 3, 4)}, axis=2), "slices"),
    ("litert", model_of("Conv", X, {"w": np.ones((8, 2, 3, 3), "f")}, group=4), "per group"),
    ("litert", model_of("Div", X, {"c": np.full((1, 1, 12, 12), 2, "f")}), "every element"),
    ("litert", model_of("Flatten", X, axis=2), "Reshape"),
    (
        "litert",
        model_of("ConvTranspose", X, {"w": np.ones((8, 2, 3, 3), "f")}),
        "attributes written out",
    ),
    ("litert", model_of("Reciprocal", X), "constant on the right"),
    ("litert", model_of("Sub", X, {"c": floats(1)[0]}, order=["c", "X"]), "constant on the right"),
    ("litert", model_of("Clip", X, {"min": floats(0.25)[0]}), "Min of its negative"),
    (
        "litert",
        model_of("AveragePool", {"X": (1, 4, 6, 7, 5)}, kernel_shape=[2] * 3),
        "poolings of planes",
    ),
    ("litert", model_of("Mul", X, {"c": np.ones((8, 1, 1), "f")}), "every axis"),
    ("tensorrt", model_of("GlobalMaxPool", {"X": (1, 1, 317, 317)}), "a reduction"),
    ("tensorrt", model_of("MaxPool", {"X": (1, 1, 320, 320)}, kernel_shape=[317, 317]), "lines"),
    (
        "mnn",
        model_of("BatchNormalization", X, {k: np.full(8, 0.1, np.float32) for k in "sbmv"}),
        "attributes written out",
    ),
    (
        "mnn",
        model_of("InstanceNormalization", X, {k: np.full(8, 0.1, np.float32) for k in "sb"}),
        "attributes written out",
    ),
    ("emx", model_of("GlobalLpPool", X, p=3), "powers"),
    ("espdl", model_of("MaxPool", X, kernel_shape=[3, 1]), "strides"),
    ("qnn", model_of("Dropout", X), "drops nothing"),
    *(
        (name, model_of("AveragePool", X, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4), "Mul")
        for name in ("espdl", "qnn")
    ),
    (
        "espdl",
        model_of("MaxPool", X, kernel_shape=[3, 3], strides=[1, 2], auto_pad="SAME_UPPER"),
        "pads",
    ),
    (
        "espdl",
        model_of(
            "Resize",
            X,
            {"s": ints(1, 8, 17, 9)},
            order=["X", "", "", "s"],
            mode="linear",
            coordinate_transformation_mode="asymmetric",
        ),
        "MatMul",
    ),
    ("qnn", model_of("LpPool", X, kernel_shape=[2, 2], p=3), "powers"),
    ("qnn", model_of("GlobalMaxPool", {"X": (1, 4, 5, 6, 7)}), "planes"),
    ("rknn", model_of("MaxPool", {"X": (1, 4, 5, 6, 7)}, kernel_shape=[2] * 3), "planes"),
    (
        "rknn",
        model_of("Resize", X, {"s": ints(1, 8, 17, 9)}, order=["X", "", "", "s"], mode="cubic"),
        "MatMul",
    ),
    ("nncase", model_of("Reshape", X, {"s": ints(8, -1)}, allowzero=1), "allowzero"),
    ("nncase", model_of("AveragePool", X, kernel_shape=[3, 3], auto_pad="SAME_LOWER"), "pads"),
    ("nncase", model_of("MaxPool", X, kernel_shape=[3, 3], pads=[1] * 4), "lowest number"),
    ("nncase", model_of("AveragePool", {"X": (1, 4, 5, 6, 7)}, kernel_shape=[2] * 3), "planes"),
    ("caffe", model_of("Clip", X, {"min": floats(0.25)[0]}), "Relu"),
    ("qnn", model_of("Softplus", X), "lines"),
]


@pytest.mark.parametrize(("name", "model", "form"), CURED)
def test_what_the_target_does_not_take_is_written_otherwise(
    name: str, model: onnx.ModelProto, form: str
) -> None:
    (op,) = ops(model)
    refused = onnxpool.inspect(model, target=name).refusals
    assert [refusal.node for refusal in refused] == [f"{op} node 'node'"]
    assert form in refused[0].becomes
    result = onnxpool.rewrite(model, target=name)
    (change,) = result.report.changes
    assert (change.op, change.node) == (op, "node")
    assert form in change.form
    assert change.error is not None
    assert same_outputs(result.model, model)
    assert not onnxpool.inspect(result.model, target=name).refusals


def test_a_node_of_constants_alone_is_checked() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 11]>
        g (float[1,2,3,3] x) => (float[1,2,3,3] y) <float[2] scale = {2, 3}>
        { column = Unsqueeze<axes = [1, 2]>(scale)
          y = Mul(x, column) }""")
    result = onnxpool.rewrite(model, target="opencv4")
    assert [change.error for change in result.report.changes if change.op == "Unsqueeze"] == [0]
    assert same_outputs(result.model, model)


@pytest.mark.parametrize("name", ["nncase", "qnn", "rknn"])
def test_an_average_behind_a_pad_is_behind_a_concat(name: str) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 16]>
        g (float[1,2,11,11] x) => (float[1,2,4,4] y)
        <int64[8] pads = {0, 0, 0, 0, 0, 0, 1, 1}>
        { padded = Pad(x, pads)
          y = AveragePool<kernel_shape = [3, 3], strides = [3, 3]>(padded) }""")
    result = onnxpool.rewrite(model, target=name)
    assert ops(result.model) == ["Concat", "Concat", "AveragePool"]
    assert same_outputs(result.model, model)


PAIRS = [
    (
        "qnn",
        "MaxPool<kernel_shape = [3, 3]>(x)",
        "Tanh(t)",
        ["MaxPool", "Reshape", "Tanh", "Reshape"],
    ),
    ("qnn", "MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)", "Tanh(t)", ["MaxPool", "Tanh"]),
    ("qnn", "Conv(x, w)", "Tanh(t)", ["Conv", "Tanh"]),
    ("qnn", "Pad(x, p)", "MaxPool<kernel_shape = [2, 2]>(t)", ["Concat", "Concat", "MaxPool"]),
    ("nncase", "Pad(x, p)", "GlobalAveragePool(t)", ["Concat", "Concat", "GlobalAveragePool"]),
    ("nncase", "Pad(x, p)", "Conv(t, w)", ["Pad", "Conv"]),
    ("rknn", "Pad(x, p)", "Conv(t, w)", ["Concat", "Concat", "Conv"]),
    ("rknn", "Pad(x, p)", "Relu(t)", ["Pad", "Relu"]),
    ("rknn", 'Pad<mode = "reflect">(x, p)', "Conv(t, w)", ["Pad", "Conv"]),
    ("qnn", 'Pad<mode = "reflect">(x, p)', "GlobalMaxPool(t)", ["Pad", "GlobalMaxPool"]),
]


@pytest.mark.parametrize(("name", "first", "second", "wanted"), PAIRS)
def test_two_ops_of_which_one_is_wrong_beside_the_other(
    name: str, first: str, second: str, wanted: list[str]
) -> None:
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 16]>
        g (float[1,2,6,6] x) => (float[1,2,H,W] y)
        <int64[8] p = {{0, 0, 0, 0, 0, 0, 1, 1}}, float[1,2,1,1] w = {{2, 3}}>
        {{ t = {first} y = {second} }}""")
    result = onnxpool.rewrite(model, target=name)
    assert ops(result.model) == wanted
    assert same_outputs(result.model, model)


@pytest.mark.parametrize(("link", "length"), [("Add(t{0}, t{0})", 60), ("Relu(t{0})", 2000)])
def test_what_is_in_front_of_an_activation_is_looked_at_once(link: str, length: int) -> None:
    chain = "".join(f" t{i + 1} = {link.format(i)}" for i in range(length))
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 16]>
        g (float[1,2,6,6] x) => (float[1,2,6,6] y) {{ t0 = Abs(x){chain} y = Tanh(t{length}) }}""")
    assert onnxpool.rewrite(model, target="qnn").report.rewritten == 0


@pytest.mark.parametrize("first", ["Add(x, v)", "Relu(x)"])
@pytest.mark.parametrize("last", ["Softmax", "Relu"])
def test_a_number_that_qnn_does_not_multiply_by(first: str, last: str) -> None:
    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 16]>
        g (float[2,3] x) => (float[2,3] y) <float[3] v = {{1, 2, 3}}, float c = {{2}}>
        {{ s = {first} t = Mul(c, s) y = {last}(t) }}""")
    result = onnxpool.rewrite(model, target="qnn")
    shapes = {tensor.name: list(tensor.dims) for tensor in result.model.graph.initializer}
    (mul,) = (node for node in result.model.graph.node if node.op_type == "Mul")
    is_left = (first, last) == ("Relu(x)", "Relu")
    assert [shapes[name] for name in mul.input if name in shapes] == [[] if is_left else [3]]
    assert same_outputs(result.model, model)


@pytest.mark.parametrize(
    ("width", "mode"), [(12, "half_pixel"), (12, "align_corners"), (9, "half_pixel")]
)
def test_a_resize_that_rknn_leaves_to_its_cpu(width: int, mode: str) -> None:
    resize = model_of(
        "Resize",
        {"X": (1, 2, 6, 6)},
        {"s": ints(1, 2, 12, width)},
        order=["X", "", "", "s"],
        mode="linear",
        coordinate_transformation_mode=mode,
    )
    on_the_npu = (width, mode) == (12, "half_pixel")
    result = onnxpool.rewrite(resize, target="rknn")
    assert set(ops(result.model)) == {"Resize" if on_the_npu else "MatMul"}
    assert same_outputs(result.model, resize)


def test_what_rknn_leaves_to_its_cpu_is_written_otherwise() -> None:
    mean = model_of("ReduceMean", X, axes=[2, 3])
    assert ops(onnxpool.rewrite(mean, target="rknn").model) == ["GlobalAveragePool"]
    magnitude = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 16]>
        g (float[2,3] x) => (float[2,3] y)
        { s = Sign(x) a = Abs(x) r = Relu(a) t = Mul(s, r) y = Exp(t) }""")
    assert "Sign" not in ops(onnxpool.rewrite(magnitude, target="rknn").model)


def test_a_reflection_in_front_of_a_maximum_is_refused_for_rknn() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 16]>
        g (float[1,2,6,6] x) => (float[1,2,H,W] y) <int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}>
        { t = Pad<mode = "reflect">(x, p) y = MaxPool<kernel_shape = [2, 2]>(t) }""")
    with pytest.raises(TargetError, match="reflect in front of a maximum"):
        onnxpool.rewrite(model, target="rknn")


def test_uneven_padding_that_counts_is_a_concat_for_rknn() -> None:
    attributes: dict[str, Any] = {"kernel_shape": [4, 4], "pads": [0, 0, 1, 1]}
    model = model_of("AveragePool", X, count_include_pad=1, **attributes)
    result = onnxpool.rewrite(model, target="rknn")
    assert ops(result.model) == ["Concat", "Concat", "AveragePool"]
    assert same_outputs(result.model, model)
    model = model_of("AveragePool", X, **attributes)
    assert ops(onnxpool.rewrite(model, target="rknn").model) == ["AveragePool"]


def test_litert_gets_the_folded_sizes_of_a_resize_as_an_initializer() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1,8,12,12] x, float[1,8,H,W] like) => (float[1,8,h,w] y)
        { sizes = Shape(like)
          y = Resize<mode = "linear">(x, , , sizes) }""")
    result = onnxpool.rewrite(model, target="litert", input_shapes={"like": (1, 8, 17, 9)})
    assert ops(result.model) == ["Resize"]
    assert "Constant node gives" in next(
        limit.reason for limit in find("litert").limits if "Resize" in limit.ops
    )


def test_a_volume_of_open_size_is_pooled_by_planes_for_mnn() -> None:
    attributes: dict[str, Any] = {"kernel_shape": [2] * 3, "strides": [1] * 3, "pads": [0] * 6}
    model = model_of("MaxPool", {"X": (1, 4, "D", "H", "W")}, **attributes)
    (refusal,) = onnxpool.inspect(model, target="mnn").refusals
    assert "ends the process when sizes of a volume change" in refusal.reason
    result = onnxpool.rewrite(model, target="mnn")
    assert ops(result.model).count("MaxPool") == 2
    assert not onnxpool.inspect(result.model, target="mnn").refusals


@pytest.mark.parametrize("name", ["tract", "tvm"])
@pytest.mark.parametrize(("bins", "form"), [(1, "Expand"), (3, "MatMul with computed weights")])
def test_resize_to_computed_sizes(name: str, bins: int, form: str) -> None:
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1,2,H,W] x, float[1,2,{bins},{bins}] bins) => (float[1,4,H,W] y)
        {{ sizes = Shape(x)
           resized = Resize<mode = "linear">(bins, , , sizes)
           y = Concat<axis = 1>(x, resized) }}""")
    (refusal,) = onnxpool.inspect(model, target=name).refusals
    assert "cannot resize to sizes that the graph computes" in refusal.reason
    assert refusal.becomes == form
    result = onnxpool.rewrite(model, target=name)
    assert "Resize" not in ops(result.model)
    rng = np.random.default_rng(0)
    for size in ((5, 9), (1, 2)):
        inputs = {"x": (1, 2, *size), "bins": (1, 2, bins, bins)}
        values = {k: rng.standard_normal(shape).astype("f") for k, shape in inputs.items()}
        found, wanted = Runner(result.model)(values)[0], Runner(model)(values)[0]
        assert relative_error(found, wanted) <= 64 * float(np.finfo(np.float32).eps)


@pytest.mark.parametrize(
    ("name", "model", "reason"),
    [
        ("opencv4", model_of("Trilu", X), "Trilu node 'node': does not load"),
        (
            "opencv4",
            model_of("MaxPool", X, kernel_shape=[2, 2], dilations=[2, 2]),
            "ignores dilations",
        ),
        ("opencv4", model_of("MaxPool", DYNAMIC, kernel_shape=[2, 2]), "--input-shape X=Nx8xHxW"),
        (
            "mnn",
            model_of("OneHot", {"X": (3, 4)}, {"d": ints(4), "v": floats(0, 1)}),
            "wrong values",
        ),
        ("tinygrad", model_of("GridSample", X, {"g": np.zeros((1, 2, 2, 2), "f")}), "no such op"),
        ("tinygrad", model_of("Gather", X, {"i": np.ones((2, 2), np.int64)}), "of several axes"),
        ("openvino", model_of("ReduceL1", X, axes=[2]), "--opset 18"),
        ("ncnn", model_of("Trilu", X), "no such layer"),
        ("tensorrt", model_of("MaxPool", X, kernel_shape=[2, 2], outputs=["Y", "I"]), "no indices"),
        ("emx", model_of("Einsum", X, equation="nchw->n"), "equations"),
        ("espdl", model_of("Sign", X), "no such op"),
        ("espdl", model_of("Identity", X), "at the end of the graph"),
        ("qnn", model_of("AveragePool", X, kernel_shape=[3, 3], ceil_mode=1), "garbage"),
        ("qnn", model_of("Pad", X, {"p": ints(*[0, 0, 1, 1] * 2)}, mode="edge"), "mode edge"),
        ("qnn", model_of("Erf", X), "stays on the CPU"),
        ("rknn", model_of("Mod", {"X": (2, 3), "Z": (2, 3)}, fmod=1), "wrong values"),
        ("nncase", model_of("MaxPool", X, kernel_shape=[3, 3], ceil_mode=1), "ceil_mode"),
        ("nncase", model_of("IsNaN", X), "ends the process"),
        ("nncase", model_of("ReduceMax", {"X": (1, 4)}, axes=[1], keepdims=0), "one number alone"),
        ("nncase", model_of("ReduceMax", {"X": (4,)}, axes=[0], keepdims=0), "one number alone"),
        (
            "nncase",
            model_of("Resize", X, {"s": ints(1, 4, 12, 12)}, order=["X", "", "", "s"]),
            "of channels",
        ),
        ("qnn", model_of("LogSoftmax", {"X": (3, 1)}, axis=1), "of one element"),
        (
            "caffe",
            model_of("Resize", X, {"s": floats(1, 1, 2, 2)}, order=["X", "", "s"]),
            "corners",
        ),
        ("caffe", model_of("Pow", X, {"p": np.ones((8, 1, 1), "f")}), "exponent is one number"),
        (
            "caffe",
            model_of("Conv", X, {"w": np.ones((2, 8, 3, 3), "f")}, pads=[0, 0, 1, 1]),
            "alike",
        ),
    ],
)
def test_what_cannot_be_written_otherwise_is_refused(
    name: str, model: onnx.ModelProto, reason: str
) -> None:
    with pytest.raises(TargetError, match=re.escape(reason)) as raised:
        onnxpool.rewrite(model, target=name)
    assert raised.value.exit_status == 1
    assert "nothing was written" in str(raised.value)


def test_a_refusal_says_why_there_is_no_other_form() -> None:
    model = model_of("Conv", X | {"w": (8, 2, 3, 3)}, group=4)
    with pytest.raises(TargetError, match="it cannot be written otherwise: its weights are comp"):
        onnxpool.rewrite(model, target="litert")


def test_an_op_that_nobody_tried_is_a_warning() -> None:
    model = model_of("EyeLike", {"X": (3, 3)})
    (refusal,) = onnxpool.rewrite(model, target="tract").report.refusals
    assert not refusal.certain
    assert refusal.reason == "whether tract has EyeLike is not known here"


def test_gem_is_a_sandwich_for_caffe() -> None:
    result = onnxpool.rewrite("models/gem.onnx", target="caffe")
    assert ops(result.model) == ["Sub", "Relu", "Add", "Pow", "GlobalAveragePool", "Pow"]
    assert not result.report.refusals


def test_another_domain_may_not_be_there() -> None:
    model = model_of("Relu", X)
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    (refusal,) = onnxpool.inspect(model, target="ncnn").refusals
    assert not refusal.certain
    assert "com.example" in refusal.reason


def test_a_node_without_a_form_in_the_opset_is_refused() -> None:
    model = model_of("Trilu", X)
    with pytest.raises(TargetError, match=r"Trilu node 'node'.* starts at opset 14"):
        onnxpool.rewrite(model, opset=11)


@pytest.mark.parametrize("name", [t.name for t in TARGETS if t.least_opset])
def test_an_older_model_is_converted(name: str) -> None:
    target = find(name)
    model = model_of("Softmax", {"X": (1, 5, 2, 3)}, opset=9)
    result = onnxpool.rewrite(model, target=name)
    assert result.report.opset == target.least_opset > result.report.opset_before == 9
    assert same_outputs(result.model, model)
    newer = model_of("Relu", X, opset=target.least_opset + 1)
    assert onnxpool.rewrite(newer, target=name).report.opset == target.least_opset + 1
    with pytest.raises(ArgumentError, match=f"takes at least {target.least_opset}"):
        onnxpool.rewrite(newer, target=name, opset=target.least_opset - 1)


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21])
def test_an_opset_alone(opset: int) -> None:
    result = onnxpool.rewrite(PPM, opset=opset)
    assert {entry.version for entry in result.model.opset_import} == {opset}
    assert result.report.opset_before == 20
    assert same_outputs(result.model, onnx.load(PPM))


def test_metadata_of_a_node_survives_its_new_form() -> None:
    model = onnx.load(PPM)
    resize = next(node for node in model.graph.node if node.op_type == "Resize")
    resize.metadata_props.add(key="from", value="here")
    resize.doc_string = "doc"
    after = onnxpool.rewrite(model, opset=17, strategy="slice").model
    (kept,) = (node for node in after.graph.node if node.metadata_props and node.doc_string)
    assert kept.op_type == "Resize"
    assert kept.metadata_props[-1].value == "here"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"target": "opencv"}, "there is no target 'opencv'; use onnxruntime"),
        ({"target": "opencv5", "opset": 20}, "takes at most 17"),
        ({"opset": 9}, "converts from 7 on, to 11 and more"),
    ],
)
def test_a_wrong_argument_is_one_line(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ArgumentError, match=reason):
        onnxpool.rewrite(PPM, **options)


def test_the_table_of_targets() -> None:
    result = CliRunner().invoke(app, ["targets", "--json", "-"])
    facts = json.loads(result.stdout)
    assert [fact["name"] for fact in facts] == [target.name for target in TARGETS]
    assert {fact["evidence"] for fact in facts} == {"measured", "documented"}
    one = CliRunner().invoke(app, ["targets", "opencv5"])
    assert "garbage" in one.stdout


def test_the_table_groups_targets_by_where_they_run() -> None:
    lines = CliRunner().invoke(app, ["targets"], env={"COLUMNS": "200"}).stdout.splitlines()
    places = [place for place in PLACES if any(t.runs_on == place for t in TARGETS)]
    heads = [n for n, line in enumerate(lines) if "tested with" in line]
    assert [lines[n].split()[0] for n in heads] == places
    for target in TARGETS:
        (line,) = (n for n, text in enumerate(lines) if text.split()[:1] == [target.name])
        assert lines[max(n for n in heads if n < line)].split()[0] == target.runs_on
        assert (target.measured or "documented only") in lines[line]


def test_inspect_tells_what_a_target_would_not_take(tmp_path: Path) -> None:
    onnx.save(model_of("Trilu", X), tmp_path / "m.onnx")
    call = ["inspect", str(tmp_path / "m.onnx"), "--target", "opencv4"]
    assert "opencv4 would not take Trilu node 'node'" in CliRunner().invoke(app, call).stdout
