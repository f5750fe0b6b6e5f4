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
from tests.onnxpool.conftest import Run

MODELS = Path(pyramid.__file__).parent


def test_a_builder_with_examples(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "m.onnx"
    source = f"{MODELS}/pyramid.py:ppm"
    status, text, _ = run("export", source, out, "--dynamic", "--seed", "3", "--json", "-")
    assert status == 0
    (report,) = json.loads(text)
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


def test_weights_and_a_shape(run: Run, tmp_path: Path) -> None:
    out, weights = tmp_path / "m.onnx", tmp_path / "w.pt"
    torch.save({"p": torch.tensor([4.5])}, weights)
    arguments = ("--shape", "1x2x5x4", "--weights", str(weights), "--exporter", "torchscript")
    assert run("export", f"{MODELS}/gem.py:gem", out, *arguments)[0] == 0
    (x,) = onnx.load(out).graph.input
    assert [d.dim_value for d in x.type.tensor_type.shape.dim] == [1, 2, 5, 4]
    sample = np.random.default_rng(0).random((1, 2, 5, 4), np.float32)
    session = ort.InferenceSession(out, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        wanted = gem.GeM(gem.learned(4.5))(torch.from_numpy(sample)).numpy()
    np.testing.assert_allclose(session.run(None, {"x": sample})[0], wanted, rtol=1e-5)


def test_a_module_that_takes_its_example_sizes_only(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "square.py"
    source.write_text(
        "from torch import nn\n"
        "class Square(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return nn.functional.adaptive_avg_pool2d(x + x.mT, 2)\n"
        "EXAMPLES = {'Square': (2, 3, 5, 5)}\n"
    )
    out = tmp_path / "m.onnx"
    assert run("export", f"{source}:Square", out, "--dynamic")[0] == 0
    (x,) = onnx.load(out).graph.input
    dims = [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim]
    assert dims[1] == 3
    assert dims[2] == dims[3] != 5


@pytest.mark.parametrize(
    ("dtype", "onnx_type"),
    [("float16", onnx.TensorProto.FLOAT16), ("float64", onnx.TensorProto.DOUBLE)],
)
def test_example_inputs_have_the_dtype_of_the_module(
    run: Run, tmp_path: Path, dtype: str, onnx_type: int
) -> None:
    source, out = tmp_path / "net.py", tmp_path / "m.onnx"
    source.write_text(
        "import torch\nfrom torch import nn\n"
        f"def net(): return nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU()).to(torch.{dtype})\n"
    )
    status, _, errors = run("export", f"{source}:net", out, "--shape", "1x3x5x5")
    assert (status, errors) == (0, "")
    (x,) = onnx.load(out).graph.input
    assert x.type.tensor_type.elem_type == onnx_type


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gem.py:GeM"], "gives no example input; say --shape"),
        (["gem.py:gem", "--shape", "ax3"], "'ax3' is no shape; wanted sizes with x between"),
        (["gem.py:gem", "--shape", "1x8x4x4", "--shape", "1x2"], "shape 1x8x4x4, 1x2: TypeError"),
        (["gem.py:gem", "--opset", "9"], "the dynamo exporter writes opset 18 to 23, not 9"),
        (["gem.py:gem", "--to", "custom"], "'custom' is not one of 'standard', 'custom-op'"),
        (["gem.py:jem"], "has no 'jem'; did you mean 'gem'?"),
    ],
)
def test_a_mistake_is_one_line(
    run: Run, arguments: list[str], message: str, tmp_path: Path
) -> None:
    source, *options = arguments
    status, _, error = run("export", MODELS / source, tmp_path / "m.onnx", *options)
    assert status == 2
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_torch_is_not_installed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    status, _, error = run("export", f"{MODELS}/gem.py:gem", tmp_path / "m.onnx")
    assert status == 2
    assert "pip install torch onnxscript" in error
