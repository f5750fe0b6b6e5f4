"""Splicing: what a pass replaced is replaced, and everything else is equal, byte for byte."""

from collections.abc import Iterable
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
import onnx_graphsurgeon as gs
import onnxruntime
import pytest
from onnx import GraphProto, TensorProto, helper, parser

from onnxpool.model.file import ModelFile
from onnxpool.model.scope import Scope, unique_name

Array = npt.NDArray[Any]
Named = onnx.NodeProto | onnx.TensorProto


def metadata(proto: Any, text: str) -> None:
    proto.metadata_props.add(key="about", value=text)
    proto.doc_string = f"doc of {text}"


def rich_model() -> onnx.ModelProto:
    """A model with everything that graphsurgeon's own export drops, or orders in its own way."""
    proto = parser.parse_model("""
        <ir_version: 13, opset_import: ["" : 21, "com.example" : 3, "unused.domain" : 7],
         producer_name: "someone", producer_version: "1", domain: "d", model_version: 5>
        g (float[2,8] x, float[8] overridable) => (float[2,8] y, float[2,8] other)
        <float[8] overridable = {1,2,3,4,5,6,7,8}, float[1] old = {3}, float[1] shared = {2},
         float[1] unused = {9}> {
            [first] a = Relu(x)
            [victim] b = Mul(a, old)
            [third] c = Add(b, shared)
            [custom] d = com.example.Thing <blob: string = "text"> (c)
            [call] e = com.example.f <alpha: float = 0.5> (c)
            [last] y = Add(e, overridable)
            other = Sub(d, e)
        }
        <domain: "com.example", opset_import: ["" : 21], doc_string: "kept">
        f <alpha> (p) => (q) { q = LeakyRelu <alpha: float = @alpha> (p) }
    """)
    graph = proto.graph
    metadata(proto, "model")
    metadata(graph, "graph")
    for message in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        metadata(message, message.name)
    for name in ("a", "b", "c", "d", "e"):
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 8])
        metadata(value, name)
        graph.value_info.append(value)
    metadata(proto.functions[0], "function")
    metadata(proto.functions[0].node[0], "function node")
    sparse = graph.sparse_initializer.add(dims=[8])
    sparse.values.CopyFrom(helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0]))
    sparse.indices.CopyFrom(helper.make_tensor("", TensorProto.INT64, [1], [3]))
    graph.node.add(op_type="Add", name="reads_sparse", input=["y", "sparse"], output=["z"])
    thing = graph.node[3]
    thing.attribute.add(name="blob", type=onnx.AttributeProto.STRING, s=b"\xff\x00\xfe")
    del thing.attribute[0]
    thing.attribute.append(
        helper.make_attribute("of_type", helper.make_tensor_type_proto(TensorProto.FLOAT, [2]))
    )
    thing.attribute.append(helper.make_attribute("tensors", list(graph.initializer[:2])))
    thing.device_configurations.add(configuration_id="c")
    for name in ("b", "c"):
        annotation = graph.quantization_annotation.add(tensor_name=name)
        annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="shared")
    training = proto.training_info.add()
    training.initialization_binding.add(key="shared", value="start")
    return proto


def replace_with(scope: Scope, node: gs.Node, *new: gs.Node) -> None:
    """Put `new` nodes in the place of `node`; the last one takes over its outputs."""
    outputs = list(node.outputs)
    index = next(i for i, n in enumerate(scope.graph.nodes) if n is node)
    node.inputs.clear()
    node.outputs.clear()
    new[-1].outputs.extend(outputs)
    scope.graph.nodes[index : index + 1] = new


def named(scope: Scope, name: str) -> gs.Node:
    return next(node for node in scope.graph.nodes if node.name == name)


def constant(scope: Scope, base: str, values: npt.ArrayLike) -> gs.Constant:
    return gs.Constant(unique_name(scope, base), np.asarray(values))


def replace_victim(model_file: ModelFile) -> None:
    """Replace Mul(a, old) by Add(Neg(a), new)."""
    scope = model_file.main
    victim = named(scope, "victim")
    between = gs.Variable(unique_name(scope, "b"))
    new = constant(scope, "old", np.array([4], np.float32))
    neg = gs.Node("Neg", unique_name(scope, "victim"), inputs=victim.inputs[:1], outputs=[between])
    replace_with(scope, victim, neg, gs.Node("Add", "added", inputs=[between, new]))


def by_name(protos: Iterable[Named]) -> dict[str, bytes]:
    return {
        getattr(p, "name", "") or getattr(p, "tensor_name", ""): p.SerializeToString(
            deterministic=True
        )
        for p in protos
    }


