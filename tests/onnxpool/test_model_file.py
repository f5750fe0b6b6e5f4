"""Model files: what cannot be loaded, what a scope shows, and saving all of it or nothing."""

import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import TensorProto, parser

from onnxpool.errors import ExternalDataError, ModelError, OutputError
from onnxpool.model.file import ModelFile
from onnxpool.model.scope import unique_name
from onnxpool.model.shapes import infer

TEXT = """
<ir_version: 9, opset_import: ["" : 17], producer_name: "someone", doc_string: "kept">
g (float[1,2,4,4] x) => (float[1,2,4,4] y) <float[1] w = {2}> { r = Relu(x)  y = Mul(r, w) }
"""

WEIGHTS = np.arange(512, dtype=np.float32)


def model(text=TEXT):
    return parser.parse_model(text)


def save_external(path, location="weights.bin", data=None):
    """Write a model with one external weight `w`, and the weight."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[512])
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    proto = model(
        '<ir_version: 9, opset_import: ["" : 17]> g (float[512] x) => (float[512] y)'
        " { y = Mul(x, w) }"
    )
    proto.graph.initializer.append(weight)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(proto.SerializeToString())
    (path.parent / location).parent.mkdir(exist_ok=True)
    (path.parent / location).write_bytes(WEIGHTS.tobytes() if data is None else data)
    return path


def replace_last_node(model_file):
    """Put Neg in place of the last node of the main graph: a change for `save` to write."""
    graph = model_file.main.graph
    old = graph.nodes.pop()
    x, y = old.inputs[0], old.outputs[0]
    old.inputs.clear()
    old.outputs.clear()
    graph.nodes.append(gs.Node("Neg", inputs=[x], outputs=[y]))
    assert model_file.splice()


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def truncated(data):
    return data[: len(data) - 7]


def with_opset(*versions):
    proto = model()
    del proto.opset_import[:]
    proto.opset_import.extend(onnx.helper.make_opsetid(*v) for v in versions)
    return proto.SerializeToString()


def invalid():
    proto = model()
    proto.graph.node[0].op_type = "Rulu"
    return proto.SerializeToString()


def without_nodes():
    proto = model()
    del proto.graph.node[:]
    return proto.SerializeToString()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"not a protobuf", "is not an ONNX model, or is truncated"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is not an ONNX model, or is truncated"),
        (truncated(model().SerializeToString()), "is not an ONNX model, or is truncated"),
        (onnx.ModelProto(ir_version=9).SerializeToString(), "holds no graph"),
        (without_nodes(), "the graph has no nodes"),
        (with_opset(), "does not say its opset"),
        (with_opset(("com.microsoft", 1)), "does not say its opset"),
        (with_opset(("", 999)), "has opset 999; onnx"),
        (with_opset(("", 0)), "has opset 0; onnx"),
        (invalid(), "is not a valid model: No Op registered for Rulu"),
    ],
)
def test_refuses_what_is_no_model(tmp_path, data, message):
    path = tmp_path / "in.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError) as error:
        ModelFile.load(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_refuses_paths_that_are_no_file(tmp_path):
    with pytest.raises(ModelError, match=r"in\.onnx: no such file$"):
        ModelFile.load(tmp_path / "in.onnx")
    with pytest.raises(ModelError, match=r"is a folder, wanted an ONNX file$"):
        ModelFile.load(tmp_path)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ModelError, match="cannot be read: Not a directory"):
        ModelFile.load(tmp_path / "file" / "in.onnx")


def test_damaged_files_are_refused_in_one_line_or_saved_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    path = save_external(tmp_path / "in.onnx")
    sound = [path.read_bytes(), model(TestScopes.TEXT).SerializeToString()]
    outcomes = set()
    for number in range(400):
        data = bytearray(sound[number % 2])
        for place in rng.integers(len(data), size=rng.integers(1, 4)):
            data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            loaded = ModelFile.load(path)
        except (ModelError, ExternalDataError) as error:
            outcomes.add("refused" if "\n" not in str(error) else str(error))
        else:
            infer(loaded)
            loaded.save(tmp_path / "out.onnx")
            outcomes.add((tmp_path / "out.onnx").read_bytes() == data)
    assert outcomes == {"refused", True}


def test_an_unchanged_model_is_saved_as_the_bytes_it_came_as(tmp_path):
    # Protobuf would not write these bytes: the unknown field 1000 comes before field 1.
    data = b"\xc2\x3e\x01\x07" + model().SerializeToString()
    (tmp_path / "in.onnx").write_bytes(data)
    loaded = ModelFile.load(tmp_path / "in.onnx")
    assert not loaded.splice()
    loaded.save(tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == data
    loaded.save(tmp_path / "in.onnx")
    assert (tmp_path / "in.onnx").read_bytes() == data
    assert files(tmp_path) == ["in.onnx", "out.onnx"]


def test_from_proto_leaves_the_proto_alone():
    proto = model()
    data = proto.SerializeToString()
    model_file = ModelFile.from_proto(proto)
    replace_last_node(model_file)
    assert proto.SerializeToString() == data
    assert [n.op_type for n in model_file.proto.graph.node] == ["Relu", "Neg"]


def test_reimported_shows_what_the_proto_holds_now(tmp_path):
    loaded = ModelFile.load(save_external(tmp_path / "in.onnx"))
    replace_last_node(loaded)
    again = loaded.reimported()
    assert again.proto is loaded.proto
    assert [n.op for n in again.main.graph.nodes] == ["Neg"]
    again.save(tmp_path / "out.onnx")
    assert [n.op_type for n in onnx.load(tmp_path / "out.onnx").graph.node] == ["Neg"]


def test_outputs_without_a_shape_are_valid():
    proto = model()
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    assert ModelFile.from_proto(proto).main.graph.outputs[0].shape is None
    assert not proto.graph.output[0].type.tensor_type.HasField("shape")


def test_loading_prints_nothing(capfd, tmp_path):
    save_external(tmp_path / "in.onnx")
    ModelFile.load(tmp_path / "in.onnx")
    assert capfd.readouterr() == ("", "")


class TestScopes:
    TEXT = """
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

    @pytest.fixture
    def model_file(self):
        return ModelFile.from_proto(model(self.TEXT))

    def test_bodies_come_before_what_is_around_them(self, model_file):
        assert [scope.name for scope in model_file.scopes] == [
            "function d::f",
            "then_branch of If node 'choice'",
            "then_branch of If node 'e1' in else_branch of If node 'choice'",
            "else_branch of If node 'e1' in else_branch of If node 'choice'",
            "else_branch of If node 'choice'",
            "main graph",
        ]

    def test_outer_and_owner(self, model_file):
        _, then, inner, _, otherwise, main = model_file.scopes
        assert model_file.main is main
        assert main.outer is None
        assert then.outer is main
        assert otherwise.owner is main.graph.nodes[1]
        assert inner.outer is otherwise
        assert inner.owner is otherwise.graph.nodes[1]

    def test_graph_and_proto_correspond(self, model_file):
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

    def test_the_graphs_are_those_of_graphsurgeon(self, model_file):
        theirs = gs.import_onnx(model(self.TEXT))
        assert theirs == model_file.main.graph
        (function,) = theirs.functions
        assert function == model_file.scopes[0].graph

    def test_captured_tensors_are_those_of_the_outer_graph(self, model_file):
        _, then, inner, deepest, _, main = model_file.scopes
        relu = main.graph.nodes[0].outputs[0]
        assert then.graph.nodes[0].inputs[0] is relu
        assert inner.graph.nodes[0].inputs[0] is relu
        assert deepest.graph.nodes[0].inputs[0] is main.graph.inputs[1]
        assert len(relu.outputs) == 2

    def test_a_function_has_an_opset_of_its_own(self, model_file):
        assert [s.opset for s in model_file.scopes] == [13, 17, 17, 17, 17, 17]
        assert isinstance(model_file.scopes[0].graph, gs.Function)

    def test_unique_names_differ_from_all_in_the_model(self, model_file):
        main = model_file.main
        assert unique_name(main, "fresh") == "fresh"
        assert unique_name(model_file.scopes[0], "fresh") == "fresh_1"
        # A tensor, a node, a tensor two bodies down, one in a function.
        for taken in ("r", "choice", "tt1", "b"):
            assert unique_name(main, taken) == f"{taken}_1"


