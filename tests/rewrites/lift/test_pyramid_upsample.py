"""The levels of a pyramid beside its input: what is one PyramidUpsample, and what is none."""

import re

import numpy as np
import onnx
import pytest
from onnx import parser

import onnxpool
from onnxpool.ops import DOMAIN
from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.run import Runner, kernels_missing

POOL = """p1, p2 = onnxpool.PyramidPool<output_sizes=[2, 2, 3, 3], levels=2, mode="average">(X)
    a = Relu(p1) b = Relu(p2)"""
SIZES = """lead = Constant<value_ints=[1, 3]>() shape = Shape<start=2>(X)
    sizes = Concat<axis=0>(lead, shape)"""
LINEAR = 'mode="linear"'
HALF = 'coordinate_transformation_mode="half_pixel"'
CUBIC = f'mode="cubic", {HALF}'
ASYMMETRIC = f'{LINEAR}, coordinate_transformation_mode="asymmetric"'
ALIGNED = 'coordinate_transformation_mode="align_corners"'


def resizes(first: str = f"{LINEAR}, {HALF}", second: str | None = None) -> str:
    return f"""u = Resize<{first}>(a, , , sizes)
    v = Resize<{second or first}>(b, , , sizes)"""


def model(
    nodes: str, x: str = "float[1,3,H,W] X", outputs: str = "Y", opset: int = 18
) -> onnx.ModelProto:
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}, "onnxpool" : 1]> '
        f"g ({x}) => ({outputs}) {{ {nodes} }}"
    )


def upsampled(result: onnxpool.Result) -> list[onnx.NodeProto]:
    return [node for node in result.model.graph.node if node.op_type == "PyramidUpsample"]


def both_ways(proto: onnx.ModelProto, x: Array) -> list[Array]:
    """Outputs with the body and, where the library is there, with the kernel."""
    return [
        Runner(proto, kernels=kernels)({"X": x})[0]
        for kernels in (False, *[True] * (not kernels_missing()))
    ]


@pytest.mark.parametrize(
    ("join", "position"),
    [("X, u, v", 0), ("u, X, v", 1), ("u, v, X", 2), ("X, u, v, X", 0), ("u, X, X, v", 1)],
)
@pytest.mark.parametrize("mode", [HALF, ALIGNED])
@pytest.mark.parametrize("axis", [1, -3])
def test_both_forms_and_every_order(join: str, position: int, mode: str, axis: int) -> None:
    before = model(f"{POOL} {SIZES} {resizes(f'{LINEAR}, {mode}')} Y = Concat<axis={axis}>({join})")
    result = onnxpool.rewrite(before, to="custom-op")
    (node,) = upsampled(result)
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert attributes["position"] == position
    assert attributes["coordinate_transformation_mode"].decode() in mode
    assert [n.op_type for n in result.model.graph.node if n.op_type in ("Resize", "Concat")] == []
    (change,) = result.report.changes
    assert (change.op, change.form) == ("Concat", "PyramidUpsample")
    assert change.error is not None
    assert change.error < 1e-5
    source = onnxpool.rewrite(before).model
    assert not [n for n in source.graph.node if n.domain == DOMAIN]
    for height, width in ((7, 9), (20, 2), (3, 3)):
        x = np.random.default_rng(0).standard_normal((1, 3, height, width)).astype(np.float32)
        (expected,) = Runner(source)({"X": x})
        for found in both_ways(result.model, x):
            np.testing.assert_allclose(found, expected, atol=2e-5)


def test_levels_of_one_element_need_no_pool() -> None:
    nodes = f"""a = Relu(s) b = Relu(t) {SIZES} {resizes()} Y = Concat<axis=1>(X, u, v)"""
    x = "float[1,3,H,W] X, float[1,3,1,1] s, float[1,3,1,1] t"
    assert len(upsampled(onnxpool.rewrite(model(nodes, x), to="custom-op"))) == 1