class TestLossless:
    @pytest.fixture
    def before(self) -> onnx.ModelProto:
        return rich_model()

    @pytest.fixture
    def after(self, before: onnx.ModelProto) -> onnx.ModelProto:
        model_file = ModelFile.from_proto(before)
        replace_victim(model_file)
        assert model_file.splice()
        assert not model_file.splice()
        model_file.check()
        return model_file.proto

    def test_nothing_to_splice(self, before: onnx.ModelProto) -> None:
        model_file = ModelFile.from_proto(before)
        assert not model_file.splice()
        assert model_file.proto.SerializeToString() == before.SerializeToString()

    def test_the_order_of_the_nodes(self, after: onnx.ModelProto) -> None:
        assert [node.name for node in after.graph.node] == [
            "first", "victim_1", "added", "third", "custom", "call", "last", "", "reads_sparse",
        ]  # fmt: skip

    def test_the_new_nodes(self, after: onnx.ModelProto) -> None:
        neg, add = after.graph.node[1:3]
        assert (neg.op_type, list(neg.input), list(neg.output)) == ("Neg", ["a"], ["b_1"])
        assert (add.op_type, list(add.input), list(add.output)) == ("Add", ["b_1", "old_1"], ["b"])

    def test_all_other_nodes(self, before: onnx.ModelProto, after: onnx.ModelProto) -> None:
        old, new = by_name(before.graph.node), by_name(after.graph.node)
        del old["victim"]
        assert old.items() <= new.items()
        assert len(new) == len(old) + 2

    def test_initializers(self, before: onnx.ModelProto, after: onnx.ModelProto) -> None:
        old, new = by_name(before.graph.initializer), by_name(after.graph.initializer)
        del old["old"]
        added = new.pop("old_1")
        assert old == new
        np.testing.assert_array_equal(
            onnx.numpy_helper.to_array(TensorProto.FromString(added)), np.array([4], np.float32)
        )

    def test_everything_else(self, before: onnx.ModelProto, after: onnx.ModelProto) -> None:
        """Equal once the replaced nodes and their initializers are taken out of both."""
        for proto in (before, after):
            del proto.graph.node[:]
            del proto.graph.initializer[:]
        assert before.SerializeToString(deterministic=True) == after.SerializeToString(
            deterministic=True
        )

    def test_what_the_new_graph_no_longer_has_is_forgotten(self, before: onnx.ModelProto) -> None:
        model_file = ModelFile.from_proto(before)
        scope = model_file.main
        third, victim = named(scope, "third"), named(scope, "victim")
        new = gs.Node("Neg", inputs=victim.inputs[:1])
        replace_with(scope, third, new)
        victim.inputs.clear()
        victim.outputs.clear()
        scope.graph.nodes.remove(victim)
        model_file.splice()
        graph = model_file.proto.graph
        assert [v.name for v in graph.value_info] == ["a", "c", "d", "e"]
        assert [a.tensor_name for a in graph.quantization_annotation] == ["c"]
        # "shared" has no reader left but an annotation and the training; "unused" never had one.
        names = [t.name for t in graph.initializer]
        assert names == ["overridable", "shared", "unused"]

    def test_an_overridable_initializer_without_reader_stays(self, before: onnx.ModelProto) -> None:
        model_file = ModelFile.from_proto(before)
        last = named(model_file.main, "last")
        replace_with(model_file.main, last, gs.Node("Neg", inputs=last.inputs[:1]))
        model_file.splice()
        assert "overridable" in [t.name for t in model_file.proto.graph.initializer]
        assert "overridable" in [v.name for v in model_file.proto.graph.input]

    def test_an_unread_sparse_initializer_goes(self, before: onnx.ModelProto) -> None:
        model_file = ModelFile.from_proto(before)
        node = named(model_file.main, "reads_sparse")
        replace_with(model_file.main, node, gs.Node("Neg", inputs=node.inputs[:1]))
        model_file.splice()
        assert not model_file.proto.graph.sparse_initializer


BODIES = """
<ir_version: 9, opset_import: ["" : 17]>
g (bool c, float[2,8] x) => (float[2,8] y) <float[1] w = {2}, float[1] k = {3}> {
    r = Relu(x)
    y = If (c) <
        then_branch = t () => (float[2,8] t1) { t1 = Mul(r, k) },
        else_branch = e () => (float[2,8] e1) {
            [kept] e0 = Mul(r, k)
            e1 = If (c) <
                then_branch = tt () => (float[2,8] tt1) { [deep] tt1 = Mul(e0, w) },
                else_branch = ee () => (float[2,8] ee1) { [other] ee1 = Abs(x) }
            >
        }
    >
}
"""


