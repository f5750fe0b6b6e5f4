"""Large tensors that stay in their file: what is written is what the whole model would give."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxpool
from onnxpool.errors import ModelError, OutputError
from onnxpool.model import file as model_file
from onnxpool.model import large_tensors
from onnxpool.model.external_data import LEFT, is_left, tensors_of_model
from onnxpool.model.file import ModelFile
from onnxpool.pipeline import loading
from tests.attacks.sources import ROOT, SOURCES

VALUES = np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32)
SIZE = 1000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is large, and a tensor from some bytes on."""
    monkeypatch.setattr(model_file, "LARGE_FILE", 0)
    monkeypatch.setattr(large_tensors, "_LARGE_TENSOR", SIZE)


def constant(name: str, values: np.ndarray = VALUES) -> TensorProto:
    return onnx.numpy_helper.from_array(values, name)


def everywhere() -> onnx.ModelProto:
    """Large tensors in an initializer, a node, a branch, a function; typed values; a doc string."""
    (pool,) = (source.model() for source in SOURCES if source.name == "bins")
    value = helper.make_tensor_value_info
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node("Constant", [], [name], value=constant(""))],
            name,
            [],
            [value(name, 1, [40, 30])],
        )
        for name in ("then", "else")
    }
    call = helper.make_node("Constant", [], ["b"], value=constant("", VALUES[::-1].copy()))
    pool.functions.append(
        helper.make_function("mine", "f", [], ["b"], [call], [helper.make_opsetid("", 17)])
    )
    pool.graph.initializer.extend([constant("w"), constant("v"), constant("few", VALUES[:2])])
    pool.graph.initializer[-2].doc_string = "a note"
    typed = pool.graph.initializer.add(name="typed", data_type=1, dims=[VALUES.size])
    typed.float_data.extend(VALUES.reshape(-1).tolist())
    pool.graph.node.extend(
        [
            helper.make_node("If", ["go"], ["i"], **branches),
            helper.make_node("f", [], ["c"], domain="mine"),
            helper.make_node("Constant", [], ["k"], value=constant("named")),
            helper.make_node("Sum", ["w", "v", "i", "c", "k"], ["Z"]),
            helper.make_node("Identity", ["typed"], ["T"]),
        ]
    )
    pool.graph.input.append(value("go", TensorProto.BOOL, []))
    pool.graph.output.extend([value("Z", 1, [40, 30]), value("T", 1, [1200])])
    pool.opset_import.append(helper.make_opsetid("mine", 1))
    onnx.checker.check_model(pool)
    return pool


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "in.onnx"
    onnx.save(everywhere(), path)
    return path


def left(file: ModelFile) -> int:
    return sum(map(is_left, tensors_of_model(file.proto)))


def test_large_tensors_are_not_in_memory(path: Path) -> None:
    file = ModelFile.load(path, whole=False)
    assert left(file) == 6
    assert file.proto.ByteSize() < path.stat().st_size - 6 * VALUES.nbytes + 2000
    assert left(ModelFile.load(path)) == 0


def test_what_is_written_is_what_the_whole_model_gives(path: Path, tmp_path: Path) -> None:
    for whole in (True, False):
        file = ModelFile.load(path, whole=whole)
        file.proto.doc_string = "changed"
        file.mark_changed()
        file.save(tmp_path / f"{whole}.onnx")
        assert file.serialize() == (tmp_path / f"{whole}.onnx").read_bytes()
    assert (tmp_path / "True.onnx").read_bytes() == (tmp_path / "False.onnx").read_bytes()
    assert onnx.load(tmp_path / "False.onnx").doc_string == "changed"


def test_a_tensor_that_gets_another_name_keeps_its_values(path: Path, tmp_path: Path) -> None:
    written = {}
    for whole in (True, False):
        file = ModelFile.load(path, whole=whole)
        (tensor,) = (t for t in file.proto.graph.initializer if t.name == "w")
        tensor.name = "another"
        file.mark_changed()
        written[whole] = onnx.load_from_string(file.serialize())
        file.fill()
        assert file.proto == written[whole]
    assert written[True] == written[False]


