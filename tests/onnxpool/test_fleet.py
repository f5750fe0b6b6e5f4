"""`onnxpool.fleet` on a Ray of two workers on this machine."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

import onnxpool
from onnxpool import fleet
from onnxpool.errors import ArgumentError
from tests.onnxpool.cli.conftest import PYRAMID, relu

MODELS = PYRAMID.parent


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="needs the extra `fleet`")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
@pytest.mark.filterwarnings("ignore")  # Ray's own.
def test_a_folder(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "below").mkdir(parents=True)
    shutil.copy(MODELS / "adaptive_avg_2d.onnx", source)
    shutil.copy(PYRAMID, source / "below")
    (source / "plain.onnx").write_bytes(relu())
    (source / "broken.onnx").write_bytes(b"no model")
    rows = fleet.rewrite(str(source), str(out), workers=2)
    found = {row.model: row.result for row in rows}
    assert found == {
        "adaptive_avg_2d.onnx": "written",
        "below/ppm.onnx": "written",
        "broken.onnx": "failed",
        "plain.onnx": "written",
    }
    wanted = onnxpool.rewrite(PYRAMID).model
    assert onnx.load(out / "below" / "ppm.onnx").graph == wanted.graph
    assert not (out / "broken.onnx").exists()
    table = fleet.summary(rows)
    assert "below/ppm.onnx" in table
    assert "1 failed, 3 written" in table
    # The second time nothing is done again, but for what is another file.
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    (source / "plain.onnx").write_bytes(relu("other"))
    assert {r.model: r.result for r in fleet.rewrite(str(source), str(out), workers=2)} == found
    changed = {p.name for p, time in before.items() if p.stat().st_mtime_ns != time}
    assert changed == {"plain.onnx", "plain.onnx.json"}
    assert json.loads((out / "broken.onnx.json").read_text())["result"] == "failed"


def test_one_model_without_ray(tmp_path: Path) -> None:
    """What a worker does, weights in a file of their own included."""
    model = onnx.load(PYRAMID)
    source = tmp_path / "in"
    source.mkdir()
    onnx.save(
        model,
        source / "m.onnx",
        save_as_external_data=True,
        location="m.data",
        size_threshold=200,
    )
    row = fleet._One(str(source), str(tmp_path / "out"), True, {})({"model": "m.onnx"})
    assert (row["result"], row["detail"]) == ("written", "1 rewritten")
    assert onnxpool.compare(tmp_path / "out" / "m.onnx", PYRAMID).passed
    assert (tmp_path / "out" / "m.data").exists()


def test_weights_outside_of_the_folder_are_not_fetched(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    model = onnx.load(PYRAMID)
    onnx.save(
        model, source / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=200
    )
    (source / "m.data").rename(tmp_path / "m.data")
    stored = onnx.load(source / "m.onnx", load_external_data=False)
    for tensor in stored.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../m.data"
    onnx.save(stored, source / "m.onnx")
    row = fleet._One(str(source), str(tmp_path / "out"), True, {})({"model": "m.onnx"})
    assert row["result"] == "failed"
    assert "m.data" in row["detail"]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["m.onnx.json"]


def test_a_store_without_models(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra `fleet`")
    with pytest.raises(ArgumentError, match=r"holds no \.onnx file"):
        fleet.rewrite(str(tmp_path), str(tmp_path / "out"))