@pytest.mark.parametrize(("ir_version", "kind"), [(3, gs.Constant), (4, gs.Variable)])
def test_an_initializer_that_is_an_input_is_constant_before_ir_4(ir_version, kind):
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
def test_constants_have_their_own_dtype(tmp_path, dtype, external):
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
def test_sparse_constants_are_dense_in_the_graph(raw, rank):
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


def test_attributes_are_as_graphsurgeon_has_them():
    proto = model()
    tensor = onnx.numpy_helper.from_array(np.array([1, 2]), "t")
    attributes = {
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


def test_a_large_weight_that_cannot_be_decoded_is_one_line():
    proto = model()
    proto.graph.initializer[0].CopyFrom(
        TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1000], raw_data=b"1234")
    )
    constant = ModelFile.from_proto(proto).main.graph.nodes[1].inputs[1]
    with pytest.raises(ModelError, match=r"^tensor 'w' cannot be decoded: .*$"):
        _ = constant.values


class TestExternalData:
    def test_loading_does_not_read_it(self, tmp_path, monkeypatch):
        path = save_external(tmp_path / "in.onnx")
        opened = []
        original = Path.open
        monkeypatch.setattr(
            Path, "open", lambda self, *a, **k: opened.append(self) or original(self, *a, **k)
        )
        loaded = ModelFile.load(path)
        assert opened == [path]
        assert loaded.proto.graph.initializer[0].data_location == TensorProto.EXTERNAL

    def test_a_constant_is_read_from_the_folder_of_the_model(self, tmp_path, monkeypatch):
        path = save_external(tmp_path / "a" / "in.onnx")
        monkeypatch.chdir(tmp_path)
        constant = ModelFile.load(path).main.graph.nodes[0].inputs[1]
        np.testing.assert_array_equal(constant.values, WEIGHTS)

    @pytest.mark.parametrize(("data", "message"), [(b"short", "too short"), (None, "is missing")])
    def test_missing_and_truncated(self, tmp_path, data, message):
        path = save_external(tmp_path / "in.onnx", data=data)
        if data is None:
            (tmp_path / "weights.bin").unlink()
        with pytest.raises(ExternalDataError, match=message):
            ModelFile.load(path)

    def test_from_proto_needs_the_folder(self, tmp_path):
        proto = onnx.load(save_external(tmp_path / "in.onnx"), load_external_data=False)
        with pytest.raises(ExternalDataError, match="say in which folder"):
            ModelFile.from_proto(proto)
        assert ModelFile.from_proto(proto, tmp_path).main.graph.nodes[0].inputs[1].values[1] == 1

    @pytest.mark.parametrize("location", ["weights.bin", "sub/weights.bin"])
    def test_follows_the_model_to_another_folder(self, tmp_path, location):
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx", location))
        (tmp_path / "b").mkdir()
        calls = []
        loaded.save(tmp_path / "b" / "out.onnx", progress=lambda *call: calls.append(call))
        assert (tmp_path / "b" / location).read_bytes() == WEIGHTS.tobytes()
        assert calls == [("weights.bin", WEIGHTS.nbytes, WEIGHTS.nbytes)]
        shutil.rmtree(tmp_path / "a")
        ModelFile.load(tmp_path / "b" / "out.onnx")

    def test_stays_where_it_is_in_the_same_folder(self, tmp_path):
        path = save_external(tmp_path / "in.onnx")
        before = (tmp_path / "weights.bin").stat()
        loaded = ModelFile.load(path)
        replace = [tmp_path / "out.onnx", path]
        for target in replace:
            loaded.save(target)
        after = (tmp_path / "weights.bin").stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert files(tmp_path) == ["in.onnx", "out.onnx", "weights.bin"]

    def test_never_overwrites_weights_of_others(self, tmp_path):
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "weights.bin").write_bytes(b"of someone else")
        with pytest.raises(OutputError, match=r"weights\.bin exists and .* does not use it"):
            loaded.save(tmp_path / "b" / "out.onnx")
        assert files(tmp_path / "b") == ["weights.bin"]
        assert (tmp_path / "b" / "weights.bin").read_bytes() == b"of someone else"

    def test_replaces_the_weights_of_the_model_that_it_replaces(self, tmp_path):
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        save_external(tmp_path / "b" / "out.onnx", data=b"\0" * WEIGHTS.nbytes)
        loaded.save(tmp_path / "b" / "out.onnx")
        assert (tmp_path / "b" / "weights.bin").read_bytes() == WEIGHTS.tobytes()

    def test_keeps_an_equal_file(self, tmp_path):
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        (tmp_path / "b").mkdir()
        copy = tmp_path / "b" / "weights.bin"
        copy.write_bytes(WEIGHTS.tobytes())
        before = copy.stat().st_ino
        loaded.save(tmp_path / "b" / "out.onnx")
        assert copy.stat().st_ino == before

    def test_a_link_out_of_the_output_folder_is_not_written_through(self, tmp_path):
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "weights.bin").symlink_to("../a/weights.bin")
        with pytest.raises(OutputError, match="exists and"):
            loaded.save(tmp_path / "b" / "out.onnx")

    def test_a_file_that_is_no_longer_used_is_not_copied(self, tmp_path):
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        replace_last_node(loaded)
        (tmp_path / "b").mkdir()
        loaded.save(tmp_path / "b" / "out.onnx")
        assert files(tmp_path / "b") == ["out.onnx"]

    def test_is_not_overwritten_by_the_model(self, tmp_path):
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        (tmp_path / "b").mkdir()
        for folder in ("a", "b"):
            with pytest.raises(OutputError, match=r"holds the weights of the model"):
                loaded.save(tmp_path / folder / "weights.bin")
        assert (tmp_path / "a" / "weights.bin").read_bytes() == WEIGHTS.tobytes()
        assert files(tmp_path / "b") == []