def test_scales_that_give_whole_sizes() -> None:
    nodes = f"""{POOL} s = Constant<value_floats=[1.0, 1.0, 3.0, 6.0]>()
    t = Constant<value_floats=[1.0, 1.0, 2.0, 4.0]>()
    u = Resize<{LINEAR}, {HALF}>(a, , s) v = Resize<{LINEAR}, {HALF}>(b, , t)
    Y = Concat<axis=1>(X, u, v)"""
    result = onnxpool.rewrite(model(nodes, "float[1,3,6,12] X"), to="custom-op")
    assert len(upsampled(result)) == 1


JOIN = "Y = Concat<axis=1>(X, u, v)"


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        (f"{SIZES} {resizes(f'{HALF}')} {JOIN}", "does not interpolate linearly"),
        (
            f"{SIZES} {resizes(f'{LINEAR}, {HALF}', CUBIC)} {JOIN}",
            "'v' does not interpolate linearly",
        ),
        (
            f"{SIZES} {resizes(f'{LINEAR}, {HALF}', f'{LINEAR}, {ALIGNED}')} {JOIN}",
            "in two ways, align_corners and half_pixel",
        ),
        (
            f"{SIZES} {resizes(ASYMMETRIC)} {JOIN}",
            "has coordinates of its own, asymmetric",
        ),
        (f"{SIZES} {resizes(f'{LINEAR}, {HALF}, antialias=1')} {JOIN}", "does more than"),
        (f"{SIZES} {resizes()} {JOIN} Z = Relu(u)", "something else reads"),
        (f"{SIZES} {resizes()} Y = Concat<axis=1>(u, v)", "all that it joins is upsampled"),
        (f"{SIZES} {resizes()} Y = Concat<axis=2>(X, u, v)", "another axis than the channels"),
        (
            f"""r = Constant<value_floats=[1.0, 1.0, 3.5, 3.5]>()
            s = Constant<value_floats=[1.0, 1.0, 2.4, 2.4]>()
            u = Resize<{LINEAR}, {HALF}>(a, , r) v = Resize<{LINEAR}, {HALF}>(b, , s) {JOIN}""",
            "scales that do not give whole sizes",
        ),
        (
            f"""shape = Shape<start=2>(X) size = Cast<to=1>(shape)
            three = Constant<value_float=3.0>() s = Div(size, three)
            {resizes(f"{LINEAR}, {HALF}, axes=[2, 3]").replace(", , sizes", ", s")} {JOIN}""",
            "scales that the graph computes",
        ),
        (
            f"""lead = Constant<value_ints=[1]>() c = Constant<value_ints=[6]>()
            shape = Shape<start=2>(X) sizes = Concat<axis=0>(lead, c, shape) {resizes()} {JOIN}""",
            "is not known to keep batch and channels",
        ),
    ],
)
def test_what_is_none_and_why(nodes: str, reason: str) -> None:
    outputs = "Y, Z" if "Z =" in nodes else "Y"
    x = "float[1,3,7,7] X" if "2.4" in nodes else "float[1,3,H,W] X"
    result = onnxpool.rewrite(model(f"{POOL} {nodes}", x, outputs), to="custom-op", check="none")
    assert upsampled(result) == []
    (note,) = (n for n in result.report.notes if "the pyramid joined by" in n)
    assert re.search(re.escape(reason), note)
    assert "Concat 'Y' stays: " in note


@pytest.mark.parametrize(
    "nodes",
    [
        # A decoder: what it upsamples is no pool's.
        f"c = Conv(X, W) a = Relu(c) b = Relu(X) {SIZES} {resizes()} {JOIN}",
        # One level.
        f"{POOL} {SIZES} {resizes()} Y = Concat<axis=1>(X, u) Z = Relu(v)",
    ],
)
def test_what_is_no_pyramid_is_not_spoken_of(nodes: str) -> None:
    outputs = "Y, Z" if "Z =" in nodes else "Y"
    before = model(nodes, "float[1,3,H,W] X, float[3,3,1,1] W", outputs)
    result = onnxpool.rewrite(before, to="custom-op", check="none")
    assert upsampled(result) == []
    assert not [n for n in result.report.notes if "pyramid" in n]


