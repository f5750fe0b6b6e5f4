"""Inputs and outputs in an .npz file as the reference of a model."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from typer.testing import CliRunner

import onnxpool
from onnxpool.cli.app import app
from onnxpool.errors import ArgumentError

POOL = """<ir_version: 8, opset_import: ["" : 17], producer_name: "PaddlePaddle">
    g (float[N,3,{h},{w}] x) => (float[N,3,6,6] y)
    {{ y = AveragePool<kernel_shape=[5, 5], strides=[2, 2]>(x) }}"""


def pool(height: int = 15, width: int = 15) -> onnx.ModelProto:
    return onnx.parser.parse_model(POOL.format(h=height, w=width))


def pairs(path: Path, *, adaptive: bool, numbers: int = 3) -> Path:
    """Batches of several sizes, by adaptive pooling to 6x6 or by the windows of the model."""
    arrays: dict[str, Any] = {}
    for number in range(numbers):
        x = torch.randn(number + 1, 3, 15, 15, generator=torch.Generator().manual_seed(number))
        y = F.adaptive_avg_pool2d(x, 6) if adaptive else F.avg_pool2d(x, 5, 2)
        arrays |= {f"{number}/x": x.numpy(), f"{number}/y": y.numpy()}
    np.savez(path, **arrays)
    return path


def test_a_model_that_is_right(tmp_path: Path) -> None:
    validation = onnxpool.validate(pool(), pairs(tmp_path / "p.npz", adaptive=False))
    assert validation.passed
    assert [result.label for result in validation.sizes] == ["pair 0", "pair 1", "pair 2"]
    assert [result.shapes for result in validation.sizes][2] == ((3, 3, 15, 15),)
    assert all(0 < result.accuracies[0].errors.max_abs < 1e-6 for result in validation.sizes)


def test_a_model_that_is_wrong(tmp_path: Path) -> None:
    validation = onnxpool.validate(pool(), pairs(tmp_path / "p.npz", adaptive=True))
    assert [result.outcome for result in validation.sizes] == ["wrong"] * 3
    assert "pair 0: off by" in validation.first_difference


def test_a_model_that_does_not_run(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"0/x": np.zeros((1, 3, 9, 9), "f"), "0/y": np.zeros((1, 3), "f")}
    np.savez(tmp_path / "p.npz", **arrays)
    (result,) = onnxpool.validate(pool(), tmp_path / "p.npz").sizes
    assert result.outcome == "fails"


def status(call: list[str]) -> Any:
    return CliRunner().invoke(app, call, standalone_mode=False).return_value


def test_rewrite_writes_what_the_pairs_confirm(tmp_path: Path) -> None:
    source, out = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(pool(), source)
    reference = str(pairs(tmp_path / "p.npz", adaptive=True))
    call = ["rewrite", str(source), str(out), "--reference", reference]
    assert status(call) == 1
    assert not out.exists()
    assert status([*call, "--restore", "*"]) == 0
    assert status(["validate", str(out), reference]) == 0
    assert status(["validate", str(source), reference]) == 1


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"x": np.zeros((1, 3, 15, 15), "f")}, "called 'x', wanted NUMBER/NAME, such as 0/x"),
        ({"0/z": np.zeros(1, "f")}, "called '0/z', wanted NUMBER/NAME, such as 0/x; the model has"),
        ({"0/y": np.zeros(1, "f")}, "lacks the input 0/x"),
        ({"7/x": np.zeros((1, 3, 15, 15), "f")}, "lacks the outputs of pair 7, such as 7/y"),
        ({}, "has no arrays"),
        (
            {"0/x": np.zeros((1, 3, 15, 15), "c8"), "0/y": np.zeros(1, "f")},
            "'0/x' is of complex64, and the model takes float32",
        ),
        ({"0/x": np.array([None]), "0/y": np.zeros(1, "f")}, r"cannot be read as \.npz"),
    ],
)
def test_what_does_not_fit_is_one_line(arrays: dict[str, Any], reason: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", **arrays)
    with pytest.raises(ArgumentError, match=reason):
        onnxpool.validate(pool(), tmp_path / "p.npz")


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name, content in (("a.npz", b"no zip"), ("b.npz", None)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ArgumentError, match=r"cannot be read as \.npz"):
            onnxpool.validate(pool(), tmp_path / name)
    np.save(tmp_path / "c.npy", np.zeros(3))
    (tmp_path / "c.npy").rename(tmp_path / "c.npz")
    with pytest.raises(ArgumentError, match="is one array"):
        onnxpool.validate(pool(), tmp_path / "c.npz")


def test_sizes_are_those_of_the_pairs(tmp_path: Path) -> None:
    reference = pairs(tmp_path / "p.npz", adaptive=False)
    with pytest.raises(ArgumentError, match="sizes and values of its own"):
        onnxpool.validate(pool(), reference, shapes=[(1, 3, 15, 15)])
