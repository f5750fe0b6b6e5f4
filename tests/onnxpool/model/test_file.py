"""Model files: what cannot be loaded, weights beside them, and saving all of it or nothing."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import TensorProto

import onnxpool
from onnxpool.errors import ArgumentError, ExternalDataError, ModelError, OutputError
from onnxpool.model.file import ModelFile
from onnxpool.model.shapes import infer
from tests.onnxpool.model.test_scope import NESTED, model

WEIGHTS = np.arange(512, dtype=np.float32)


def save_external(path: Path, location: str = "weights.bin", data: bytes | None = None) -> Path:
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


def replace_last_node(model_file: ModelFile) -> None:
    """Put Neg in place of the last node of the main graph: a change for `save` to write."""
    graph = model_file.main.graph
    old = graph.nodes.pop()
    x, y = old.inputs[0], old.outputs[0]
    old.inputs.clear()
    old.outputs.clear()
    graph.nodes.append(gs.Node("Neg", inputs=[x], outputs=[y]))
    assert model_file.splice()


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def truncated(data: bytes) -> bytes:
    return data[: len(data) - 7]


def with_opset(*versions: tuple[str, int]) -> bytes:
    proto = model()
    del proto.opset_import[:]
    proto.opset_import.extend(onnx.helper.make_opsetid(*v) for v in versions)
    return proto.SerializeToString()


def of_the_dialect_alone() -> bytes:
    text = """<ir_version: 9, opset_import: ["onnxpool" : 1]> g (float[1,1,4,4] x) => (float y)
        { y = onnxpool.AdaptiveAveragePool <output_size = [3, 3]> (x) }"""
    return model(text).SerializeToString()


def invalid() -> bytes:
    proto = model()
    proto.graph.node[0].op_type = "Rulu"
    return proto.SerializeToString()


def without_nodes() -> bytes:
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
        (of_the_dialect_alone(), "does not say its opset"),
        (with_opset(("", 999)), "has opset 999; onnx"),
        (with_opset(("", 0)), "has opset 0; onnx"),
        (invalid(), "is not a valid model: No Op registered for Rulu"),
    ],
)
def test_refuses_what_is_no_model(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "in.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError) as error:
        ModelFile.load(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


OTHER_DOMAIN = """<ir_version: 9, opset_import: ["ai.onnx.ml" : 3]>
    g (float[2,3] x) => (float[2,3] y) { y = ai.onnx.ml.Normalizer <norm = "L2"> (x) }"""


def test_a_model_without_ops_of_the_default_domain_needs_no_opset(tmp_path: Path) -> None:
    data = model(OTHER_DOMAIN).SerializeToString()
    (tmp_path / "in.onnx").write_bytes(data)
    result = onnxpool.rewrite(tmp_path / "in.onnx")
    result.save(tmp_path / "out.onnx")
    assert result.report.opset == 0
    assert (tmp_path / "out.onnx").read_bytes() == data
    with pytest.raises(ArgumentError, match="has no opset to convert; leave --opset out"):
        onnxpool.rewrite(tmp_path / "in.onnx", opset=17)


def test_refuses_paths_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"in\.onnx: no such file$"):
        ModelFile.load(tmp_path / "in.onnx")
    with pytest.raises(ModelError, match=r"is a folder, wanted an ONNX file$"):
        ModelFile.load(tmp_path)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ModelError, match="cannot be read: Not a directory"):
        ModelFile.load(tmp_path / "file" / "in.onnx")


def test_damaged_files_are_refused_in_one_line_or_saved_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = save_external(tmp_path / "in.onnx")
    sound = [path.read_bytes(), model(NESTED).SerializeToString()]
    outcomes: set[str | bool] = set()
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


def test_an_unchanged_model_is_saved_as_the_bytes_it_came_as(tmp_path: Path) -> None:
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


def test_from_proto_leaves_the_proto_alone() -> None:
    proto = model()
    data = proto.SerializeToString()
    model_file = ModelFile.from_proto(proto)
    replace_last_node(model_file)
    assert proto.SerializeToString() == data
    assert [n.op_type for n in model_file.proto.graph.node] == ["Relu", "Neg"]


def test_reimported_shows_what_the_proto_holds_now(tmp_path: Path) -> None:
    loaded = ModelFile.load(save_external(tmp_path / "in.onnx"))
    replace_last_node(loaded)
    again = loaded.reimported()
    assert again.proto is loaded.proto
    assert [n.op for n in again.main.graph.nodes] == ["Neg"]
    again.save(tmp_path / "out.onnx")
    assert [n.op_type for n in onnx.load(tmp_path / "out.onnx").graph.node] == ["Neg"]


def test_outputs_without_a_shape_are_valid() -> None:
    proto = model()
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    assert ModelFile.from_proto(proto).main.graph.outputs[0].shape is None
    assert not proto.graph.output[0].type.tensor_type.HasField("shape")


def test_loading_prints_nothing(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    save_external(tmp_path / "in.onnx")
    ModelFile.load(tmp_path / "in.onnx")
    assert capfd.readouterr() == ("", "")


class TestExternalData:
    def test_loading_does_not_read_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = save_external(tmp_path / "in.onnx")
        opened: list[Path] = []
        original = Path.open

        def record(path: Path, *arguments: Any, **options: Any) -> Any:
            opened.append(path)
            return original(path, *arguments, **options)

        monkeypatch.setattr(Path, "open", record)
        loaded = ModelFile.load(path)
        assert opened == [path]
        assert loaded.proto.graph.initializer[0].data_location == TensorProto.EXTERNAL

    def test_a_constant_is_read_from_the_folder_of_the_model(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = save_external(tmp_path / "a" / "in.onnx")
        monkeypatch.chdir(tmp_path)
        constant = ModelFile.load(path).main.graph.nodes[0].inputs[1]
        np.testing.assert_array_equal(constant.values, WEIGHTS)

    @pytest.mark.parametrize(("data", "message"), [(b"short", "too short"), (None, "is missing")])
    def test_missing_and_truncated(self, tmp_path: Path, data: bytes | None, message: str) -> None:
        path = save_external(tmp_path / "in.onnx", data=data)
        if data is None:
            (tmp_path / "weights.bin").unlink()
        with pytest.raises(ExternalDataError, match=message):
            ModelFile.load(path)

    def test_from_proto_needs_the_folder(self, tmp_path: Path) -> None:
        proto = onnx.load(save_external(tmp_path / "in.onnx"), load_external_data=False)
        with pytest.raises(ExternalDataError, match="say in which folder"):
            ModelFile.from_proto(proto)
        assert ModelFile.from_proto(proto, tmp_path).main.graph.nodes[0].inputs[1].values[1] == 1

    @pytest.mark.parametrize("location", ["weights.bin", "sub/weights.bin"])
    def test_follows_the_model_to_another_folder(self, tmp_path: Path, location: str) -> None:
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx", location))
        (tmp_path / "b").mkdir()
        calls = []
        loaded.save(tmp_path / "b" / "out.onnx", progress=lambda *call: calls.append(call))
        assert (tmp_path / "b" / location).read_bytes() == WEIGHTS.tobytes()
        assert calls == [("weights.bin", WEIGHTS.nbytes, WEIGHTS.nbytes)]
        shutil.rmtree(tmp_path / "a")
        ModelFile.load(tmp_path / "b" / "out.onnx")

    def test_stays_where_it_is_in_the_same_folder(self, tmp_path: Path) -> None:
        path = save_external(tmp_path / "in.onnx")
        before = (tmp_path / "weights.bin").stat()
        loaded = ModelFile.load(path)
        replace = [tmp_path / "out.onnx", path]
        for target in replace:
            loaded.save(target)
        after = (tmp_path / "weights.bin").stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert files(tmp_path) == ["in.onnx", "out.onnx", "weights.bin"]

    def test_never_overwrites_weights_of_others(self, tmp_path: Path) -> None:
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "weights.bin").write_bytes(b"of someone else")
        with pytest.raises(OutputError, match=r"weights\.bin exists and .* does not use it"):
            loaded.save(tmp_path / "b" / "out.onnx")
        assert files(tmp_path / "b") == ["weights.bin"]
        assert (tmp_path / "b" / "weights.bin").read_bytes() == b"of someone else"

    def test_replaces_the_weights_of_the_model_that_it_replaces(self, tmp_path: Path) -> None:
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        save_external(tmp_path / "b" / "out.onnx", data=b"\0" * WEIGHTS.nbytes)
        loaded.save(tmp_path / "b" / "out.onnx")
        assert (tmp_path / "b" / "weights.bin").read_bytes() == WEIGHTS.tobytes()

    def test_keeps_an_equal_file(self, tmp_path: Path) -> None:
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        (tmp_path / "b").mkdir()
        copy = tmp_path / "b" / "weights.bin"
        copy.write_bytes(WEIGHTS.tobytes())
        before = copy.stat().st_ino
        loaded.save(tmp_path / "b" / "out.onnx")
        assert copy.stat().st_ino == before

    def test_a_link_out_of_the_output_folder_is_not_written_through(self, tmp_path: Path) -> None:
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "weights.bin").symlink_to("../a/weights.bin")
        with pytest.raises(OutputError, match="exists and"):
            loaded.save(tmp_path / "b" / "out.onnx")

    def test_a_file_that_is_no_longer_used_is_not_copied(self, tmp_path: Path) -> None:
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        replace_last_node(loaded)
        (tmp_path / "b").mkdir()
        loaded.save(tmp_path / "b" / "out.onnx")
        assert files(tmp_path / "b") == ["out.onnx"]

    def test_is_not_overwritten_by_the_model(self, tmp_path: Path) -> None:
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        (tmp_path / "b").mkdir()
        for folder in ("a", "b"):
            with pytest.raises(OutputError, match=r"holds the weights of the model"):
                loaded.save(tmp_path / folder / "weights.bin")
        assert (tmp_path / "a" / "weights.bin").read_bytes() == WEIGHTS.tobytes()
        assert files(tmp_path / "b") == []


class TestSave:
    def test_refuses_what_is_no_file_name(self, tmp_path: Path) -> None:
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

    @pytest.mark.parametrize("step", ["chmod", "replace"])
    def test_a_failure_leaves_everything_as_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx", "sub/w.bin"))
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "out.onnx").write_bytes(b"old")
        original = getattr(Path, step)

        def fail_on_the_model(self: Path, argument: int | Path) -> object:
            if isinstance(argument, int) or argument.name == "out.onnx":
                raise OSError(28, "No space left on device")
            return original(self, argument)

        monkeypatch.setattr(Path, step, fail_on_the_model)
        with pytest.raises(OutputError, match=r"out\.onnx cannot be written: No space left"):
            loaded.save(tmp_path / "b" / "out.onnx")
        assert files(tmp_path / "b") == ["out.onnx"]
        assert (tmp_path / "b" / "out.onnx").read_bytes() == b"old"

    def test_an_interruption_leaves_nothing(self, tmp_path: Path) -> None:
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        (tmp_path / "b").mkdir()

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            loaded.save(tmp_path / "b" / "out.onnx", progress=interrupt)
        assert files(tmp_path / "b") == []

    def test_over_the_input_after_a_change(self, tmp_path: Path) -> None:
        path = save_external(tmp_path / "in.onnx")
        loaded = ModelFile.load(path)
        replace_last_node(loaded)
        loaded.save(path)
        assert [n.op_type for n in onnx.load(path).graph.node] == ["Neg"]

    def test_keeps_the_mode_of_the_file_it_replaces(self, tmp_path: Path) -> None:
        target = tmp_path / "out.onnx"
        target.write_bytes(b"old")
        target.chmod(0o640)
        ModelFile.from_proto(model()).save(target)
        assert target.stat().st_mode & 0o777 == 0o640

    def test_a_link_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "old.onnx").write_bytes(b"old")
        (tmp_path / "out.onnx").symlink_to("old.onnx")
        ModelFile.from_proto(model()).save(tmp_path / "out.onnx")
        assert (tmp_path / "out.onnx").is_symlink()
        assert onnx.load(tmp_path / "old.onnx") == model()

    def test_a_link_to_another_folder_does_not_part_a_model_from_its_weights(
        self, tmp_path: Path
    ) -> None:
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        (tmp_path / "b").mkdir()
        (tmp_path / "out.onnx").symlink_to("b/out.onnx")
        with pytest.raises(OutputError, match=r"is a link to .*b/out\.onnx, and the weights"):
            loaded.save(tmp_path / "out.onnx")
        assert files(tmp_path / "b") == []

    def test_a_model_and_weights_that_are_links_are_replaced_in_place(self, tmp_path: Path) -> None:
        """As in the cache of Hugging Face: all that is in `snapshot` is a link into `blobs`."""
        save_external(tmp_path / "blobs" / "in.onnx")
        snapshot = tmp_path / "snapshot"
        snapshot.mkdir()
        for name in ("in.onnx", "weights.bin"):
            (snapshot / name).symlink_to(f"../blobs/{name}")
        before = (tmp_path / "blobs" / "weights.bin").stat()
        loaded = ModelFile.load(snapshot / "in.onnx")
        loaded.proto.doc_string = "changed"
        loaded.mark_changed()
        loaded.save(snapshot / "in.onnx")
        assert all((snapshot / name).is_symlink() for name in ("in.onnx", "weights.bin"))
        assert (tmp_path / "blobs" / "weights.bin").stat() == before
        assert ModelFile.load(snapshot / "in.onnx").proto.doc_string == "changed"

    def test_weights_that_are_read_only_are_not_replaced(self, tmp_path: Path) -> None:
        loaded = ModelFile.load(save_external(tmp_path / "a" / "in.onnx"))
        save_external(tmp_path / "b" / "out.onnx", data=b"\0" * WEIGHTS.nbytes)
        (tmp_path / "b" / "weights.bin").chmod(0o444)
        with pytest.raises(OutputError, match=r"weights\.bin is read-only"):
            loaded.save(tmp_path / "b" / "out.onnx")
        assert (tmp_path / "b" / "weights.bin").read_bytes() == b"\0" * WEIGHTS.nbytes