def test_float64_stays() -> None:
    before = model(f"{POOL} {SIZES} {resizes()} {JOIN}", "double[1,3,H,W] X")
    result = onnxpool.rewrite(before, to="custom-op", check="none")
    assert upsampled(result) == []
    assert any("resizes float32 and float16 only" in note for note in result.report.notes)


def test_float16() -> None:
    before = model(f"{POOL} {SIZES} {resizes()} {JOIN}", "float16[1,3,H,W] X")
    result = onnxpool.rewrite(before, to="custom-op")
    assert len(upsampled(result)) == 1
    x = np.random.default_rng(0).standard_normal((1, 3, 11, 9)).astype(np.float16)
    (expected,) = Runner(onnxpool.rewrite(before).model)({"X": x})
    for found in both_ways(result.model, x):
        np.testing.assert_allclose(found, expected, atol=2e-2)


def test_two_pyramids_of_different_order_have_one_body() -> None:
    """A model has one body per op, so the second one stays, and the report says why."""
    nodes = f"""{POOL} {SIZES} {resizes()} Y = Concat<axis=1>(X, u, v)
    s = Resize<{LINEAR}, {HALF}>(a, , , sizes) t = Resize<{LINEAR}, {HALF}>(b, , , sizes)
    Z = Concat<axis=1>(s, t, X)"""
    result = onnxpool.rewrite(model(nodes, outputs="Y, Z"), to="custom-op")
    assert len(upsampled(result)) == 1
    (note,) = (n for n in result.report.notes if "Concat 'Z' stays" in n)
    assert "a model has one body per op" in note


def test_before_the_opset_of_bodies() -> None:
    nodes = f"""p1, p2 = onnxpool.PyramidPool<output_sizes=[2, 2, 3, 3], levels=2>(X)
    e = Constant<value=float[0]{{}}>() s = Constant<value=int64[4]{{1, 3, 6, 6}}>()
    u = Resize<{LINEAR}, {HALF}>(p1, e, e, s) v = Resize<{LINEAR}, {HALF}>(p2, e, e, s) {JOIN}"""
    before = model(nodes, "float[1,3,6,6] X", opset=11)
    assert upsampled(onnxpool.rewrite(before, to="custom-op")) == []


