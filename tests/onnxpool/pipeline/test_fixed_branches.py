"""Fixed sizes that fit one branch alone: what ONNX Runtime does not load is not written."""

import numpy as np
import onnx.parser
import pytest

import onnxpool
from onnxpool.errors import CheckError
from onnxpool.model.known_branches import known_conditions, take_branches
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


def test_a_condition_that_was_constant_before_is_left() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[B,L] X) => (float[] Y, int64[1] S) <bool c = {1}, int64[1] last = {-1}>
        { shape = Shape(X) S = Gather(shape, last)
          Y = If(c) <then_branch = t () => (float[] s) { s = Neg(X) },
                     else_branch = e () => (float[] i) { i = Identity(X) }> }""")
    fixed = onnxpool.rewrite(model, input_shapes={"X": (3, 2)}).model
    assert [node.op_type for node in fixed.graph.node] == ["Constant", "If"]


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
    conditions = known_conditions(model)
    assert conditions == {"c": True}
    assert take_branches(model, conditions)
    assert [node.op_type for node in model.functions[0].node] == ["Constant", "Mul"]
    x = np.array([1, 2], np.float32)
    np.testing.assert_array_equal(Runner(model)({"X": x})[0], 3 * x)
    assert not take_branches(model, known_conditions(model))
