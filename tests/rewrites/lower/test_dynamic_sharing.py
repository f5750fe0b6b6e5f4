"""What the graph computes for sizes that it does not know is computed once, where all can read it;
and whole models with such nodes go through `onnxpool.rewrite`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxpool
from onnxpool.errors import CheckError
from onnxpool.ops import (
    COMPUTED,
    DOMAIN,
    AdaptiveAveragePool,
    AdaptiveMaxPool,
    GeMPool,
    Op,
    register_schemas,
)
from onnxpool.ops.op import Array, Claimed
from onnxpool.pipeline.piece import Piece
from onnxpool.rewrites.graph.run import Runner
from onnxpool.rewrites.lower import lower
from tests.rewrites.lower.lowered import run

FLOAT = np.dtype(np.float32)
INT64 = np.dtype(np.int64)
DYNAMIC = ("N", 3, "H", "W")
BOUNDS = ("Shape", "Range", "Div", "Less", "ReduceMax")


def tensor(name: str, shape: Any = DYNAMIC, dtype: Any = FLOAT) -> gs.Variable:
    return gs.Variable(name, dtype, shape)


def pool(op: Op, x: gs.Tensor, y: str, *parameters: gs.Tensor) -> gs.Node:
    shape = op.output_shapes(x.shape)[0]
    return gs.Node(
        op.op_type(), y, op.attributes(), [x, *parameters], [tensor(y, shape)], domain=DOMAIN
    )


def graph_of(nodes: Sequence[gs.Node], inputs: Sequence[gs.Tensor]) -> gs.Graph:
    outputs = [t for node in nodes for t in node.outputs if not t.outputs]
    return gs.Graph(list(nodes), list(inputs), outputs, opset=17, ir_version=8)


def lower_all(graph: gs.Graph, nodes: Sequence[gs.Node] | None = None) -> Counter[str]:
    for node in nodes or [node for node in graph.nodes if node.domain == DOMAIN]:
        lower(graph, node, 17)
    onnx.checker.check_model(gs.export_onnx(graph), full_check=True)
    return Counter(node.op for node in graph.nodes)


def assert_right(graph: gs.Graph, ops: dict[str, Op], *shapes: tuple[int, ...]) -> None:
    """The outputs of these names are the references of these ops on the input of the graph."""
    for shape in shapes:
        x = np.random.default_rng(0).random(shape).astype(np.float32)
        found = run(gs.export_onnx(graph), X=x)
        for output, y in zip(graph.outputs, found, strict=True):
            if op := ops.get(output.name):
                # Positive numbers: as many roundings as a window has elements, and some.
                np.testing.assert_allclose(y, op.reference(x)[0], rtol=100 * 2**-24)


SIZES = ((2, 3, 1, 1), (1, 3, 13, 20), (1, 3, 30, 2))


def test_a_second_pool_of_the_same_size_adds_its_products_only() -> None:
    x, op = tensor("X"), AdaptiveAveragePool((3, 4))
    alone = lower_all(graph_of([pool(op, x.copy(), "Y")], [x]))
    graph = graph_of([pool(op, x, "Y"), pool(op, x, "Z")], [x])
    assert lower_all(graph) == alone + Counter(MatMul=2, Transpose=2)
    assert_right(graph, {"Y": op, "Z": op}, *SIZES)


def test_pools_of_other_sizes_share_what_does_not_depend_on_theirs() -> None:
    x = tensor("X")
    ops: dict[str, Op] = {"Y": AdaptiveAveragePool((3, 3)), "Z": AdaptiveAveragePool((5, 5))}
    graph = graph_of([pool(op, x, y) for y, op in ops.items()], [x])
    found = lower_all(graph)
    assert found["Shape"] == 1
    # Each length as a vector, for the bounds, and as a scalar, for Range.
    assert found["Gather"] == 4
    assert found["Range"] == 2
    assert_right(graph, ops, *SIZES)


def test_averages_and_maxima_share_the_bounds() -> None:
    x = tensor("X")
    ops: dict[str, Op] = {"Y": AdaptiveAveragePool((3, 4)), "Z": AdaptiveMaxPool((3, 4))}
    graph = graph_of([pool(op, x, y) for y, op in ops.items()], [x])
    starts_and_ends, matrices = 4, 2
    assert lower_all(graph)["Div"] == starts_and_ends + matrices
    assert_right(graph, ops, *SIZES)


def relu(x: gs.Tensor, y: str, shape: Any) -> gs.Node:
    return gs.Node("Relu", f"{y}_relu", {}, [x], [tensor(y, shape)])


def two_tensors(first: Any, second: Any) -> tuple[gs.Graph, Op]:
    x, op = tensor("X", first), AdaptiveAveragePool((3, 4))
    middle = relu(x, "R", second)
    return graph_of([pool(op, x, "Y"), middle, pool(op, middle.outputs[0], "Z")], [x]), op


@pytest.mark.parametrize(
    ("first", "second", "shapes"),
    [
        (("N", 3, "H", "W"), ("N", 3, "H", "W"), 1),
        (("N", 3, "H", "W"), ("N", 3, "H", "V"), 2),
        (("N", 3, "H", "W"), ("N", 3, "P", "Q"), 2),
        (("N", 3, None, None), ("N", 3, None, None), 2),
    ],
)
def test_tensors_share_the_sizes_that_have_one_name(first: Any, second: Any, shapes: int) -> None:
    graph, op = two_tensors(first, second)
    assert lower_all(graph)["Shape"] == shapes
    assert_right(graph, {"Y": op, "Z": op}, *SIZES)


def test_a_name_that_a_file_claims_is_no_reason_to_share() -> None:
    graph, op = two_tensors(("N", 3, "H", "W"), ("N", 3, Claimed("H"), Claimed("W")))
    assert lower_all(graph)["Shape"] == 2
    graph, op = two_tensors(("N", 3, Claimed("H"), Claimed("W")), ("N", 3, "H", "W"))
    assert lower_all(graph)["Shape"] == 2
    assert_right(graph, {"Y": op, "Z": op}, *SIZES)


def test_two_axes_of_one_name_share_the_bounds() -> None:
    x, op = tensor("X", ("N", 3, "S", "S")), AdaptiveMaxPool((3, 3))
    graph = graph_of([pool(op, x, "Y")], [x])
    found = lower_all(graph)
    assert (found["Div"], found["Min"]) == (2, 1)
    assert_right(graph, {"Y": op}, (2, 3, 13, 13), (1, 3, 1, 1))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_shared_nodes_stand_right_behind_what_they_read(order: tuple[int, int]) -> None:
    x, op = tensor("X"), AdaptiveAveragePool((3, 4))
    first = relu(x, "R", DYNAMIC)
    pools = [pool(op, first.outputs[0], "Y"), pool(op, first.outputs[0], "Z")]
    graph = graph_of([first, pools[0], relu(x, "S", DYNAMIC), pools[1]], [x])
    found = lower_all(graph, [pools[i] for i in order])
    assert found["MatMul"] == 4
    assert found["Shape"] == 1
    assert [node.op for node in graph.nodes[:3]] == ["Relu", "Shape", "Gather"]
    products = ["MatMul", "Transpose", "MatMul", "Transpose"]
    assert [node.op for node in graph.nodes[-9:]] == [*products, "Relu", *products]
    assert_right(graph, {"Y": op, "Z": op}, *SIZES)


def test_what_comes_later_is_not_read() -> None:
    graph, op = two_tensors(DYNAMIC, DYNAMIC)
    pools = [node for node in graph.nodes if node.domain == DOMAIN]
    found = lower_all(graph, pools[::-1])
    assert found["Shape"] == 2
    assert_right(graph, {"Y": op, "Z": op}, *SIZES)


@pytest.mark.parametrize(("position", "shapes"), [(0, 1), (1, 2)])
def test_a_shape_that_the_model_computes_is_read_if_it_comes_before(
    position: int, shapes: int
) -> None:
    x, op = tensor("X"), AdaptiveAveragePool((3, 4))
    nodes = [pool(op, x, "Y")]
    nodes.insert(position, gs.Node("Shape", "shape", {}, [x], [tensor("sizes", (4,), INT64)]))
    graph = graph_of(nodes, [x])
    assert lower_all(graph)["Shape"] == shapes


def test_a_shape_of_some_axes_is_another_node() -> None:
    x, op = tensor("X"), AdaptiveAveragePool((3, 4))
    part = gs.Node("Shape", "shape", {"start": 2}, [x], [tensor("sizes", (2,), INT64)])
    graph = graph_of([part, pool(op, x, "Y")], [x])
    assert lower_all(graph)["Shape"] == 2


def test_pools_of_one_computed_size_share_it() -> None:
    x, size = tensor("X"), tensor("size", (2,), INT64)
    op = AdaptiveMaxPool((COMPUTED, COMPUTED))
    graph = graph_of([pool(op, x, "Y", size), pool(op, x, "Z", size)], [x, size])
    found = lower_all(graph)
    assert found["Gather"] == 4 + 2 * 2  # two sizes of X, two of Y, and the windows
    assert found["Min"] == 2
    drawn = np.random.default_rng(0).random((1, 3, 13, 9)).astype(np.float32)
    for sizes in ((1, 1), (4, 20)):
        expected = AdaptiveMaxPool(sizes).reference(drawn)[0]
        for y in run(gs.export_onnx(graph), X=drawn, size=np.array(sizes)):
            np.testing.assert_array_equal(y, expected)


# Whole models.


def value(name: str, shape: Any, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def dialect(op: Op, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.NodeProto:
    return helper.make_node(op.op_type(), inputs, outputs, domain=DOMAIN, **op.attributes())


def model_of(
    nodes: Sequence[onnx.NodeProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: dict[str, Array] | None = None,
    inputs: Sequence[onnx.ValueInfoProto] = (),
) -> onnx.ModelProto:
    register_schemas()
    graph = helper.make_graph(
        nodes,
        "g",
        [value("X", DYNAMIC), *inputs],
        outputs,
        [numpy_helper.from_array(a, name) for name, a in (initializers or {}).items()],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def rewritten(model: onnx.ModelProto, details: list[str]) -> onnx.ModelProto:
    result = onnxpool.rewrite(model)
    assert [f.detail for f in result.report.findings] == details
    assert "onnxpool" not in {node.domain for node in result.model.graph.node}
    onnx.checker.check_model(result.model, full_check=True)
    return result.model


def ops_in(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def test_rewrite_of_two_tensors_with_the_same_sizes() -> None:
    op = AdaptiveAveragePool((5, 3))
    nodes = [
        dialect(op, ["X"], ["Y"]),
        helper.make_node("Abs", ["X"], ["A"]),
        dialect(op, ["A"], ["Z"]),
    ]
    model = rewritten(
        model_of(nodes, [value(name, ("N", 3, 5, 3)) for name in "YZ"]), ["dynamic matmul"] * 2
    )
    assert ops_in(model)["Shape"] == 1
    runner = Runner(model)
    for shape in SIZES:
        x = np.random.default_rng(0).random(shape).astype(np.float32)
        for y in runner({"X": x}):
            np.testing.assert_allclose(y, op.reference(x)[0], rtol=100 * 2**-24)


def test_rewrite_of_a_tensor_that_declares_the_sizes_of_another() -> None:
    op = AdaptiveAveragePool((5, 3))
    nodes = [
        dialect(op, ["X"], ["Y"]),
        helper.make_node("MaxPool", ["X"], ["frozen"], kernel_shape=[2, 2], strides=[2, 2]),
        dialect(op, ["frozen"], ["Z"]),
    ]
    model = model_of(nodes, [value(name, ("N", 3, 5, 3)) for name in "YZ"])
    model.graph.value_info.append(value("frozen", DYNAMIC))
    result = onnxpool.rewrite(model).model
    # ONNX Runtime plans its memory by what is declared, and would not run it.
    del result.graph.value_info[:]
    runner = Runner(result)
    x = np.random.default_rng(0).random((1, 3, 13, 20)).astype(np.float32)
    halved = x[..., :12, :].reshape(1, 3, 6, 2, 10, 2).max((3, 5))
    for y, of in zip(runner({"X": x}), (x, halved), strict=True):
        np.testing.assert_allclose(y, op.reference(of)[0], rtol=100 * 2**-24)


def test_rewrite_where_the_size_comes_from_the_shape() -> None:
    op = AdaptiveMaxPool((COMPUTED, COMPUTED))
    nodes = [
        helper.make_node("Shape", ["X"], ["shape"]),
        helper.make_node("Slice", ["shape", "two", "four"], ["plane"]),
        helper.make_node("Div", ["plane", "three"], ["size"]),
        dialect(op, ["X", "size"], ["Y", "I"]),
    ]
    shape = ("N", 3, None, None)
    outputs = [value("Y", shape), value("I", shape, TensorProto.INT64)]
    constants = {"two": np.array([2]), "three": np.array([3]), "four": np.array([4])}
    runner = Runner(rewritten(model_of(nodes, outputs, constants), ["dynamic gather"]))
    for plane in ((3, 4), (15, 13), (60, 61)):
        x = np.random.default_rng(0).standard_normal((2, 3, *plane)).astype(np.float32)
        wanted = AdaptiveMaxPool((plane[0] // 3, plane[1] // 3)).reference(x)
        for found, expected in zip(runner({"X": x}), wanted, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_rewrite_of_two_pools_whose_computed_sizes_differ() -> None:
    op = AdaptiveMaxPool((COMPUTED, COMPUTED))
    nodes = [dialect(op, ["X", "a"], ["Y"]), dialect(op, ["X", "b"], ["Z"])]
    inputs = [value(name, (2,), TensorProto.INT64) for name in "ab"]
    outputs = [value(name, ("N", 3, None, None)) for name in "YZ"]
    model = model_of(nodes, outputs, inputs=inputs)
    runner = Runner(rewritten(model, ["dynamic gather"] * 2))
    x = np.random.default_rng(0).standard_normal((2, 3, 17, 9)).astype(np.float32)
    for y, size in zip(
        runner({"X": x, "a": np.array([3, 5]), "b": np.array([8, 20])}),
        ((3, 5), (8, 20)),
        strict=True,
    ):
        np.testing.assert_array_equal(y, AdaptiveMaxPool(size).reference(x)[0])


def test_rewrite_of_a_size_that_nodes_compute_from_constants() -> None:
    op = AdaptiveAveragePool((COMPUTED, COMPUTED))
    nodes = [
        helper.make_node("Add", ["two", "three"], ["five"]),
        helper.make_node("Concat", ["five", "three"], ["size"], axis=0),
        dialect(op, ["X", "size"], ["Y"]),
    ]
    constants = {"two": np.array([2]), "three": np.array([3])}
    model = model_of(nodes, [value("Y", ("N", 3, 5, 3))], constants)
    model.graph.input[0].CopyFrom(value("X", ("N", 3, 65, 65)))
    assert set(ops_in(rewritten(model, ["matmul"]))) == {"MatMul"}


def test_rewrite_of_gem_whose_exponent_is_an_input() -> None:
    op, p = GeMPool((3, 4), 1e-3), np.array([[[2.0]], [[2.5]], [[4.0]]], np.float32)
    nodes = [dialect(op, ["X", "p"], ["Y"])]
    outputs, inputs = [value("Y", ("N", 3, 3, 4))], [value("p", p.shape)]
    model = rewritten(model_of(nodes, outputs, inputs=inputs), ["exp-log/dynamic matmul"])
    x = np.random.default_rng(0).random((2, 3, 17, 9)).astype(np.float32)
    (y,) = Runner(model)({"X": x, "p": p})
    # Powers and roots of numbers down to 1e-3 add some 30 roundings to those of the mean.
    np.testing.assert_allclose(y, op.reference(x, p)[0], rtol=60 * 2**-24)


def if_model(op: AdaptiveAveragePool | AdaptiveMaxPool) -> onnx.ModelProto:
    """A pool in the main graph and one in each branch, all of the same tensor."""
    shape = ("N", 3, *op.output_size)
    branches = {
        f"{branch}_branch": helper.make_graph(
            [
                helper.make_node(function, ["R"], [f"{branch}_x"]),
                dialect(op, ["R"], [f"{branch}_pooled"]),
                dialect(op, [f"{branch}_x"], [f"{branch}_y"]),
                helper.make_node("Add", [f"{branch}_pooled", f"{branch}_y"], [f"{branch}_out"]),
            ],
            branch,
            [],
            [value(f"{branch}_out", shape)],
        )
        for branch, function in (("then", "Abs"), ("else", "Neg"))
    }
    nodes = [
        helper.make_node("Relu", ["X"], ["R"]),
        dialect(op, ["R"], ["Z"]),
        helper.make_node("If", ["condition"], ["Y"], **branches),
    ]
    inputs = [value("condition", (), TensorProto.BOOL)]
    return model_of(nodes, [value("Y", shape), value("Z", shape)], inputs=inputs)


@pytest.mark.parametrize("op", [AdaptiveAveragePool((3, 4)), AdaptiveMaxPool((3, 4))], ids=str)
def test_bodies_compute_for_themselves(op: AdaptiveAveragePool | AdaptiveMaxPool) -> None:
    used = "dynamic matmul" if isinstance(op, AdaptiveAveragePool) else "dynamic gather"
    model = rewritten(if_model(op), [used] * 5)
    (branching,) = (node for node in model.graph.node if node.op_type == "If")
    for graph in (model.graph, *(attribute.g for attribute in branching.attribute)):
        assert Counter(node.op_type for node in graph.node)["Shape"] == 1
    runner = Runner(model)
    for shape in SIZES:
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        r = np.maximum(x, 0)
        for condition, function in ((True, np.abs), (False, np.negative)):
            y, z = runner({"X": x, "condition": np.array(condition)})
            (pooled,), (other,) = (op.reference(t)[:1] for t in (r, function(r)))
            np.testing.assert_allclose(z, pooled, rtol=1e-5)
            np.testing.assert_allclose(y, pooled + other, rtol=1e-5, atol=1e-6)


def test_a_function_computes_for_itself() -> None:
    op = AdaptiveAveragePool((3, 4))
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    function = helper.make_function(
        "local",
        "twice",
        ["x"],
        ["y"],
        [
            dialect(op, ["x"], ["a"]),
            dialect(op, ["x"], ["b"]),
            helper.make_node("Add", ["a", "b"], ["y"]),
        ],
        imports,
    )
    nodes = [helper.make_node("twice", ["X"], ["Y"], domain="local"), dialect(op, ["Y"], ["Z"])]
    model = model_of(nodes, [value(name, ("N", 3, 3, 4)) for name in "YZ"])
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("local", 1))
    result = onnxpool.rewrite(model).model
    assert Counter(node.op_type for node in result.functions[0].node)["Shape"] == 1
    x = np.random.default_rng(0).random((2, 3, 13, 9)).astype(np.float32)
    y, z = Runner(result)({"X": x})
    np.testing.assert_allclose(y, 2 * op.reference(x)[0], rtol=1e-5)
    np.testing.assert_allclose(z, op.reference(y)[0], rtol=1e-5)


def test_the_check_runs_several_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    op = AdaptiveAveragePool((5, 3))
    model = model_of([dialect(op, ["X"], ["Y"])], [value("Y", ("N", 3, 5, 3))])
    seen: set[tuple[int, ...]] = set()
    run = Piece.__call__

    def wrong_at_large_sizes(piece: Piece, inputs: Sequence[Array]) -> tuple[Array, ...]:
        seen.add(inputs[0].shape[2:])
        return tuple(y + 0.1 * (inputs[0].size > 30_000) for y in run(piece, inputs))

    monkeypatch.setattr(Piece, "__call__", wrong_at_large_sizes)
    with pytest.raises(CheckError, match=r"^the rewritten region of tensor 'Y' is off: "):
        onnxpool.rewrite(model)
    assert len(seen) > 10
    assert any(height != width for height, width in seen)