class TestBodies:
    def deep(self, model_file: ModelFile) -> Scope:
        return next(s for s in model_file.scopes if s.graph.nodes[0].name == "deep")

    def test_a_change_two_bodies_down(self) -> None:
        before = parser.parse_model(BODIES)
        model_file = ModelFile.from_proto(before)
        scope = self.deep(model_file)
        node = scope.graph.nodes[0]
        new = constant(scope, "w", np.array([5], np.float32))
        replace_with(scope, node, gs.Node("Add", inputs=[node.inputs[0], new]))
        assert model_file.splice()
        model_file.check()
        inner = model_file.proto.graph.node[1].attribute
        body = next(a.g for a in inner if a.name == "else_branch").node[1].attribute
        then = next(a.g for a in body if a.name == "then_branch")
        assert then is not None
        assert [n.op_type for n in then.node] == ["Add"]
        assert list(then.node[0].input) == ["e0", "w_1"]
        assert [t.name for t in then.initializer] == ["w_1"]
        # Only `deep` read w, two levels further out; k has a reader in a body.
        assert [t.name for t in model_file.proto.graph.initializer] == ["k"]
        x = np.ones((2, 8), np.float32)
        (y,) = run(model_file.proto, {"c": np.array(False), "x": x})
        np.testing.assert_array_equal(y, run(before, {"c": np.array(False), "x": x})[0])

    def test_changes_in_all_scopes_at_once_and_again(self) -> None:
        model_file = ModelFile.from_proto(parser.parse_model(BODIES))
        for _ in range(2):
            for scope in model_file.scopes:
                node = scope.graph.nodes[0]
                between = gs.Variable(unique_name(scope, "between"))
                negated = gs.Node("Neg", inputs=node.inputs[:1], outputs=[between])
                replace_with(scope, node, negated, gs.Node("Neg", inputs=[between]))
            assert model_file.splice()
            model_file.check()
        for scope in model_file.scopes:
            assert [n.op_type for n in scope.proto.node][:3] == ["Neg", "Neg", "Neg"]
        x = np.full((2, 8), -1, np.float32)
        (y,) = run(model_file.proto, {"c": np.array(True), "x": x})
        np.testing.assert_array_equal(y, x)


FUNCTIONS = """
<ir_version: 9, opset_import: ["" : 17, "d" : 1]>
g (float[2,8] x) => (float[2,8] y) { y = d.f(x) }
<domain: "d", opset_import: ["" : 17]>
f (a) => (b) { [kept] r = Relu(a)  [old] b = Neg(r) }
"""


