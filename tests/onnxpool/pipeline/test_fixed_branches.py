"""Fixed sizes that fit one branch alone: what ONNX Runtime does not load is not written."""

import numpy as np
import onnx.parser
import pytest

import onnxpool
from onnxpool.errors import CheckError
from onnxpool.model import shapes
from onnxpool.model.file import ModelFile
from onnxpool.model.known_branches import take_branches
from onnxpool.rewrites.graph.run import Runner

SQUEEZES = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[B,L] X) => (float[] Y)
    <int64[1] last = {-1}, int64 one = {1}>
    { shape = Shape(X) length = Gather(shape, last) single = Squeeze(length) c = Equal(single, one)
      Y = If(c) <then_branch = t () => (float[] s) { s = Squeeze(X, last) },
                 else_branch = e () => (float[] i) { i = Identity(X) }> }"""


SAME_NAMES = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[B,L] X, bool flag) => (float[] Y, float[] Z, float[] W)
    <int64[1] last = {-1}, int64 one = {1}, float s = {3}>
    { shape = Shape(X) length = Gather(shape, last) single = Squeeze(length) c = Equal(single, one)
      V = If(flag) <
          then_branch = outer () => (float[] O) {
              P, Q = If(c) <
                  then_branch = t () => (float[] p, float[] q)
                      <float[1] r = {5}>
                      { p = Squeeze(X, last) q = Add(p, r) },
                  else_branch = e () => (float[] p, float[] n)
                      <float[1] r = {7}>
                      { n = Mul(X, r) p = Mul(n, s) }>
              O = Add(P, Q) },
          else_branch = other () => (float[] p) { p = Mul(X, s) }>
      Y = Identity(V) r = Relu(V) Z = Neg(r) W = Add(Z, s) }"""


def test_the_branch_that_is_taken_stands_in_the_place_of_one_that_no_longer_loads() -> None:
    model = onnx.parser.parse_model(SQUEEZES)
    fixed = onnxpool.rewrite(model, input_shapes={"X": (1, 2)}).model
    assert [node.op_type for node in fixed.graph.node] == ["Identity"]
    x = np.array([[3.0, 4.0]], np.float32)
    np.testing.assert_array_equal(Runner(fixed)({"X": x})[0], x)


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("flag", [False, True])
def test_a_branch_in_a_branch(flag: bool, length: int) -> None:
    """Names in the branches are those of other tensors, too."""
    model = onnx.parser.parse_model(SAME_NAMES)
    fixed = onnxpool.rewrite(model, input_shapes={"X": (3, length)}).model
    (outer,) = (node for node in fixed.graph.node if node.op_type == "If")
    assert not any(n.op_type == "If" for a in outer.attribute for n in a.g.node)
    inputs = {"X": np.arange(3.0 * length, dtype=np.float32).reshape(3, length)}
    inputs["flag"] = np.array(flag)
    for found, wanted in zip(Runner(fixed)(inputs), Runner(model)(inputs), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_condition_that_was_constant_before() -> None:
    """What its own constants decide: the branch that is not taken may not load any more, too."""
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[B,L] X) => (float[] Y)
        <int64 rate = {16}, int64 k = {16}, int64[1] last = {-1}, int64[2] unread = {1, 2}>
        { c = Equal(rate, k)
          Y = If(c) <then_branch = t () => (float[] s) { s = Neg(X) },
                     else_branch = e () => (float[] i) { i = Squeeze(X, last) }> }""")
    fixed = onnxpool.rewrite(model, input_shapes={"X": (3, 2)}).model
    assert [node.op_type for node in fixed.graph.node] == ["Neg"]
    assert [tensor.name for tensor in fixed.graph.initializer] == ["unread"]
    x = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(Runner(fixed)({"X": x})[0], -x)


def test_a_condition_that_a_caller_may_set_is_open() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[B,L] X, bool c = {1}) => (float[] Y)
        { Y = If(c) <then_branch = t () => (float[] s) { s = Neg(X) },
                     else_branch = e () => (float[] i) { i = Abs(X) }> }""")
    fixed = onnxpool.rewrite(model, input_shapes={"X": (3, 2)}).model
    assert [node.op_type for node in fixed.graph.node] == ["If"]
    frozen = onnxpool.rewrite(model, input_shapes={"X": (3, 2)}, freeze_inputs="all").model
    assert [node.op_type for node in frozen.graph.node] == ["Neg"]


