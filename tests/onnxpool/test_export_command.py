"""`onnxpool export` on the command line."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from models import gem, pyramid
from onnxpool import cli

MODELS = Path(pyramid.__file__).parent


def export(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["onnxpool", "export", *arguments])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def test_a_builder_with_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.onnx"
    source = f"{MODELS}/pyramid.py:ppm"
    assert export(monkeypatch, source, str(out), "--dynamic", "--seed", "3", "--json", "-") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rewritten"] == 1
    assert report["notes"] == []
    torch.manual_seed(3)
    module = pyramid.ppm().eval()
    session = ort.InferenceSession(out, providers=["CPUExecutionProvider"])
    for shape in ((1, 16, 33, 33), (2, 16, 7, 20)):
        x = np.random.default_rng(0).standard_normal(shape, np.float32)
        with torch.no_grad():
            wanted = module(torch.from_numpy(x)).numpy()
        # Sums over at most 33 * 33 positions and 16 channels in float32.
        np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, rtol=1e-4, atol=1e-5)


def test_weights_and_a_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, weights = tmp_path / "m.onnx", tmp_path / "w.pt"
    torch.save({"p": torch.tensor([4.5])}, weights)
    arguments = ("--shape", "1x2x5x4", "--weights", str(weights), "--exporter", "torchscript")
    assert export(monkeypatch, f"{MODELS}/gem.py:gem", str(out), *arguments) == 0
    (x,) = onnx.load(out).graph.input
    assert [d.dim_value for d in x.type.tensor_type.shape.dim] == [1, 2, 5, 4]
    sample = np.random.default_rng(0).random((1, 2, 5, 4), np.float32)
    session = ort.InferenceSession(out, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = gem.GeM(gem.learned(4.5))(torch.from_numpy(sample)).numpy()
    np.testing.assert_allclose(session.run(None, {"x": sample})[0], wanted, rtol=1e-5)


def test_a_module_that_takes_its_example_sizes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "square.py"
    source.write_text(
        "from torch import nn\n"
        "class Square(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return nn.functional.adaptive_avg_pool2d(x + x.mT, 2)\n"
        "EXAMPLES = {'Square': (2, 3, 5, 5)}\n"
    )
    out = tmp_path / "m.onnx"
    assert export(monkeypatch, f"{source}:Square", str(out), "--dynamic") == 0
    (x,) = onnx.load(out).graph.input
    dims = [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim]
    assert dims[1] == 3
    assert dims[2] == dims[3] != 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gem.py:GeM"], "gives no example input; say --shape"),
        (["gem.py:gem", "--shape", "ax3"], "--shape 'ax3' is no shape; write it as 1x8x33x33"),
        (["gem.py:gem", "--shape", "1x8x4x4", "--shape", "1x2"], "shape 1x8x4x4, 1x2: TypeError"),
        (["gem.py:gem", "--opset", "9"], "the dynamo exporter writes opset 18 to 23, not 9"),
        (["gem.py:gem", "--to", "custom"], "'custom' is not one of 'standard', 'custom-op'"),
        (["gem.py:jem"], "has no 'jem'; did you mean 'gem'?"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, *options = arguments
    assert export(monkeypatch, f"{MODELS}/{source}", str(tmp_path / "m.onnx"), *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_torch_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert export(monkeypatch, f"{MODELS}/gem.py:gem", str(tmp_path / "m.onnx")) == 2
    assert 'pip install "onnxpool[torch]"' in capsys.readouterr().err
