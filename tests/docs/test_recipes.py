"""docs/recipes.md: its code runs, beside the packages themselves or as much of them as it calls."""

import re
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxpool

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "recipes.md"


def code(title: str) -> str:
    """The Python below a heading."""
    _, _, text = PAGE.read_text("utf-8").partition(f"\n## {title}\n")
    found = re.search(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def run(title: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": f"recipe_{title}"}
    exec(compile(code(title), str(PAGE), "exec"), names)
    return names


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(ROOT / "models" / "ppm.onnx", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "ppm.onnx"


def check(path: Path, model: Path) -> None:
    """It is rewritten, and computes what the model does."""
    assert not {"GatherND", "Transpose"} & {node.op_type for node in onnx.load(path).graph.node}
    x = np.random.default_rng(0).standard_normal((1, 16, 33, 33)).astype(np.float32)
    a, b = (onnxruntime.InferenceSession(p).run(None, {"x": x}) for p in (model, path))
    for before, after in zip(a, b, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)


def package(monkeypatch: pytest.MonkeyPatch, name: str, **contents: Any) -> None:
    """As much of a package as a recipe calls."""
    parts = name.split(".")
    for i in range(len(parts)):
        module = types.ModuleType(".".join(parts[: i + 1]))
        monkeypatch.setitem(sys.modules, module.__name__, module)
    vars(module).update(contents)


def test_optimum(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def main_export(_name: str, output: str, opset: int) -> None:
        assert opset == 18
        Path(output).mkdir()
        shutil.copy(model, Path(output) / "model.onnx")

    package(monkeypatch, "optimum.exporters.onnx", main_export=main_export)
    run("Optimum")["export_right"]("name", "folder")
    check(tmp_path / "folder" / "model.onnx", model)


def test_ultralytics(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class YOLO:
        def __init__(self, weights: str) -> None:
            self.path = Path(weights).with_suffix(".onnx")

        def export(self, format: str, dynamic: bool, simplify: bool) -> str:
            assert (format, dynamic, simplify) == ("onnx", True, False)
            return str(shutil.copy(model, self.path))

    package(monkeypatch, "ultralytics", YOLO=YOLO)
    written = run("Ultralytics")["export_right"]("yolo.pt")
    check(tmp_path / written, model)


def test_onnxsim(tmp_path: Path, model: Path) -> None:
    names = run("onnxsim")
    onnx.save(names["simplified"], "out.onnx")
    check(tmp_path / "out.onnx", model)
    # What it has rewritten it leaves alone the next time.
    assert names["pooling"](onnxpool.rewrite(model).model) is False


@pytest.mark.filterwarnings("ignore")  # Polygraphy's own.
def test_polygraphy() -> None:
    names = run("Polygraphy")
    (first, second) = names["results"].keys()
    assert (first, second) == ("as it came", "rewritten")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Olive's own.
def test_olive(tmp_path: Path, model: Path) -> None:
    olive_pass = pytest.importorskip("olive.passes.olive_pass", reason="needs olive-ai")
    names = run("Olive")
    made = olive_pass.create_pass_from_dict(names["OnnxPool"], {}, disable_search=True)
    given = names["ONNXModelHandler"](model_path=str(model))
    result = made.run(given, str(tmp_path / "olive"))
    check(Path(result.model_path), model)