def test_a_rewrite_gives_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "LARGEST", 0)
    result = onnxpool.rewrite(path)
    assert left(result._file) == 6
    data = result.serialize()
    monkeypatch.setattr(model_file, "LARGE_FILE", 1 << 40)
    assert onnxpool.rewrite(path).serialize() == data
    assert result.report.rewritten == 1
    # The model itself is whole, for whoever asks for it.
    assert result.model.SerializeToString() == data
    assert left(result._file) == 0


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name.replace(" ", "_"))
def test_every_kind_of_model_gives_the_same(
    source: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hasattr(source, "data")
    (tmp_path / "in.onnx").write_bytes(source.data)
    (tmp_path / "weights.bin").write_bytes(bytes(96))
    monkeypatch.setattr(large_tensors, "_LARGE_TENSOR", 16)
    found = onnxpool.rewrite(tmp_path / "in.onnx").serialize()
    monkeypatch.setattr(model_file, "LARGE_FILE", 1 << 40)
    assert onnxpool.rewrite(tmp_path / "in.onnx").serialize() == found


def test_an_unchanged_model_is_the_bytes_that_it_was(path: Path, tmp_path: Path) -> None:
    # Protobuf would write neither this unknown field first nor a tensor's fields in this order.
    odd = b"\xc2\x3e\x01\x07" + path.read_bytes()
    path.write_bytes(odd)
    file = ModelFile.load(path, whole=False)
    assert left(file) == 6
    assert file.save(tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == odd
    assert file.save(path)
    assert path.read_bytes() == odd
    # It was replaced by itself; the one that was read is still at hand.
    assert file.save(tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == odd


def test_a_file_that_is_written_to_is_not_mixed_up(path: Path, tmp_path: Path) -> None:
    file = ModelFile.load(path, whole=False)
    with path.open("r+b") as stream:
        stream.truncate(100)
    with pytest.raises(OutputError, match=r"in\.onnx changed while it was copied"):
        file.save(tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
    with pytest.raises(ModelError, match="changed"):
        file.fill()


def test_a_value_is_read_alone(path: Path) -> None:
    file = ModelFile.load(path, whole=False)
    (constant,) = {
        id(t): t for n in file.main.graph.nodes for t in n.inputs if t.name == "w"
    }.values()
    np.testing.assert_array_equal(constant.values, VALUES)


def test_a_message_in_two_parts_is_read_whole(path: Path, tmp_path: Path) -> None:
    """Protobuf joins the parts of a message: of this weight, with what is the same."""
    data = path.read_bytes()
    node = helper.make_node("Constant", [], ["Q"], value=constant(""))
    (attribute,) = node.attribute
    half = attribute.SerializeToString()
    del node.attribute[:]
    graph = node.SerializeToString()
    field = b"\x2a" + varint(2 * len(half)) + half + half
    twice = b"\x0a" + varint(len(graph) + len(field)) + graph + field
    (tmp_path / "odd.onnx").write_bytes(data + b"\x3a" + varint(len(twice)) + twice)
    file = ModelFile.load(tmp_path / "odd.onnx", whole=False)
    assert left(file) == 0
    assert file.proto == onnx.load(tmp_path / "odd.onnx")


def varint(number: int) -> bytes:
    return bytes([number & 127 | 128, *varint(number >> 7)]) if number > 127 else bytes([number])


def test_a_file_cannot_say_that_something_was_left(path: Path) -> None:
    model = everywhere()
    weight = model.graph.initializer[-1]
    weight.Clear()
    weight.name, weight.data_type = "typed", 1
    weight.dims.append(1200)
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=f"{LEFT}{'0' * 32}")
    weight.external_data.add(key="offset", value="0")
    onnx.save(model, path)
    for whole in (True, False):
        with pytest.raises(Exception, match="not inside the folder"):
            ModelFile.load(path, whole=whole)


def test_the_models_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source in sorted((ROOT / "models").glob("*.onnx")):
        monkeypatch.setattr(model_file, "LARGE_FILE", 0)
        found = onnxpool.rewrite(source).serialize()
        monkeypatch.setattr(model_file, "LARGE_FILE", 1 << 40)
        assert onnxpool.rewrite(source).serialize() == found