class TestSave:
    def test_refuses_what_is_no_file_name(self, tmp_path):
        model_file = ModelFile.from_proto(model())
        (tmp_path / "file").write_bytes(b"x")
        for target, message in (
            (tmp_path, "is a folder, wanted the name of a file"),
            (tmp_path / "gone" / "out.onnx", "there is no folder"),
            (tmp_path / "file" / "out.onnx", "there is no folder"),
            (tmp_path / ("n" * 300), "File name too long"),
        ):
            with pytest.raises(OutputError) as error:
                model_file.save(target)
            assert message in str(error.value)
            assert str(target) in str(error.value)
            assert "\n" not in str(error.value)
        assert files(tmp_path) == ["file"]

    @pytest.mark.parametrize("step", ["write_bytes", "replace"])
    def test_a_failure_leaves_everything_as_it_was(self, tmp_path, monkeypatch, step):
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx", "sub/w.bin"))
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "out.onnx").write_bytes(b"old")
        original = getattr(Path, step)

        def fail_on_the_model(self, argument):
            if step == "write_bytes" or argument.name == "out.onnx":
                raise OSError(28, "No space left on device")
            return original(self, argument)

        monkeypatch.setattr(Path, step, fail_on_the_model)
        with pytest.raises(OutputError, match=r"out\.onnx cannot be written: No space left"):
            loaded.save(tmp_path / "b" / "out.onnx")
        assert files(tmp_path / "b") == ["out.onnx"]
        assert (tmp_path / "b" / "out.onnx").read_bytes() == b"old"

    def test_an_interruption_leaves_nothing(self, tmp_path):
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        (tmp_path / "b").mkdir()

        def interrupt(*_):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            loaded.save(tmp_path / "b" / "out.onnx", progress=interrupt)
        assert files(tmp_path / "b") == []

    def test_over_the_input_after_a_change(self, tmp_path):
        path = save_external(tmp_path / "in.onnx")
        loaded = ModelFile.load(path)
        replace_last_node(loaded)
        loaded.save(path)
        assert [n.op_type for n in onnx.load(path).graph.node] == ["Neg"]

    def test_keeps_the_mode_of_the_file_it_replaces(self, tmp_path):
        target = tmp_path / "out.onnx"
        target.write_bytes(b"old")
        target.chmod(0o640)
        ModelFile.from_proto(model()).save(target)
        assert target.stat().st_mode & 0o777 == 0o640

    def test_a_link_is_replaced_not_written_through(self, tmp_path):
        (tmp_path / "kept.onnx").write_bytes(b"kept")
        (tmp_path / "out.onnx").symlink_to("kept.onnx")
        ModelFile.from_proto(model()).save(tmp_path / "out.onnx")
        assert (tmp_path / "kept.onnx").read_bytes() == b"kept"
        assert not (tmp_path / "out.onnx").is_symlink()