@pytest.mark.parametrize("lengths", [(1, 2), (2, 1)])
@pytest.mark.parametrize("flag", [False, True])
def test_conditions_of_one_name_in_two_branches(flag: bool, lengths: tuple[int, int]) -> None:
    def branch(name: str, x: str) -> str:
        return f"""{name} () => (float[] O) {{
            shape = Shape({x}) length = Gather(shape, last) single = Squeeze(length)
            c = Equal(single, one)
            O = If(c) <then_branch = t () => (float[] p) {{ p = Squeeze({x}, last) }},
                       else_branch = e () => (float[] p) {{ p = Neg({x}) }}> }}"""

    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[B,L] X, float[B,M] Z, bool flag) => (float[] Y)
        <int64[1] last = {{-1}}, int64 one = {{1}}>
        {{ Y = If(flag) <then_branch = {branch("a", "X")}, else_branch = {branch("b", "Z")}> }}""")
    shapes = {"X": (3, lengths[0]), "Z": (3, lengths[1])}
    fixed = onnxpool.rewrite(model, input_shapes=shapes).model
    (outer,) = fixed.graph.node
    assert [len(a.g.node) for a in outer.attribute] == [1, 1]
    inputs = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    inputs["flag"] = np.array(flag)
    np.testing.assert_array_equal(Runner(fixed)(inputs)[0], Runner(model)(inputs)[0])


def test_two_branches_one_after_the_other() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[B,L] X) => (float[] Y) <int64 rate = {16}, int64 k = {16}, float[1] w = {3}>
        { c = Equal(rate, k)
          P = If(c) <then_branch = t () => (float[] s) { s = Neg(X) },
                     else_branch = e () => (float[] s) { s = Add(X, w) }>
          d = Not(c)
          Y = If(d) <then_branch = t () => (float[] s) { s = Abs(P) },
                     else_branch = e () => (float[] s) { s = Exp(P) }> }""")
    fixed = onnxpool.rewrite(model, input_shapes={"X": (1, 2)}).model
    assert [node.op_type for node in fixed.graph.node] == ["Neg", "Exp"]
    assert not fixed.graph.initializer
    x = np.array([[3.0, -4.0]], np.float32)
    np.testing.assert_array_equal(Runner(fixed)({"X": x})[0], Runner(model)({"X": x})[0])


def test_a_target_without_if_gets_the_branch_that_is_taken() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 16]>
        g (float[1,2] X) => (float[1,2] Y) <int64 rate = {16}, int64 k = {16}>
        { c = Equal(rate, k)
          Y = If(c) <then_branch = t () => (float[1,2] s) { s = Neg(X) },
                     else_branch = e () => (float[1,2] s) { s = Abs(X) }> }""")
    result = onnxpool.rewrite(model, target="rknn").model
    assert [node.op_type for node in result.graph.node] == ["Neg"]


def test_two_windows_for_two_rates() -> None:
    """The branch of the other rate does not load at this size."""

    def branch(name: str, width: int) -> str:
        return f"""{name} () => (float[] y) <float[1,1,{width}] w = {{{",".join("1" * width)}}}> {{
            u = Unsqueeze(X, one) v = Conv<strides = [{width}]>(u, w)
            n = Shape(v) l = Gather(n, last) q = Equal(l, single)
            f = If(q) <then_branch = t () => (float[] s) {{ s = Squeeze(v, lasts) }},
                       else_branch = e () => (float[] i) {{ i = Identity(v) }}>
            y = Gemm(f, m) }}"""

    model = onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 16]>
        g (float[B,L] X, int64 rate = {{16000}}) => (float[] Y)
        <int64[1] one = {{1}}, int64 last = {{-1}}, int64[1] lasts = {{-1}}, int64 single = {{1}},
         int64 high = {{16000}}, float[1,1] m = {{2}}>
        {{ c = Equal(rate, high)
           Y = If(c) <then_branch = {branch("a", 6)}, else_branch = {branch("b", 3)}> }}""")
    with pytest.raises(CheckError, match=r"Gemm.*--freeze-inputs"):
        onnxpool.rewrite(model, input_shapes={"X": (1, 6)})
    fixed = onnxpool.rewrite(model, input_shapes={"X": (1, 6)}, freeze_inputs="rate").model
    assert "If" not in {node.op_type for node in fixed.graph.node}
    x = np.arange(6, dtype=np.float32)[None]
    np.testing.assert_array_equal(Runner(fixed)({"X": x})[0], Runner(model)({"X": x})[0])


def test_a_branch_that_does_not_load_under_an_open_condition_is_refused() -> None:
    text = SQUEEZES.replace("X) => (float[] Y)", "X, bool c) => (float[] Y)")
    model = onnx.parser.parse_model(text.replace("c = Equal(single, one)", ""))
    with pytest.raises(
        CheckError, match=r"loads the model as it came, and not the result.*Squeeze"
    ):
        onnxpool.rewrite(model, input_shapes={"X": (1, 2)})


def test_sizes_that_fit_both_branches_are_fixed() -> None:
    model = onnx.parser.parse_model(SQUEEZES)
    fixed = onnxpool.rewrite(model, input_shapes={"X": (3, 1)}).model
    x = np.ones((3, 1), np.float32)
    assert Runner(fixed)({"X": x})[0].shape == Runner(model)({"X": x})[0].shape == (3,)


def test_a_branch_in_a_function() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        g (float[2] X) => (float[2] Y) { Y = own.f(X) }
        <domain: "own", opset_import: ["" : 17]>
        f (X) => (Y) {
            c = Constant<value = bool {1}>()
            Y = If(c) <then_branch = t () => (float[2] p) <float s = {3}> { p = Mul(X, s) },
                       else_branch = e () => (float[2] p) { p = Neg(X) }> }""")
    file = ModelFile.from_proto(model)
    shapes.infer(file)
    assert take_branches(file)
    taken = file.reimported()
    assert [node.op_type for node in taken.proto.functions[0].node] == ["Constant", "Mul"]
    x = np.array([1, 2], np.float32)
    np.testing.assert_array_equal(Runner(taken.proto)({"X": x})[0], 3 * x)
    shapes.infer(taken)
    assert not take_branches(taken)
