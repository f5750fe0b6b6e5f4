"""diff: what is the same under other names, and each way in which something is not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxpool
from onnxpool.errors import ModelError
from onnxpool.model.diff import Diff, diff
from tests.onnxpool.conftest import Run

MODELS = Path(__file__).parents[3] / "models"
EXPORTS = ("ppm", "gem", "adaptive_avg_2d")


def model() -> onnx.ModelProto:
    """Two convolutions with a Relu and a pool between them."""
    weights = {
        name: np.arange(3 * 3, dtype=np.float32).reshape(3, 3, 1, 1) for name in ("w1", "w2")
    }
    weights["w2"] = weights["w2"] + 1
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], "first"),
        helper.make_node("Relu", ["c1"], ["r"], "relu"),
        helper.make_node("MaxPool", ["r"], ["p"], "pool", kernel_shape=[2, 2]),
        helper.make_node("Conv", ["p", "w2"], ["y"], "second"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "main",
        [value("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [value("y", TensorProto.FLOAT, [1, 3, 7, 7])],
        [numpy_helper.from_array(w, name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def changed(act: Callable[[onnx.GraphProto], Any]) -> Diff:
    other = model()
    act(other.graph)
    onnx.checker.check_model(other)
    return diff(model(), other)


def rename(given: onnx.ModelProto, ends: bool = False) -> onnx.ModelProto:
    """The same with other names for nodes, tensors and constants; and inputs and outputs."""
    other = onnx.ModelProto()
    other.CopyFrom(given)
    graph = other.graph
    kept = {""} if ends else {"", *(v.name for v in (*graph.input, *graph.output))}

    def new(name: str) -> str:
        return name if name in kept else f"{name}_renamed"

    for node in graph.node:
        node.name = f"node of {node.name}"
        node.input[:] = map(new, node.input)
        node.output[:] = map(new, node.output)
    for value in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
        value.name = new(value.name)
    return other


@pytest.mark.parametrize("name", EXPORTS)
def test_a_model_is_the_same_as_itself(name: str) -> None:
    found = diff(MODELS / f"{name}.onnx", MODELS / f"{name}.onnx")
    assert found.same
    assert found.same_nodes == found.nodes[0] == found.nodes[1]


@pytest.mark.parametrize("name", EXPORTS)
def test_names_are_no_difference(name: str) -> None:
    given = onnx.load(MODELS / f"{name}.onnx")
    found = diff(given, rename(given))
    assert found.same
    assert found.same_nodes == found.nodes[0]


def test_names_of_inputs_and_outputs_are() -> None:
    found = diff(model(), rename(model(), ends=True))
    assert [fact.what for fact in found.model] == [
        "input 'x'",
        "output 'y'",
        "input 'x_renamed'",
        "output 'y_renamed'",
    ]
    assert (found.same_nodes, found.replaced, found.changed) == (4, (), ())


def test_the_order_of_the_nodes_is_no_difference() -> None:
    # ReduceMax and ReduceMin of one tensor, either first.
    nodes = [helper.make_node(op, ["x"], [op], keepdims=0) for op in ("ReduceMax", "ReduceMin")]
    value = helper.make_tensor_value_info
    models = []
    for order in (nodes, nodes[::-1]):
        add = helper.make_node("Add", ["ReduceMax", "ReduceMin"], ["y"])
        ends = [value("x", TensorProto.FLOAT, [2, 2])], [value("y", TensorProto.FLOAT, [])]
        graph = helper.make_graph([*order, add], "main", *ends)
        imports = [helper.make_opsetid("", 17)]
        models.append(helper.make_model(graph, opset_imports=imports, ir_version=8))
    assert diff(*models).same


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize("renamed", [False, True])
def test_every_node_is_accounted_for(name: str, renamed: bool) -> None:
    given = onnx.load(MODELS / f"{name}.onnx")
    written = onnxpool.rewrite(given, strategy="pool").model
    found = diff(given, rename(written) if renamed else written)
    told = [found.same_nodes + len(found.changed)] * 2
    for each in found.replaced:
        told = [told[0] + sum(each.before.values()), told[1] + sum(each.after.values())]
    assert told == [len(given.graph.node), len(written.graph.node)] == list(found.nodes)
    ops = [[n.op_type for n in m.graph.node] for m in (given, written)]
    assert all(found.ops[op] == (ops[0].count(op), ops[1].count(op)) for op in found.ops)


def test_a_rewritten_region_is_told_and_nothing_else() -> None:
    given = onnx.load(MODELS / "adaptive_avg_2d.onnx")
    found = diff(given, onnxpool.rewrite(given).model)
    (replaced,) = found.replaced
    assert "GatherND" in replaced.before
    assert found.model == ()
    assert found.changed == ()


def test_another_attribute() -> None:
    def act(graph: onnx.GraphProto) -> None:
        graph.node[2].attribute.append(helper.make_attribute("strides", [2, 2]))
        graph.output[0].type.tensor_type.shape.dim[2].dim_value = 4
        graph.output[0].type.tensor_type.shape.dim[3].dim_value = 4

    found = changed(act)
    (pool,) = found.changed
    assert (pool.node, pool.op, pool.changes) == ("pool", "MaxPool", ("strides absent → [2, 2]",))
    assert [(s.what, s.before, s.after) for s in found.shapes] == [
        ("tensor 'p'", "float 1x3x7x7", "float 1x3x4x4"),
        ("tensor 'y'", "float 1x3x7x7", "float 1x3x4x4"),
    ]
    assert found.replaced == ()
    assert found.same_nodes == 3


def test_other_weights() -> None:
    def act(graph: onnx.GraphProto) -> None:
        graph.initializer[1].CopyFrom(numpy_helper.from_array(np.ones((3, 3, 1, 1), "f"), "w2"))

    found = changed(act)
    (conv,) = found.changed
    assert (conv.node, conv.changes) == ("second", ("other values in 'w2'",))
    (constant,) = found.constants
    assert constant.after == "float 3x3x1x1, other values"


def test_a_node_more_and_a_node_less() -> None:
    def insert(graph: onnx.GraphProto) -> None:
        graph.node.insert(3, helper.make_node("Neg", ["p"], ["n"], "neg"))
        graph.node[4].input[0] = "n"

    found = changed(insert)
    assert [(each.at, each.before, each.after) for each in found.replaced] == [
        (("n",), {}, {"Neg": 1})
    ]
    assert found.ops == {"Neg": (0, 1)}

    def remove(graph: onnx.GraphProto) -> None:
        del graph.node[1]
        graph.node[1].input[0] = "c1"

    found = changed(remove)
    assert [(each.at, each.before, each.after) for each in found.replaced] == [
        (("r",), {"Relu": 1}, {})
    ]


def test_another_op_in_its_place() -> None:
    def act(graph: onnx.GraphProto) -> None:
        graph.node[1].op_type = "Sigmoid"

    (each,) = changed(act).replaced
    assert (each.at, each.before, each.after) == (("r",), {"Relu": 1}, {"Sigmoid": 1})


def test_facts_about_the_model() -> None:
    other = model()
    other.opset_import[0].version = 18
    other.producer_name = "someone"
    for value in (other.graph.input[0], other.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "s7"
    found = {fact.what: (fact.before, fact.after) for fact in diff(model(), other).model}
    assert found == {
        "opset": ("17", "18"),
        "producer": ("", "someone"),
        "input 'x'": ("float 1x3x8x8", "float Nx3x8x8"),
        "output 'y'": ("float 1x3x7x7", "float Nx3x7x7"),
    }


def test_bodies_are_compared_as_graphs_of_their_own() -> None:
    def branch(op: str) -> onnx.ModelProto:
        value = helper.make_tensor_value_info
        y = value("y", TensorProto.FLOAT, [2])
        bodies = [
            helper.make_graph(
                [helper.make_node(each, ["x"], [f"{each}_y"])],
                "body",
                [],
                [value(f"{each}_y", TensorProto.FLOAT, [2])],
            )
            for each in (op, "Relu")
        ]
        choose = helper.make_node(
            "If", ["c"], ["y"], "choose", then_branch=bodies[0], else_branch=bodies[1]
        )
        inputs = [value("x", TensorProto.FLOAT, [2]), value("c", TensorProto.BOOL, [])]
        graph = helper.make_graph([choose], "main", inputs, [y])
        imports = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)

    (each,) = diff(branch("Neg"), branch("Abs")).replaced
    assert "then_branch" in each.scope
    assert (each.before, each.after) == ({"Neg": 1}, {"Abs": 1})


def test_a_model_that_cannot_be_read() -> None:
    with pytest.raises(ModelError, match=r"nowhere\.onnx: no such file"):
        diff(model(), "nowhere.onnx")


def test_command_line(run: Run, tmp_path: Path) -> None:
    out, facts = tmp_path / "out.onnx", tmp_path / "facts.json"
    source = MODELS / "adaptive_avg_2d.onnx"
    onnxpool.rewrite(source).save(out)
    status, text, errors = run("diff", source, source, "--exit-code")
    assert (status, errors) == (0, "")
    assert "the same: " in text
    status, text, errors = run("diff", source, out, "--json", facts)
    assert (status, errors) == (0, "")
    assert "replaced: " in text
    assert "GatherND 1 → 0" in text
    told = json.loads(facts.read_text("utf-8"))
    assert not told["same"]
    assert run("diff", source, out, "--exit-code")[0] == 1
    assert run("diff", source, out, "-q")[:2] == (0, "")