def matrices(length: int, size: int, mode: str) -> Array:
    """Weights by ONNX Runtime's Resize of the unit vectors, ``(length, size)``."""
    resize = parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]>
        g (float[1,{length},{length},1] X) => (float[1,{length},{size},1] Y)
        <int64[4] sizes = {{1, {length}, {size}, 1}}>
        {{ Y = Resize<mode="linear", coordinate_transformation_mode="{mode}">(X, , , sizes) }}""")
    units = np.eye(length, dtype=np.float32)[None, :, :, None]
    return Runner(resize)({"X": units})[0][0, :, :, 0]


def products(first: Array, second: Array, outputs: str = "Y") -> onnx.ModelProto:
    """Levels of 2x2 and 3x3 beside a plane of 9x9, upsampled by MatMuls with these weights."""
    left = "t = MatMul(L2, a) u = MatMul(t, R2)"
    right = "s = MatMul(b, R3) v = MatMul(L3, s)"
    proto = model(f"{POOL} {left} {right} {JOIN}", "float[1,3,9,9] X", outputs)
    weights = {"L2": first.T, "R2": first, "L3": second.T, "R3": second}
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.ascontiguousarray(w), name) for name, w in weights.items()
    )
    return proto


@pytest.mark.parametrize("mode", ["align_corners", "half_pixel"])
def test_products_with_the_weights_of_resize(mode: str) -> None:
    before = products(matrices(2, 9, mode), matrices(3, 9, mode))
    result = onnxpool.rewrite(before, to="custom-op")
    (node,) = upsampled(result)
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert attributes["coordinate_transformation_mode"].decode() == mode
    assert "MatMul" not in [n.op_type for n in result.model.graph.node]
    x = np.random.default_rng(0).standard_normal((1, 3, 9, 9)).astype(np.float32)
    (expected,) = Runner(onnxpool.rewrite(before).model)({"X": x})
    for found in both_ways(result.model, x):
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_products_with_other_weights_stay() -> None:
    first, second = matrices(2, 9, "half_pixel"), matrices(3, 9, "half_pixel")
    for spoilt in (first * 1.001, first[:, ::-1], np.roll(first, 1, 1), first**2):
        result = onnxpool.rewrite(products(spoilt, second), to="custom-op")
        assert upsampled(result) == []


def test_products_in_two_ways_stay() -> None:
    before = products(matrices(2, 9, "half_pixel"), matrices(3, 9, "align_corners"))
    result = onnxpool.rewrite(before, to="custom-op")
    assert upsampled(result) == []
    assert any("in two ways, align_corners and half_pixel" in n for n in result.report.notes)


@pytest.mark.parametrize("name", ["s", "v"])
def test_products_that_something_else_reads_stay(name: str) -> None:
    weights = matrices(2, 9, "half_pixel"), matrices(3, 9, "half_pixel")
    before = products(*weights, outputs="Y, Z")
    before.graph.node.append(onnx.helper.make_node("Relu", [name], ["Z"]))
    result = onnxpool.rewrite(before, to="custom-op")
    assert upsampled(result) == []
    assert any(f"something else reads what MatMul node '{name}'" in n for n in result.report.notes)


def test_one_pixel_by_expand() -> None:
    nodes = f"""{POOL} axes = Constant<value_ints=[2, 3]>() m = ReduceMean(X, axes)
    {SIZES} w = Expand(m, sizes) {resizes(f"{LINEAR}, {ALIGNED}")}
    Y = Concat<axis=1>(X, u, v, w)"""
    before = model(nodes, "float[1,3,8,5] X")
    result = onnxpool.rewrite(before, to="custom-op")
    (node,) = upsampled(result)
    assert len(node.input) == 4
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 5)).astype(np.float32)
    (expected,) = Runner(onnxpool.rewrite(before).model)({"X": x})
    for found in both_ways(result.model, x):
        np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("to", ["standard", "custom-op"])
@pytest.mark.parametrize(
    "weights",
    [
        """n = Constant<value_ints=[1000000, 1000000]>() large = ConstantOfShape(n)
        a = Constant<value_ints=[0, 0]>() b = Constant<value_ints=[9, 9]>()
        W = Slice(large, a, b)""",
        """c = Constant<value_floats=[1.0, 2.0]>() i = Constant<value_ints=[77]>()
        one = Gather(c, i) n = Constant<value_ints=[9, 9]>() W = Expand(one, n)""",
    ],
    ids=["too large to try", "fails"],
)
def test_weights_that_are_not_run_to_be_known(weights: str, to: str) -> None:
    nodes = f"{weights} u = MatMul(X, W) v = MatMul(W, X) Y = Concat<axis=1>(u, v)"
    result = onnxpool.rewrite(model(nodes, "float[1,3,9,9] X"), to=to)
    assert upsampled(result) == []
    assert result.report.changes == ()


def test_weights_of_no_pixels() -> None:
    nodes = """n = Constant<value_ints=[0, 9]>() W = ConstantOfShape(n)
    u = MatMul(X, W) v = MatMul(X, W) Y = Concat<axis=1>(u, v)"""
    result = onnxpool.rewrite(model(nodes, "float[1,3,9,0] X"), to="custom-op")
    assert upsampled(result) == []
