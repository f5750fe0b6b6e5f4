"""What becomes of external data when the result goes to another folder: three ways, told apart."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from onnxpool.errors import ArgumentError, OutputError
from onnxpool.model.file import ModelFile
from tests.onnxpool.model.test_file import WEIGHTS, files, replace_last_node, save_external

X = np.full(512, 2, np.float32)


def run(path: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": X})[0])


@pytest.fixture
def loaded(tmp_path: Path) -> ModelFile:
    (tmp_path / "b").mkdir()
    return ModelFile.load(save_external(tmp_path / "a" / "in.onnx", "sub/w.bin"))


def test_link_is_a_second_name(loaded: ModelFile, tmp_path: Path) -> None:
    loaded.save(tmp_path / "b" / "out.onnx", weights="link")
    assert files(tmp_path / "b") == ["out.onnx", "sub", "sub/w.bin"]
    assert (tmp_path / "b/sub/w.bin").samefile(tmp_path / "a/sub/w.bin")
    np.testing.assert_array_equal(run(tmp_path / "b" / "out.onnx"), X * WEIGHTS)
    before = (tmp_path / "b/sub/w.bin").stat()
    loaded.save(tmp_path / "b" / "out.onnx", weights="link")
    assert (tmp_path / "b/sub/w.bin").stat() == before


def test_link_takes_the_place_of_old_weights(loaded: ModelFile, tmp_path: Path) -> None:
    save_external(tmp_path / "b" / "out.onnx", "sub/w.bin", data=b"\0" * WEIGHTS.nbytes)
    loaded.save(tmp_path / "b" / "out.onnx", weights="link")
    assert (tmp_path / "b/sub/w.bin").samefile(tmp_path / "a/sub/w.bin")


def refuse(*_: object) -> None:
    raise OSError(18, "Invalid cross-device link")


def test_no_link_out_of_the_folder(
    loaded: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured: ONNX Runtime 1.31 and onnx 1.23 load no symbolic link that leaves the folder."""
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with pytest.raises(OutputError, match=r"cannot have the name .* take --weights copy"):
        loaded.save(tmp_path / "b" / "out.onnx", weights="link")
    assert files(tmp_path / "b") == []


def test_a_symbolic_link_inside_the_folder(
    loaded: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    loaded.save(tmp_path / "out.onnx", weights="link")
    assert (tmp_path / "sub/w.bin").is_symlink()
    assert (tmp_path / "sub/w.bin").samefile(tmp_path / "a/sub/w.bin")
    np.testing.assert_array_equal(run(tmp_path / "out.onnx"), X * WEIGHTS)


def test_reference_leaves_the_data_below(loaded: ModelFile, tmp_path: Path) -> None:
    assert not loaded.save(tmp_path / "out.onnx", weights="reference")
    assert files(tmp_path) == ["a", "a/in.onnx", "a/sub", "a/sub/w.bin", "b", "out.onnx"]
    (weight,) = ModelFile.load(tmp_path / "out.onnx").proto.graph.initializer
    assert [(e.key, e.value) for e in weight.external_data] == [("location", "a/sub/w.bin")]
    np.testing.assert_array_equal(run(tmp_path / "out.onnx"), X * WEIGHTS)
    # The model that was read is what it was.
    assert loaded.save(tmp_path / "b" / "out.onnx")
    assert (tmp_path / "b" / "out.onnx").read_bytes() == (tmp_path / "a/in.onnx").read_bytes()


def test_reference_in_the_same_folder_changes_nothing(loaded: ModelFile, tmp_path: Path) -> None:
    assert loaded.save(tmp_path / "a" / "out.onnx", weights="reference")
    assert (tmp_path / "a" / "out.onnx").read_bytes() == (tmp_path / "a/in.onnx").read_bytes()


def test_reference_out_of_the_folder_is_refused(loaded: ModelFile, tmp_path: Path) -> None:
    replace_last_node(loaded)
    loaded = ModelFile.load(tmp_path / "a" / "in.onnx")
    with pytest.raises(OutputError, match=r"w\.bin is not below the folder of .*out\.onnx"):
        loaded.save(tmp_path / "b" / "out.onnx", weights="reference")
    assert files(tmp_path / "b") == []


def test_there_are_three_ways(loaded: ModelFile, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="use copy or link or reference"):
        loaded.save(tmp_path / "b" / "out.onnx", weights="move")  # type: ignore[arg-type]