class TestConstants:
    @pytest.mark.parametrize(
        "text",
        [
            FUNCTIONS,
            '<ir_version: 3, opset_import: ["" : 8]> g (float[2,8] x) => (float[2,8] y)'
            " { [kept] r = Relu(x)  [old] y = Neg(r) }",
        ],
        ids=["function", "IR 3"],
    )
    def test_are_nodes_where_initializers_cannot_be(self, text: str) -> None:
        model_file = ModelFile.from_proto(parser.parse_model(text))
        scope = model_file.scopes[0]
        kept = scope.proto.node[0].SerializeToString()
        old = named(scope, "old")
        five = constant(scope, "five", np.array([5], np.float32))
        between = gs.Variable(unique_name(scope, "between"))
        replace_with(
            scope,
            old,
            gs.Node("Mul", inputs=[old.inputs[0], five], outputs=[between]),
            gs.Node("Mul", inputs=[between, five]),
        )
        model_file.splice()
        model_file.check()
        assert [n.op_type for n in scope.proto.node] == ["Relu", "Constant", "Mul", "Mul"]
        assert [n.op for n in scope.graph.nodes] == ["Relu", "Constant", "Mul", "Mul"]
        assert scope.proto.node[0].SerializeToString() == kept
        assert not model_file.splice()
        x = np.ones((2, 8), np.float32)
        np.testing.assert_array_equal(run(model_file.proto, {"x": x})[0], 25 * x)
        # A second change keeps the constant that the first one stored.
        last = scope.graph.nodes[-1]
        replace_with(scope, last, gs.Node("Neg", inputs=last.inputs[:1]))
        model_file.splice()
        np.testing.assert_array_equal(run(model_file.proto, {"x": x})[0], -5 * x)

    def test_an_initializer_of_ir_3_goes_with_its_input(self) -> None:
        proto = parser.parse_model(
            '<ir_version: 3, opset_import: ["" : 8]> g (float[2] x, float[2] w) => (float[2] y)'
            " <float[2] w = {1, 2}> { [old] y = Mul(x, w) }"
        )
        model_file = ModelFile.from_proto(proto)
        old = named(model_file.main, "old")
        replace_with(model_file.main, old, gs.Node("Neg", inputs=old.inputs[:1]))
        model_file.splice()
        model_file.check()
        assert [v.name for v in model_file.proto.graph.input] == ["x"]
        assert not model_file.proto.graph.initializer

    @pytest.mark.parametrize(
        "values",
        [
            np.array([1.5, -2], ml_dtypes.bfloat16),
            np.array([1.5, -2], np.float16),
            np.array(3, np.int64),
            np.array([], np.float32),
            np.arange(6.0).reshape(3, 2).T,
        ],
        ids=lambda values: f"{values.dtype}{values.shape}",
    )
    @pytest.mark.parametrize("text", [BODIES, FUNCTIONS], ids=["initializer", "node"])
    def test_keep_dtype_shape_and_values(self, values: Array, text: str) -> None:
        model_file = ModelFile.from_proto(parser.parse_model(text))
        scope = model_file.scopes[0]
        node = scope.graph.nodes[-1]
        new = constant(scope, "new", values)
        replace_with(scope, node, gs.Node("Add", inputs=[node.inputs[0], new]))
        model_file.splice()
        if isinstance(scope.proto, GraphProto):
            (stored,) = scope.proto.initializer
        else:
            stored = scope.proto.node[-2].attribute[0].t
        assert stored.name == "new"
        read = onnx.numpy_helper.to_array(stored)
        assert (read.dtype, read.shape) == (values.dtype, values.shape)
        np.testing.assert_array_equal(read, values)

    def test_one_constant_read_twice_is_stored_once(self) -> None:
        model_file = ModelFile.from_proto(parser.parse_model(BODIES))
        scope = model_file.main
        relu = scope.graph.nodes[0]
        new = constant(scope, "new", np.ones(1, np.float32))
        between = gs.Variable(unique_name(scope, "between"))
        replace_with(
            scope,
            relu,
            gs.Node("Add", inputs=[relu.inputs[0], new], outputs=[between]),
            gs.Node("Mul", inputs=[between, new]),
        )
        model_file.splice()
        assert [t.name for t in scope.proto.initializer] == ["w", "k", "new"]

    def test_a_stored_constant_is_used_by_its_name(self) -> None:
        model_file = ModelFile.from_proto(parser.parse_model(BODIES))
        scope = model_file.scopes[0]
        node = scope.graph.nodes[-1]
        replace_with(scope, node, gs.Node("Add", inputs=[node.inputs[0], node.inputs[1]]))
        model_file.splice()
        assert list(scope.proto.node[-1].input) == ["r", "k"]
        assert not scope.proto.initializer

    def test_one_without_a_name_is_a_mistake_of_the_pass(self) -> None:
        model_file = ModelFile.from_proto(parser.parse_model(BODIES))
        node = model_file.main.graph.nodes[0]
        new = gs.Constant("", np.ones(1, np.float32))
        replace_with(model_file.main, node, gs.Node("Add", inputs=[node.inputs[0], new]))
        with pytest.raises(ValueError, match="main graph: Add node '' reads a constant without"):
            model_file.splice()


def test_new_domains_are_imported_where_they_are_used() -> None:
    model_file = ModelFile.from_proto(parser.parse_model(FUNCTIONS))
    function, main = model_file.scopes
    old = named(function, "old")
    pool = gs.Node("GeMPool", domain="onnxpool", inputs=old.inputs[:1])
    replace_with(function, old, pool)
    model_file.splice()
    assert {o.domain: o.version for o in function.proto.opset_import} == {"": 17, "onnxpool": 1}
    assert {o.domain: o.version for o in model_file.proto.opset_import} == {"": 17, "d": 1}
    call = main.graph.nodes[0]
    replace_with(main, call, gs.Node("Anything", domain="com.example", inputs=call.inputs[:1]))
    model_file.splice()
    assert {o.domain: o.version for o in model_file.proto.opset_import} == {
        "": 17,
        "d": 1,
        "com.example": 1,
    }


def test_a_node_that_moved_is_not_exported_again() -> None:
    before = parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 17]> g (float[2] x) => (float[2] y, float[2] z)'
        " { [one] y = Neg(x)  [two] z = Abs(x) }"
    )
    metadata(before.graph.node[0], "one")
    model_file = ModelFile.from_proto(before)
    model_file.main.graph.nodes.reverse()
    assert model_file.splice()
    wanted = [node.SerializeToString() for node in reversed(before.graph.node)]
    assert [node.SerializeToString() for node in model_file.proto.graph.node] == wanted


def test_changing_a_node_of_the_model_is_a_mistake_of_the_pass() -> None:
    model_file = ModelFile.from_proto(parser.parse_model(BODIES))
    relu = model_file.main.graph.nodes[0]
    relu.inputs[0] = gs.Variable("something")
    with pytest.raises(ValueError, match="changed the inputs or outputs of Relu node"):
        model_file.splice()


def run(proto: onnx.ModelProto, inputs: dict[str, Array]) -> list[Array]:
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)
