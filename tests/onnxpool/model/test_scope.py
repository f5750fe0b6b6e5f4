"""The graphs that a model shows: scopes, the tensors between them, and the values of constants."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import TensorProto, parser

from onnxpool.errors import ModelError
from onnxpool.model.file import ModelFile
from onnxpool.model.scope import unique_name

TEXT = """
<ir_version: 9, opset_import: ["" : 17], producer_name: "someone", doc_string: "kept">
g (float[1,2,4,4] x) => (float[1,2,4,4] y) <float[1] w = {2}> { r = Relu(x)  y = Mul(r, w) }
"""

NESTED = """
<ir_version: 9, opset_import: ["" : 17, "d" : 1]>
g (bool c, float[2,8] x) => (float[2,8] y) {
    r = Relu(x)
    [choice] y = If (c) <
        then_branch = t () => (float[2,8] t1) { t1 = d.f(r) },
        else_branch = e () => (float[2,8] e1) {
            two = Constant <value = int64[1] {2}> ()
            e1 = If (c) <
                then_branch = tt () => (float[2,8] tt1) { tt1 = Neg(r) },
                else_branch = ee () => (float[2,8] ee1) { ee1 = Abs(x) }
            >
        }
    >
}
<domain: "d", opset_import: ["" : 13]>
f (a) => (b) { b = Sigmoid(a) }
"""
"""An If in an If, and the call of a function."""


def model(text: str = TEXT) -> onnx.ModelProto:
    return parser.parse_model(text)


class TestScopes:
    @pytest.fixture
    def model_file(self) -> ModelFile:
        return ModelFile.from_proto(model(NESTED))

    def test_bodies_come_before_what_is_around_them(self, model_file: ModelFile) -> None:
        assert [scope.name for scope in model_file.scopes] == [
            "function d::f",
            "then_branch of If node 'choice'",
            "then_branch of If node 'e1' in else_branch of If node 'choice'",
            "else_branch of If node 'e1' in else_branch of If node 'choice'",
            "else_branch of If node 'choice'",
            "main graph",
        ]

    def test_outer_and_owner(self, model_file: ModelFile) -> None:
        _, then, inner, _, otherwise, main = model_file.scopes
        assert model_file.main is main
        assert main.outer is None
        assert then.outer is main
        assert otherwise.owner is main.graph.nodes[1]
        assert inner.outer is otherwise
        assert inner.owner is otherwise.graph.nodes[1]

    def test_graph_and_proto_correspond(self, model_file: ModelFile) -> None:
        for scope in model_file.scopes:
            assert [n.op for n in scope.graph.nodes] == [n.op_type for n in scope.proto.node]
            assert [t.name for t in scope.graph.outputs] == [
                getattr(value, "name", value) for value in scope.proto.output
            ]
        main = model_file.main
        bodies = {a.name: a.g for a in main.proto.node[1].attribute}
        for scope in (model_file.scopes[1], model_file.scopes[4]):
            attribute = scope.name.split()[0]
            assert main.graph.nodes[1].attrs[attribute] is scope.graph
            assert bodies[attribute] is scope.proto

    def test_the_graphs_are_those_of_graphsurgeon(self, model_file: ModelFile) -> None:
        theirs = gs.import_onnx(model(NESTED))
        assert theirs == model_file.main.graph
        (function,) = theirs.functions
        assert function == model_file.scopes[0].graph

    def test_captured_tensors_are_those_of_the_outer_graph(self, model_file: ModelFile) -> None:
        _, then, inner, deepest, _, main = model_file.scopes
        relu = main.graph.nodes[0].outputs[0]
        assert then.graph.nodes[0].inputs[0] is relu
        assert inner.graph.nodes[0].inputs[0] is relu
        assert deepest.graph.nodes[0].inputs[0] is main.graph.inputs[1]
        assert len(relu.outputs) == 2

    def test_a_function_has_an_opset_of_its_own(self, model_file: ModelFile) -> None:
        assert [s.opset for s in model_file.scopes] == [13, 17, 17, 17, 17, 17]
        assert isinstance(model_file.scopes[0].graph, gs.Function)

    def test_unique_names_differ_from_all_in_the_model(self, model_file: ModelFile) -> None:
        main = model_file.main
        assert unique_name(main, "fresh") == "fresh"
        assert unique_name(model_file.scopes[0], "fresh") == "fresh_1"
        # A tensor, a node, a tensor two bodies down, one in a function.
        for taken in ("r", "choice", "tt1", "b"):
            assert unique_name(main, taken) == f"{taken}_1"


@pytest.mark.parametrize(("ir_version", "kind"), [(3, gs.Constant), (4, gs.Variable)])
def test_an_initializer_that_is_an_input_is_constant_before_ir_4(
    ir_version: int, kind: type[gs.Tensor]
) -> None:
    proto = model(
        f'<ir_version: {ir_version}, opset_import: ["" : 8]>'
        " g (float[2] x, float[2] w) => (float[2] y) { y = Mul(x, w) }"
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(2, np.float32), "w"))
    graph = ModelFile.from_proto(proto).main.graph
    w = graph.nodes[0].inputs[1]
    assert type(w) is kind
    assert (w.dtype, w.shape) == (np.float32, (2,))
    assert [t.name for t in graph.inputs] == (["x"] if kind is gs.Constant else ["x", "w"])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.int4, np.float64])
@pytest.mark.parametrize("external", [False, True])
def test_constants_have_their_own_dtype(tmp_path: Path, dtype: Any, external: bool) -> None:
    proto = model()
    values = np.array([1, 2, 3]).astype(dtype)
    stored = onnx.numpy_helper.from_array(values, "w")
    if external:
        (tmp_path / "w.bin").write_bytes(stored.raw_data)
        stored.ClearField("raw_data")
        stored.data_location = TensorProto.EXTERNAL
        stored.external_data.add(key="location", value="w.bin")
    proto.graph.initializer[0].CopyFrom(stored)
    constant = ModelFile.from_proto(proto, tmp_path).main.graph.nodes[1].inputs[1]
    assert (constant.dtype, constant.shape) == (values.dtype, (3,))
    assert constant.values.dtype == values.dtype
    np.testing.assert_array_equal(constant.values, values)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("rank", [1, 2])
def test_sparse_constants_are_dense_in_the_graph(raw: bool, rank: int) -> None:
    proto = model()
    del proto.graph.initializer[:]
    indices = np.array([1, 5]) if rank == 1 else np.array([[0, 1], [1, 2]])
    sparse = proto.graph.sparse_initializer.add(dims=[2, 3])
    for tensor, values in (
        (sparse.values, np.array([3, 4], np.float32)),
        (sparse.indices, indices.astype(np.int64)),
    ):
        data_type = onnx.helper.np_dtype_to_tensor_dtype(values.dtype)
        data = values.tobytes() if raw else values.reshape(-1).tolist()
        tensor.CopyFrom(onnx.helper.make_tensor("w", data_type, values.shape, data, raw=raw))
    constant = ModelFile.from_proto(proto).main.graph.nodes[1].inputs[1]
    np.testing.assert_array_equal(constant.values, [[0, 3, 0], [0, 0, 4]])
    assert constant.values.dtype == np.float32


def test_attributes_are_as_graphsurgeon_has_them() -> None:
    proto = model()
    tensor = onnx.numpy_helper.from_array(np.array([1, 2]), "t")
    attributes: dict[str, Any] = {
        "f": 0.5,
        "i": 3,
        "s": "text",
        "blob": b"\xff\xfe",
        "fs": [0.5],
        "is": [1, 2],
        "ss": ["a"],
        "t": tensor,
        "type": onnx.helper.make_tensor_type_proto(1, [2]),
    }
    node = onnx.helper.make_node("Anything", ["x"], ["z"], domain="com.example", **attributes)
    proto.graph.node.append(node)
    proto.opset_import.add(domain="com.example", version=1)
    attrs = ModelFile.from_proto(proto).main.graph.nodes[-1].attrs
    np.testing.assert_array_equal(attrs.pop("t").values, [1, 2])
    assert "type" not in attrs, "graphsurgeon has no such attributes"
    assert attrs == {k: v for k, v in attributes.items() if k not in ("t", "type")}


def test_a_large_weight_that_cannot_be_decoded_is_one_line() -> None:
    proto = model()
    proto.graph.initializer[0].CopyFrom(
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1000], raw_data=b"1234")
    )
    constant = ModelFile.from_proto(proto).main.graph.nodes[1].inputs[1]
    with pytest.raises(ModelError, match=r"^tensor 'w' cannot be decoded: .*$"):
        _ = constant.values
