"""What lowering does to a graph: the nodes, their names, the constants, the refusals."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest

from onnxpool.ops import (
    DOMAIN,
    KEEP,
    AdaptiveAveragePool,
    AdaptiveMaxPool,
    GeMPool,
    Op,
    PyramidPool,
)
from onnxpool.rewrites.lower import STRATEGIES, Unsupported, lower
from tests.cases import Case
from tests.rewrites.lower.lowered import graph_of, ir_version, lowered, run

PYRAMID = PyramidPool((1, 1, 2, 2, 3, 3, 6, 6), 4)


def ops_of(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


GEMM = "Reshape Gemm Reshape MatMul Transpose"
KRONECKER = "Reshape MatMul Reshape"


@pytest.mark.parametrize(
    ("op", "shape", "strategy", "used", "ops"),
    [
        (AdaptiveAveragePool((1, 1)), (1, 8, 33, 33), "auto", "slice", "ReduceMean"),
        (AdaptiveAveragePool((1, 1)), (1, 8, 33, 33), "pool", "pool", "GlobalAveragePool"),
        (AdaptiveAveragePool((6, 6)), (1, 8, 12, 12), "auto", "pool", "AveragePool"),
        (AdaptiveAveragePool((6, 6)), (1, 8, 13, 13), "auto", "pool", "AveragePool"),
        (AdaptiveAveragePool((6, 6)), (1, 8, 60, 60), "auto", "pool", "AveragePool"),
        (AdaptiveAveragePool((2, 2)), (1, 64, 60, 60), "auto", "gemm", GEMM),
        (AdaptiveAveragePool((2, 2)), ("N", 64, 60, 60), "auto", "matmul", "MatMul MatMul"),
        (AdaptiveAveragePool((2, 2)), (1, 8, 60, 60), "auto", "matmul", "MatMul MatMul"),
        (AdaptiveAveragePool((6, 6)), (1, 512, 60, 60), "auto", "gemm", GEMM),
        (AdaptiveAveragePool((6, 6)), (1, 512, 60, 60), "matmul", "matmul", "MatMul MatMul"),
        (AdaptiveAveragePool((4, 1)), (1, 64, 14, 14), "auto", "gemm", GEMM),
        (
            AdaptiveAveragePool((2, 3, 4)),
            (1, 64, 16, 33, 33),
            "auto",
            "gemm",
            GEMM + " MatMul Transpose",
        ),
        (AdaptiveAveragePool((6, 6)), (1, 2048, 65, 65), "auto", "matmul", "MatMul MatMul"),
        (AdaptiveAveragePool((6, 6)), (1, 2048, 97, 127), "auto", "gemm", GEMM),
        (AdaptiveAveragePool((6, 6)), (1, 64, 65, 128), "auto", "matmul", "MatMul MatMul"),
        (AdaptiveAveragePool((2, 9)), (1, 64, 73, 73), "auto", "matmul", "MatMul MatMul"),
        (AdaptiveAveragePool((3, 3)), (1, 2048, 65, 65), "auto", "kronecker", KRONECKER),
        (AdaptiveAveragePool((4, 4)), (1, 64, 7, 7), "auto", "kronecker", KRONECKER),
        (AdaptiveAveragePool((4, 4)), (1, 8, 14, 14), "matmul", "kronecker", KRONECKER),
        (AdaptiveAveragePool((5,)), (1, 8, 14), "auto", "matmul", "MatMul"),
        (AdaptiveAveragePool((KEEP, 5)), (1, 8, 9, 14), "auto", "matmul", "MatMul"),
        (AdaptiveAveragePool((9, KEEP)), (1, 8, 9, 14), "auto", "slice", "Identity"),
        (AdaptiveMaxPool((1, 1)), (1, 8, 33, 33), "auto", "slice", "ReduceMax"),
        (AdaptiveMaxPool((1, 1)), (1, 8, 33, 33), "pool", "pool", "GlobalMaxPool"),
        (AdaptiveMaxPool((6, 6)), (1, 8, 13, 13), "auto", "pool", "MaxPool"),
        (AdaptiveMaxPool((6, 6)), (1, 8, 13, 13), "matmul", "pool", "MaxPool"),
        (
            AdaptiveMaxPool((4, KEEP)),
            (1, 8, 14, 9),
            "auto",
            "pool",
            "Slice MaxPool " * 2 + "Concat",
        ),
        (AdaptiveMaxPool((2,)), (1, 8, 5), "slice", "slice", "Slice ReduceMax " * 2 + "Concat"),
        # 14 to 4: windows 0 to 4, 3 to 7, 7 to 11, 10 to 14: of two strides
        (AdaptiveMaxPool((4,)), (1, 8, 14), "pool", "pool", "Slice MaxPool " * 2 + "Concat"),
        # 2 to 5 repeats windows, which are computed once
        (
            AdaptiveMaxPool((5,)),
            (1, 8, 2),
            "pool",
            "pool",
            "Slice MaxPool Slice Concat Gather",
        ),
        (
            PYRAMID,
            (1, 8, 60, 60),
            "auto",
            "pool, nested pool, nested slice",
            "AveragePool AveragePool AveragePool ReduceMean",
        ),
        (
            PYRAMID,
            (1, 2048, 65, 65),
            "auto",
            "shared matmul",
            "MatMul " * 2 + "Slice " * 4,
        ),
        (
            PYRAMID,
            (1, 64, 65, 65),
            "auto",
            "shared matmul",
            GEMM + " Slice" * 4,
        ),
        (
            PyramidPool((2, KEEP, 3, KEEP), 2),
            (1, 8, 65, 9),
            "matmul",
            "shared matmul",
            "MatMul " + "Slice " * 2,
        ),
        (
            PyramidPool((2, KEEP, 3, 4), 2),
            (1, 8, 65, 9),
            "matmul",
            "shared matmul",
            "MatMul " * 2 + "Slice " * 2,
        ),
    ],
)
def test_nodes(op: Op, shape: tuple[int, ...], strategy: str, used: str, ops: str) -> None:
    outputs = op.levels if isinstance(op, PyramidPool) else 1
    model, found = lowered(Case(op, shape, outputs=outputs), strategy)
    assert found == used
    assert ops_of(model) == Counter(ops.split())


@pytest.mark.parametrize(
    ("shape", "first"),
    [
        ((1, 8, 65, 65), 2),
        ((1, 2048, 65, 65), 3),
        ((1, 2048, 129, 129), 2),
        ((1, 2048, 97, 40), 3),
        ((1, 2048, 97, 30), 2),
    ],
)
def test_the_last_axis_goes_first_where_x_exceeds_caches(
    shape: tuple[int, ...], first: int
) -> None:
    model, _ = lowered(Case(AdaptiveAveragePool((6, 6)), shape), "matmul")
    product = next(node for node in model.graph.node if node.op_type == "MatMul")
    assert list(product.input).index("X") == 3 - first


@pytest.mark.parametrize(
    ("op", "p", "strategy", "used"),
    [
        (GeMPool((1, 1), 1e-6), 3.0, "auto", "pow/slice"),
        (GeMPool((1, 1), 1e-6), 4.0, "auto", "products/slice"),
        (GeMPool((1, 1), 1e-6), 2.87, "auto", "exp-log/slice"),
        (GeMPool((6, 6), 1e-6), 2.87, "matmul", "pow/kronecker"),
        (GeMPool((1, 1), 1e-6), 2.87, "pool", "pow/pool"),
        (GeMPool((1, 1), 0.0), 2.87, "auto", "pow/slice"),
        (GeMPool((1, 1)), 2.87, "auto", "pow/slice"),
    ],
)
def test_forms_of_gem(op: GeMPool, p: float, strategy: str, used: str) -> None:
    _, found = lowered(Case(op, (1, 2, 13, 13), p=(p,)), strategy)
    assert found == used


def test_a_max_pyramid_reads_its_input_once() -> None:
    case = Case(PyramidPool((1, 1, 2, 2, 3, 3, 6, 6), 4, "max"), (1, 8, 65, 65), outputs=4)
    model, used = lowered(case)
    assert used == "slice, nested pool, nested slice"
    readers = [node for node in model.graph.node if "X" in node.input]
    assert [node.op_type for node in readers] == ["Slice"] * 6


def two_pools(first: Op, second: Op, shape: tuple[int, ...]) -> gs.Graph:
    graph = graph_of(first, shape)
    y = gs.Variable("Y1", np.dtype(np.float32), second.output_shapes(shape)[0])
    x = graph.inputs[0]
    graph.nodes.append(
        gs.Node(second.op_type(), "pool", second.attributes(), [x], [y], domain=DOMAIN)
    )
    graph.outputs.append(y)
    for node in list(graph.nodes):
        lower(graph, node, 17)
    return graph


def test_equal_constants_are_one_initializer() -> None:
    op = AdaptiveAveragePool((6, 6))
    graph = two_pools(op, op, (1, 64, 65, 65))
    model = gs.export_onnx(graph)
    assert ops_of(model) == Counter(2 * GEMM.split())
    # Two matrices, and the shapes of two Reshapes.
    assert len(model.graph.initializer) == 4


def test_a_name_that_is_taken_by_other_values_is_not_shared() -> None:
    graph = graph_of(AdaptiveAveragePool((6,)), (1, 8, 65))
    taken = gs.Constant("onnxpool/average_65_to_6_float32", np.zeros((65, 6), np.float32))
    other = gs.Variable("other", np.dtype(np.float32), (1, 8, 6))
    graph.nodes.append(gs.Node("MatMul", "before", {}, [graph.inputs[0], taken], [other]))
    graph.outputs.append(other)
    lower(graph, graph.nodes[0], 17)
    x = np.ones((1, 8, 65), np.float32)
    y, zero = run(gs.export_onnx(graph), X=x)
    np.testing.assert_allclose(y, 1, rtol=1e-6)
    assert not zero.any()


def test_names_stay_unique_when_nodes_share_one() -> None:
    graph = two_pools(AdaptiveAveragePool((4, 5)), AdaptiveMaxPool((4, 5)), (1, 2, 19, 23))
    model = gs.export_onnx(graph)
    onnx.checker.check_model(model, full_check=True)
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)


def test_the_nodes_stand_where_the_node_stood() -> None:
    op = AdaptiveMaxPool((4, 5))
    graph = graph_of(op, (1, 2, 19, 23))
    x, y = graph.inputs[0], graph.outputs[0]
    before, after = (gs.Variable(n, x.dtype, t.shape) for n, t in (("before", x), ("after", y)))
    graph.nodes.insert(0, gs.Node("Relu", "first", {}, [x], [before]))
    graph.nodes.append(gs.Node("Relu", "last", {}, [y], [after]))
    graph.nodes[1].inputs = [before]
    graph.outputs = [y, after]
    lower(graph, graph.nodes[1], 17)
    assert [graph.nodes[0].name, graph.nodes[-1].name] == ["first", "last"]
    assert graph.outputs[0] is y
    assert graph.nodes[-1].inputs[0] is y
    assert {node.domain for node in graph.nodes} == {None}
    onnx.checker.check_model(gs.export_onnx(graph), full_check=True)


def test_shapes_and_types_are_set_where_they_are_known() -> None:
    for strategy in STRATEGIES:
        graph = graph_of(AdaptiveMaxPool((4, 5)), (1, 2, 19, 23), outputs=2)
        lower(graph, graph.nodes[0], 17, strategy)
        model = onnx.shape_inference.infer_shapes(gs.export_onnx(graph), strict_mode=True)
        inferred = {v.name: v.type for v in model.graph.value_info}
        for node in graph.nodes:
            for tensor in node.outputs:
                assert tensor.dtype is not None
                shape = (
                    [d.dim_value for d in inferred[tensor.name].tensor_type.shape.dim]
                    if (tensor.name in inferred)
                    else list(tensor.shape)
                )
                assert list(tensor.shape) == shape


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("op", "outputs"),
    [
        (AdaptiveAveragePool((5, 6)), 1),
        (AdaptiveAveragePool((2, 2)), 1),
        (AdaptiveMaxPool((5, 6)), 1),
        (AdaptiveMaxPool((5, 6)), 2),
        (AdaptiveMaxPool((1, 1)), 2),
        (PyramidPool((1, 1, 5, 6), 2), 2),
        (GeMPool((5, 6), 1e-3), 1),
    ],
    ids=str,
)
def test_batch_and_channels_may_be_symbolic(op: Op, outputs: int, strategy: str) -> None:
    p = np.array([2.5], np.float32) if isinstance(op, GeMPool) else None
    graph = graph_of(op, ("N", None, 40, 30), outputs=outputs, p=p)
    used = lower(graph, graph.nodes[0], 17, strategy)
    model = gs.export_onnx(graph)
    onnx.checker.check_model(model, full_check=True)
    # ONNX Runtime's MatMul takes no empty batch on the right of a matrix.
    for lead in ((1, 2), (3, 4), *([] if "matmul" in used else [(0, 3)])):
        x = np.random.default_rng(0).random((*lead, 40, 30)).astype(np.float32)
        wanted = op.reference(x, *([p] if p is not None else []))
        for y, expected in zip(run(model, X=x), wanted, strict=False):
            # Positive numbers, none cancels: windows of 80 elements, rounded 80 times at most.
            np.testing.assert_allclose(y, expected, rtol=100 * 2**-24)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("op", "outputs"),
    [
        (AdaptiveAveragePool((1, 1)), 1),
        (AdaptiveAveragePool((KEEP, 1)), 1),
        (AdaptiveMaxPool((1, 1)), 1),
        (AdaptiveMaxPool((1, 1)), 2),
        (AdaptiveMaxPool((1, KEEP)), 1),
        (PyramidPool((1, 1, KEEP, 1), 2), 2),
    ],
    ids=str,
)
def test_one_window_and_kept_axes_need_no_static_size(op: Op, outputs: int, strategy: str) -> None:
    graph = graph_of(op, ("N", 3, "H", "W"), outputs=outputs)
    lower(graph, graph.nodes[0], 17, strategy)
    model = gs.export_onnx(graph)
    for shape in ((2, 3, 5, 7), (1, 3, 8, 1)):
        x = np.random.default_rng(0).random(shape).astype(np.float32)
        for y, expected in zip(run(model, X=x), op.reference(x), strict=False):
            np.testing.assert_allclose(y, expected, rtol=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_static_axis_beside_a_dynamic_one(strategy: str) -> None:
    for op in (
        AdaptiveAveragePool((1, 4)),
        AdaptiveMaxPool((KEEP, 4)),
        AdaptiveAveragePool((4, 1)),
    ):
        shape = ("N", 3, 14, "W") if op.output_size[0] == 4 else ("N", 3, "H", 14)
        graph = graph_of(op, shape)
        lower(graph, graph.nodes[0], 17, strategy)
        x = np.random.default_rng(0).random((2, 3, 14, 14)).astype(np.float32)
        (y,) = run(gs.export_onnx(graph), X=x)
        np.testing.assert_allclose(y, op.reference(x)[0], rtol=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("p", [[2.5], [2.5, 1.5, 4.0]], ids=str)
@pytest.mark.parametrize("rank", ["scalar", "column", "unknown"])
def test_an_exponent_that_the_graph_computes(
    rank: str, p: list[float], dtype: Any, strategy: str
) -> None:
    op = GeMPool((3, 4), 1e-3)
    values = np.array(p, dtype)
    if rank == "column":
        values = values.reshape(-1, 1, 1)
    elif rank == "scalar" and len(p) == 1:
        values = values.reshape(())
    shape = None if rank == "unknown" else values.shape
    graph = graph_of(op, (2, 3, 13, 9), 17, dtype, p=gs.Variable("p", np.dtype(dtype), shape))
    lower(graph, graph.nodes[0], 17, strategy)
    model = gs.export_onnx(graph)
    if shape is None:
        del model.graph.input[1].type.tensor_type.shape.dim[:]
        model.graph.input[1].type.tensor_type.ClearField("shape")
    x = np.random.default_rng(0).random((2, 3, 13, 9)).astype(dtype)
    (y,) = run(model, X=x, p=values)
    (expected,) = op.reference(x, values)
    # Logarithms of up to 7 and windows of 15 elements; in float16 the last rounding alone.
    np.testing.assert_allclose(y, expected, rtol=50 * 2**-24 if dtype == np.float32 else 2**-10)


@pytest.mark.parametrize(
    ("op", "shape", "opset", "reason"),
    [
        (AdaptiveAveragePool((3, 3)), None, 17, "the rank of its input 'X' is not known"),
        (AdaptiveAveragePool((3, 3)), (1, 2, 9, 9), 6, "opset 6 is below 7"),
    ],
)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_refusals(op: Op, shape: Any, opset: int, reason: str, strategy: str) -> None:
    outputs = op.levels if isinstance(op, PyramidPool) else 1
    graph = graph_of(op, shape, max(opset, 11), outputs=outputs)
    (node,) = graph.nodes
    with pytest.raises(Unsupported, match=reason):
        lower(graph, node, opset, strategy)
    assert graph.nodes == [node]
    assert [consumer.name for consumer in graph.inputs[0].outputs] == ["pool"]
    assert len(node.outputs) == outputs


def test_an_unknown_type_and_an_unknown_strategy_are_refused() -> None:
    graph = graph_of(AdaptiveAveragePool((3,)), (1, 2, 7))
    with pytest.raises(Unsupported, match="there is no strategy 'fft'"):
        lower(graph, graph.nodes[0], 17, "fft")
    graph.inputs[0].dtype = None
    with pytest.raises(Unsupported, match="the type of its input 'X' is not known"):
        lower(graph, graph.nodes[0], 17)


def test_an_output_that_is_not_wanted() -> None:
    graph = graph_of(AdaptiveMaxPool((4, 3)), (1, 2, 9, 9), outputs=2)
    graph.nodes[0].outputs[1] = gs.Variable.empty()
    graph.outputs = graph.outputs[:1]
    lower(graph, graph.nodes[0], 17)
    model = gs.export_onnx(graph)
    assert "ArgMax" not in ops_of(model)
    onnx.checker.check_model(model, full_check=True)


def test_in_a_subgraph() -> None:
    inner = graph_of(AdaptiveAveragePool((6, 6)), (1, 2, 65, 65))
    x = inner.inputs.pop()
    lower(inner, inner.nodes[0], 17)
    other = gs.Graph([], outputs=[gs.Variable("other", x.dtype, (1, 2, 6, 6))], opset=17)
    other.nodes.append(
        gs.Node(
            "Identity",
            "id",
            {},
            [gs.Constant("c", np.zeros((1, 2, 6, 6), np.float32))],
            other.outputs,
        )
    )
    condition = gs.Variable("condition", np.dtype(bool), ())
    y = gs.Variable("Y", x.dtype, (1, 2, 6, 6))
    branches = {"then_branch": inner, "else_branch": other}
    graph = gs.Graph(
        [gs.Node("If", "if", branches, [condition], [y])],
        [x, condition],
        [y],
        opset=17,
        ir_version=ir_version(17),
    )
    # The outer graph has the same matrices, under the same names.
    z = gs.Variable("Z", x.dtype, (1, 2, 6, 6))
    op = AdaptiveAveragePool((6, 6))
    graph.nodes.append(gs.Node(op.op_type(), "outer", op.attributes(), [x], [z], domain=DOMAIN))
    graph.outputs.append(z)
    lower(graph, graph.nodes[1], 17)
    model = gs.export_onnx(graph)
    onnx.checker.check_model(model, full_check=True)
    data = np.random.default_rng(0).random((1, 2, 65, 65)).astype(np.float32)
    first, second = run(model, X=data, condition=np.array(True))
    np.testing.assert_array_equal(first, second)
