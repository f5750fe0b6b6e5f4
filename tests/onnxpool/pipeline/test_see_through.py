"""Pooling behind calls of functions and branches of If: found, and no more put in place than that.

The judge is ONNX Runtime on the model as it came, which inlines functions by itself.
"""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import parser

import onnxpool
from onnxpool.ops.op import Array

X = (2, 4, 13, 11)

COMMON = """
<opset_import: ["" : 17], domain: "common">
is_scalar (x) => (y) { s = Shape(x) r = Size(s) zero = Constant<value_int=0>() y = Equal(r, zero) }
"""
MEAN = """
<opset_import: ["" : 17, "common" : 1], domain: "aten">
mean <keepdim> (x, dim) => (y) {
    scalar = common.is_scalar(x)
    y = If <then_branch = g1 () => (a) { a = Identity(x) },
            else_branch = g2 () => (c) {
                s = Shape(dim)  n = Size(s)  zero = Constant<value_int=0>()  all = Equal(n, zero)
                c = If <then_branch = g3 () => (d) { d = ReduceMean<keepdims:int=@keepdim>(x) },
                        else_branch = g4 () => (e) {
                            e = ReduceMean<axes=[-1,-2], keepdims:int=@keepdim>(x)
                        }>(all)
            }>(scalar)
}
"""
POWER = """
<opset_import: ["" : 17], domain: "aten">
pow (x, p) => (y) { y = Pow(x, p) }
"""
CLAMP = """
<opset_import: ["" : 17], domain: "aten">
clamp_min (x, low) => (y) { y = Max(x, low) }
"""
TANH = """
<opset_import: ["" : 17], domain: "aten">
tanh (x) => (y) { y = Tanh(x) }
"""
GEM = """
<opset_import: ["" : 17, "aten" : 1], domain: "net">
gem (x, p) => (y) {
    low = Constant<value_float=1e-6>()  one = Constant<value_float=1.0>()
    dim = Constant<value_ints=[-1,-2]>()
    a = aten.clamp_min(x, low)  b = aten.pow(a, p)  m = aten.mean<keepdim=1>(b, dim)
    q = Div(one, p)  y = aten.pow(m, q)
}
"""
MEANS_OF_ROWS = """
<opset_import: ["" : 17], domain: "net">
rows <first, last> (x) => (y) {
    start = Constant<value_ints:ints=@first>()  end = Constant<value_ints:ints=@last>()
    axis = Constant<value_ints=[2]>()  part = Slice(x, start, end, axis)
    y = ReduceMean<axes=[2], keepdims=1>(part)
}
"""


def model(nodes: str, *functions: str, x: str = "float[2,4,13,11] X", more: str = "") -> bytes:
    """A model of opset 17 that gives Y, and what is `more`."""
    header = '<ir_version: 8, opset_import: ["" : 17, "aten" : 1, "net" : 1, "common" : 1]>'
    text = f"{header} g ({x}) => (float[A,B,C,D] Y{more}) {{ {nodes} }} {' '.join(functions)}"
    proto = parser.parse_model(text)
    for name in ("A", "B", "C", "D"):
        assert name in text
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    return proto.SerializeToString()


def outputs(proto: bytes, shape: tuple[int, ...] = X) -> list[Array]:
    x = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    return list(ort.InferenceSession(proto).run(None, {"X": x}))


