"""Calls and branches put in place: the same outputs, and what stays is as it was.

The judge is ONNX Runtime, which inlines functions by itself.
"""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import parser
from onnx.reference import ReferenceEvaluator

from onnxpool.model.calls import Key, key_of_function
from onnxpool.model.expand import (
    Expansion,
    Path,
    Step,
    called_functions,
    drop_uncalled,
    expand,
)
from onnxpool.model.names import Names

HEADER = '<ir_version: 8, opset_import: ["" : 17, "f" : 1]> g (float[2,3] X) => (float[2,3] Y)'
SCALE = """<opset_import: ["" : 17], domain: "f">
    scale <by: float = 2.0> (x, offset) => (y, z) {
        w = Constant<value_float: float = @by>() t = Mul(x, w) y = Add(t, offset) z = Identity(x)
    }"""
TWICE = """<opset_import: ["" : 17, "f" : 1], domain: "f">
    twice <by> (x) => (y) {
        zero = Constant<value_float=0.0>()
        t, u = f.scale<by: float = @by>(x, zero) y, z = f.scale(t, u)
    }"""
LOOPED = """<opset_import: ["" : 17, "f" : 1], domain: "f">
    looped (x) => (y) {
        n = Constant<value_int=3>() go = Constant<value = bool {1}>() t = Relu(x)
        y = Loop(n, go, x) <body = b (int64 i, bool on, v) => (still, w) {
            still = Identity(on) t2 = Add(v, t) w, unused = f.scale(t2, t) }>
    }"""
PASSED = """<opset_import: ["" : 17], domain: "f">
    passed (a, b) => (c, d, a) { c = Sub(a, b) d = Neg(c) }"""
MODELS = {
    "defaults and references": (
        "u = f.twice<by = 3.0>(X) v, w = f.scale(u, X) Y = Sub(v, w)",
        (SCALE, TWICE),
    ),
    "one function twice": ("u = f.twice<by=0.5>(X) Y = f.twice<by=4.0>(u)", (SCALE, TWICE)),
    "a body that reads around it": ("u = f.looped(X) Y = f.looped(u)", (SCALE, LOOPED)),
    "a call in a branch": (
        """s = ReduceSum<keepdims=0>(X) zero = Constant<value_float=0.0>() c = Greater(s, zero)
        Y = If(c) <then_branch = a () => (p) { p, q = f.scale(X, s) },
                   else_branch = b () => (r) { r = f.twice<by=0.25>(X) }>""",
        (SCALE, TWICE),
    ),
}


def model(name: str) -> onnx.ModelProto:
    nodes, functions = MODELS[name]
    return parser.parse_model(f"{HEADER} {{ {nodes} }} {' '.join(functions)}")


def run(proto: onnx.ModelProto) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    x = np.random.default_rng(2).standard_normal((2, 3)).astype(np.float32)
    (y,) = ort.InferenceSession(proto.SerializeToString()).run(None, {"X": x})
    return np.asarray(y)


def functions_of(proto: onnx.ModelProto) -> dict[Key, onnx.FunctionProto]:
    return {
        key_of_function(f): f
        for f in onnx.ModelProto.FromString(proto.SerializeToString()).functions
    }


def expanded(proto: onnx.ModelProto, *paths: Path) -> Expansion:
    """Expand these calls, or all where none is named, and drop what is not called any more."""
    wanted = (lambda path: path in paths) if paths else (lambda path: not path[-1].body)
    before = called_functions(proto)
    done = expand(proto, proto.graph, functions_of(proto), wanted, Names(proto))
    drop_uncalled(proto, before)
    onnx.checker.check_model(proto, full_check=True)
    return done


@pytest.mark.parametrize("name", MODELS)
def test_every_call_in_its_place(name: str) -> None:
    proto = model(name)
    wanted = run(proto)
    expanded(proto)
    assert not proto.functions
    np.testing.assert_array_equal(run(proto), wanted)


def test_an_output_that_is_an_input_is_copied() -> None:
    """ONNX Runtime does not load such a function; onnx runs it."""
    nodes = "u, v, w = f.passed(X, X) y, unused, z = f.passed(w, v) Y = Add(y, z)"
    proto = parser.parse_model(f"{HEADER} {{ {nodes} }} {PASSED}")
    x = np.random.default_rng(2).standard_normal((2, 3)).astype(np.float32)
    (wanted,) = ReferenceEvaluator(proto).run(None, {"X": x})
    expanded(proto)
    np.testing.assert_array_equal(run(proto), wanted)


def test_one_call_of_several() -> None:
    proto = model("one function twice")
    before = onnx.ModelProto.FromString(proto.SerializeToString())
    done = expanded(proto, (Step("u"),), (Step("u"), Step("y")))
    assert done.calls == {("f", "twice", ""): 1, ("f", "scale", ""): 1}
    np.testing.assert_array_equal(run(proto), run(before))
    assert list(proto.functions) == list(before.functions)
    # The other call, and the call in the function that was put in place, stay.
    assert proto.graph.node[-1] == before.graph.node[-1]
    assert [node.op_type for node in proto.graph.node if node.domain] == ["scale", "twice"]


def test_addresses() -> None:
    proto = model("one function twice")
    done = expanded(proto)
    path = (Step("Y"), Step("y"))
    at = {a for a in done.addresses.values() if a.path == path}
    assert {a.output for a in at} == {"w", "t", "y", "z"}
    assert done.functions[path] == ("f", "scale", "")


def test_a_bound() -> None:
    proto = model("one function twice")
    wanted = run(proto)
    expand(proto, proto.graph, functions_of(proto), lambda _: True, Names(proto), most_nodes=7)
    np.testing.assert_array_equal(run(proto), wanted)
    assert 0 < len([node for node in proto.graph.node if node.domain]) < 4
