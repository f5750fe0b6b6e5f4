"""Weights in files of their own: found, checked, read singly, never outside of the folder."""

from collections.abc import Sequence
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto

from onnxpool.errors import ExternalDataError
from onnxpool.model.external_data import DataFolder, Reference, locations, nbytes

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def external(
    location: str,
    data_type: int = TensorProto.FLOAT,
    dims: Sequence[int] = (2, 3),
    **entries: object,
) -> TensorProto:
    tensor = TensorProto(name="w", data_type=data_type, dims=dims)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w.bin").write_bytes(b"\xff" * 8 + VALUES.tobytes() + b"\xff" * 4)
    (tmp_path / "secret.bin").write_bytes(VALUES.tobytes())
    return DataFolder(tmp_path / "model" / "m.onnx")


def test_reads_its_range_only(folder: DataFolder) -> None:
    np.testing.assert_array_equal(folder.read(external("w.bin", offset=8, length=24)), VALUES)
    np.testing.assert_array_equal(folder.read(external("./w.bin", offset=8)), VALUES)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "int4", "uint8", "bool"])
def test_reads_every_dtype(tmp_path: Path, dtype: str) -> None:
    values = np.array([0, 1, 1]).astype(getattr(ml_dtypes, dtype, dtype))
    embedded = onnx.numpy_helper.from_array(values)
    (tmp_path / "w.bin").write_bytes(embedded.raw_data)
    tensor = external("w.bin", embedded.data_type, (3,))
    assert nbytes(tensor) == len(embedded.raw_data)
    read = DataFolder(tmp_path / "m.onnx").read(tensor)
    assert read.dtype == values.dtype
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (external("gone.bin"), "external data file 'gone.bin' is missing"),
        (external("../secret.bin"), "is not inside the folder of the model"),
        (external("sub/../../secret.bin"), "is not inside the folder of the model"),
        (external("sub/.."), "is not inside the folder of the model"),
        (external("w.bin\0"), "is not inside the folder of the model"),
        (external("."), "is not inside the folder of the model"),
        (external("/dev/zero"), "is not inside the folder of the model"),
        (external("w.bin", offset=16), "too short: tensor 'w' ends at byte 40, the file at 36"),
        (external("w.bin", length=20), "needs 24 bytes, but its external data in 'w.bin' has"),
        (external("w.bin", offset=-1), "offset of its external data is '-1'"),
        (external("w.bin", length="²"), "length of its external data is '²'"),
        (external(""), "names no file"),
        (external("w.bin", TensorProto.STRING), "cannot be external"),
        (external("w.bin", data_type=99), "cannot be external"),
    ],
)
def test_refuses(folder: DataFolder, tensor: TensorProto, message: str) -> None:
    for refuse in (lambda: folder.check([tensor]), lambda: folder.read(tensor)):
        with pytest.raises(ExternalDataError) as error:
            refuse()
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def test_refuses_a_link_out_of_the_folder(folder: DataFolder) -> None:
    link = folder.model.parent / "link.bin"
    link.symlink_to("../secret.bin")
    with pytest.raises(ExternalDataError, match="is a link out of the folder"):
        folder.read(external("link.bin"))


def test_refuses_a_loop_of_links(folder: DataFolder) -> None:
    link = folder.model.parent / "loop.bin"
    link.symlink_to("loop.bin")
    with pytest.raises(ExternalDataError, match="is missing"):
        folder.read(external("loop.bin"))


def test_takes_a_link_inside_the_folder(folder: DataFolder) -> None:
    (folder.model.parent / "link.bin").symlink_to("w.bin")
    np.testing.assert_array_equal(folder.read(external("link.bin", offset=8)), VALUES)


def test_takes_the_links_of_a_hugging_face_cache(tmp_path: Path) -> None:
    for name in ("blobs", "snapshots"):
        (tmp_path / name).mkdir()
    (tmp_path / "blobs" / "aaa").write_bytes(b"model")
    (tmp_path / "blobs" / "bbb").write_bytes(VALUES.tobytes())
    (tmp_path / "snapshots" / "m.onnx").symlink_to("../blobs/aaa")
    (tmp_path / "snapshots" / "m.onnx_data").symlink_to("../blobs/bbb")
    folder = DataFolder(tmp_path / "snapshots" / "m.onnx")
    np.testing.assert_array_equal(folder.read(external("m.onnx_data")), VALUES)


def test_check_reads_nothing(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("opened a data file"))
    folder.check([external("w.bin", offset=8)])


def test_a_file_that_cannot_be_opened_is_one_line(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ExternalDataError, match=r"w\.bin cannot be read: Permission denied"):
        folder.read(external("w.bin"))


def test_locations_are_found_everywhere() -> None:
    def constant(location: str) -> onnx.NodeProto:
        return onnx.helper.make_node("Constant", [], ["k" + location], value=external(location))

    branch = onnx.helper.make_graph([constant("branch")], "b", [], [])
    choice = onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    graph = onnx.helper.make_graph([constant("node"), choice], "g", [], [], [external("weight")])
    graph.initializer.append(external("weight"))
    sparse = graph.sparse_initializer.add()
    sparse.values.CopyFrom(external("sparse"))
    model = onnx.helper.make_model(graph)
    model.functions.append(
        onnx.helper.make_function("d", "f", [], ["kfunction"], [constant("function")], [])
    )
    model.training_info.add().algorithm.initializer.append(external("training"))
    wanted = ("weight", "sparse", "node", "branch", "function", "training")
    assert locations(model) == wanted


def test_reference_defaults() -> None:
    assert Reference.of(external("w.bin")) == Reference("w.bin", 0, None)