def rewritten(proto: bytes, shape: tuple[int, ...] = X) -> onnxpool.Result:
    """The result, which is as the model was and changes no more when rewritten again."""
    result = onnxpool.rewrite(proto)
    for found, wanted in zip(
        outputs(result.serialize(), shape), outputs(proto, shape), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert onnxpool.rewrite(result.serialize()).serialize() == result.serialize()
    return result


def names_of_functions(result: onnxpool.Result) -> list[str]:
    return [function.name for function in result.model.functions]


def test_a_generalised_mean_of_calls_and_of_branches_that_ranks_decide() -> None:
    before = model(
        "p = Constant<value_float=3.0>() r = aten.tanh(X) Y = net.gem(r, p)",
        *(COMMON, MEAN, POWER, CLAMP, TANH, GEM),
    )
    result = rewritten(before)
    assert [f.op for f in result.report.findings if f.action == "rewritten"] == ["GeMPool"]
    assert names_of_functions(result) == ["tanh"]
    kept = onnx.load_from_string(before).functions[4]
    assert result.model.functions[0].SerializeToString() == kept.SerializeToString()
    assert "1 call of function net::gem put in place: pooling goes through" in result.report.notes
    assert onnxpool.inspect(before).notes == result.report.notes


def test_what_a_function_holds_in_whole_stays_in_it() -> None:
    inner = """<opset_import: ["" : 17, "aten" : 1], domain: "net">
        head (x) => (y) {
            low = Constant<value_float=1e-6>()  p = Constant<value_float=2.5>()
            q = Constant<value_float=0.4>()
            a = Max(x, low) b = aten.pow(a, p) m = GlobalAveragePool(b) y = aten.pow(m, q)
        }"""
    before = model("r = aten.tanh(X) Y = net.head(r)", POWER, TANH, inner)
    result = rewritten(before)
    assert [(f.op, f.scope) for f in result.report.findings] == [("GeMPool", "function net::head")]
    assert names_of_functions(result) == ["tanh", "head"]
    # The graph that calls it is as it was.
    graph = onnx.load_from_string(before).graph
    assert result.model.graph.SerializeToString() == graph.SerializeToString()


def test_parts_that_only_the_attributes_of_calls_tell_apart() -> None:
    bounds = [(i * 13 // 6, -(-(i + 1) * 13 // 6)) for i in range(6)]
    nodes = " ".join(
        f"y{i} = net.rows<first=[{first}], last=[{last}]>(X)"
        for i, (first, last) in enumerate(bounds)
    )
    names = ", ".join(f"y{i}" for i in range(6))
    result = rewritten(model(f"{nodes} Y = Concat<axis=2>({names})", MEANS_OF_ROWS))
    assert [f.op for f in result.report.findings if f.action == "rewritten"] == [
        "AdaptiveAveragePool"
    ]
    assert not result.model.functions


def test_levels_that_lie_in_several_functions_join() -> None:
    level = """<opset_import: ["" : 17, "net" : 1], domain: "net">
        {name} (x) => (y) {{ {parts} y = Concat<axis=2>({names}) }}"""
    functions = []
    for bins in (3, 6):
        bounds = [(i * 13 // bins, -(-(i + 1) * 13 // bins)) for i in range(bins)]
        parts = " ".join(
            f"y{i} = net.rows<first=[{first}], last=[{last}]>(x)"
            for i, (first, last) in enumerate(bounds)
        )
        names = ", ".join(f"y{i}" for i in range(bins))
        functions.append(level.format(name=f"level_{bins}", parts=parts, names=names))
    nodes = "u = net.level_3(X) v = net.level_6(X) Y = Concat<axis=2>(u, v)"
    result = rewritten(model(nodes, *functions, MEANS_OF_ROWS))
    assert [f.op for f in result.report.findings if f.action == "rewritten"] == ["PyramidPool"]
    assert not result.model.functions


def test_a_function_that_is_called_with_several_shapes_is_judged_by_call() -> None:
    """Its window is all of X for the first call and not for the second."""
    function = """<opset_import: ["" : 17], domain: "net">
        pool (x) => (y) {
            low = Constant<value_float=1e-6>() p = Constant<value_float=2.5>()
            q = Constant<value_float=0.4>()
            a = Max(x, low) b = Pow(a, p) m = AveragePool<kernel_shape=[13,11]>(b) y = Pow(m, q)
        }"""
    nodes = """pads = Constant<value_ints=[0,0,2,0,0,0,0,0]>()
        pooled = net.pool(X) wide = Pad(X, pads) Y = net.pool(wide)"""
    before = model(nodes, function, more=", float[A,B,C,D] pooled")
    result = rewritten(before)
    found = [(f.tensors[0], f.op) for f in result.report.findings if f.action == "rewritten"]
    assert found == [("pooled", "GeMPool")]
    assert names_of_functions(result) == ["pool"]
    (kept,) = onnx.load_from_string(before).functions
    assert result.model.functions[0].SerializeToString() == kept.SerializeToString()


@pytest.mark.parametrize("condition", ["stored", "of a rank", "of a size"])
def test_a_branch_that_is_always_taken(condition: str) -> None:
    test = {
        "stored": "c = Constant<value = bool {1}>()",
        "of a rank": "s = Shape(X) n = Size(s) four = Constant<value_int=4>() c = Equal(n, four)",
        "of a size": """s = Shape(X) i = Constant<value_int=2>() h = Gather(s, i)
            t = Constant<value_int=13>() c = Equal(h, t)""",
    }[condition]
    nodes = f"""{test} p = Constant<value_float=3.0>() q = Constant<value_float=0.33333334>()
        a = Relu(X) b = Pow(a, p)
        m = If <then_branch = yes () => (u) {{ u = GlobalAveragePool(b) }},
                else_branch = no () => (v) {{ v = Identity(b) }}>(c)
        Y = Pow(m, q)"""
    result = rewritten(model(nodes))
    assert [f.op for f in result.report.findings if f.action == "rewritten"] == ["GeMPool"]
    assert "If" not in result.report.after.ops
    assert "If 'm': its condition is known, so its branch stands in its place" in (
        result.report.notes
    )


def test_a_branch_that_the_caller_decides_stays() -> None:
    nodes = """p = Constant<value_float=3.0>() q = Constant<value_float=0.33333334>()
        s = ReduceSum<keepdims=0>(X) zero = Constant<value_float=0.0>() c = Greater(s, zero)
        a = Relu(X) b = Pow(a, p)
        m = If <then_branch = yes () => (u) { u = GlobalAveragePool(b) },
                else_branch = no () => (v) { v = Identity(b) }>(c)
        Y = Pow(m, q)"""
    before = model(nodes)
    assert rewritten(before).serialize() == before


def test_calls_in_the_body_of_a_loop() -> None:
    nodes = """n = Constant<value_int=3>() t = Constant<value = bool {1}>()
        Y = Loop (n, t, X) <body = b (int64 i, bool go, float[2,4,13,11] v) => (bool on, w) {
            on = Identity(go)
            low = Constant<value_float=1e-6>() p = Constant<value_float=3.0>()
            q = Constant<value_float=0.33333334>()
            a = aten.clamp_min(v, low) b = aten.pow(a, p) m = GlobalAveragePool(b)
            g = aten.pow(m, q) w = Add(v, g) }>"""
    before = model(nodes, POWER, CLAMP)
    result = rewritten(before)
    assert [f.op for f in result.report.findings if f.action == "rewritten"] == ["GeMPool"]
    assert not result.model.functions


def test_what_hides_no_pooling_is_left_byte_for_byte() -> None:
    before = model(
        "p = Constant<value_float=3.0>() r = aten.tanh(X) m = GlobalAveragePool(r)"
        " Y = aten.pow(m, p)",
        *(POWER, TANH),
    )
    assert rewritten(before).serialize() == before


def test_a_function_of_another_opset_in_which_its_ops_mean_the_same() -> None:
    before = model(
        """low = Constant<value_float=1e-6>() p = Constant<value_float=3.0>()
        q = Constant<value_float=0.33333334>()
        a = Max(X, low) b = aten.pow(a, p) m = GlobalAveragePool(b) Y = aten.pow(m, q)""",
        POWER.replace("17", "15"),
    )
    result = rewritten(before)
    assert [f.op for f in result.report.findings if f.action == "rewritten"] == ["GeMPool"]


def test_a_call_that_its_function_does_not_take_stays_a_call() -> None:
    """Without its second operand it runs nowhere, and no checker says so of a call."""
    scale = """<opset_import: ["" : 17], domain: "net">
        scale (x, by) => (y) { y = Mul(x, by) }"""
    proto = onnx.load_from_string(model("a = net.scale(X, X) Y = GlobalAveragePool(a)", scale))
    proto.graph.node[0].input[1] = ""
    before = proto.SerializeToString()
    assert onnxpool.rewrite(before).serialize() == before


def test_constants_that_are_cast_like_an_input() -> None:
    """As functions for all types have them, and in calls of one name in two functions."""
    unsqueeze = """<opset_import: ["" : 17], domain: "aten">
        scaled (x, y) => (z) { one = CastLike(y, x) z = Mul(x, one) }"""
    halves = """<opset_import: ["" : 17, "aten" : 1], domain: "net">
        halves (x) => (y) {
            zero = Constant<value_int=0>() six = Constant<value_int=6>()
            more = Constant<value_int=7>() end = Constant<value_int=13>()
            axis = Constant<value_int=2>() one = Constant<value_ints=[1]>()
            a0 = Reshape(zero, one) a6 = Reshape(six, one) a7 = Reshape(more, one)
            a2 = Reshape(axis, one) ae = Reshape(end, one)
            s = Slice(x, a0, a7, a2) t = Slice(x, a6, ae, a2)
            m = ReduceMean<axes=[2]>(s) n = ReduceMean<axes=[2]>(t)
            k = Constant<value_float=1.0>()
            u = aten.scaled(m, k) v = aten.scaled(n, k)
            y = Concat<axis=2>(u, v)
        }"""
    before = model("r = aten.tanh(X) Y = net.halves(r)", unsqueeze, halves, TANH)
    result = rewritten(before)
    (found,) = [f for f in result.report.findings if f.action == "rewritten"]
    assert found.op == "AdaptiveAveragePool"
    assert names_of_functions(result) == ["halves", "tanh"]


def test_nodes_of_nested_calls_have_names_of_their_own() -> None:
    """Two functions that call a third alike: ONNX Runtime takes no two nodes of one name."""
    mean = """<opset_import: ["" : 17, "aten" : 1], domain: "net">
        mean (x) => (y) { [call] y = aten.rows(x) }"""
    rows = """<opset_import: ["" : 17], domain: "aten">
        rows (x) => (y) { [n0] y = ReduceMean<axes=[3], keepdims=1>(x) }"""
    other = mean.replace("mean (x)", "again (x)")
    nodes = "a = net.mean(X) b = ReduceMean<axes=[2], keepdims=1>(a)"
    nodes += " c = net.again(X) d = ReduceMean<axes=[2], keepdims=1>(c) Y = Add(b, d)"
    result = rewritten(model(nodes, mean, other, rows))
    names = [node.name for node in result.model.graph.node if node.name]
    assert len(set(names)) == len(names)
    assert result.report.rewritten


def test_constants_that_the_call_gives() -> None:
    power = """<opset_import: ["" : 17], domain: "aten">
        raised <p>(x) => (y) { q = Constant<value_float: float = @p>() y = Pow(x, q) }"""
    gem = """<opset_import: ["" : 17, "aten" : 1], domain: "net">
        gem <p, q>(x) => (y) {
            low = Constant<value_float=1e-6>() e = CastLike(low, x) a = Max(x, e)
            b = aten.raised<p: float = @p>(a) m = ReduceMean<axes=[2, 3]>(b)
            y = aten.raised<p: float = @q>(m)
        }"""
    before = model("r = Tanh(X) Y = net.gem<p=2.5, q=0.4>(r)", power, gem)
    result = rewritten(before)
    assert [f.op for f in result.report.findings if f.action == "rewritten"] == ["GeMPool"]
