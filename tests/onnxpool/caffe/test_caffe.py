"""A model as a net of Caffe's: run by OpenCV 4 where that is installed, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from torch import nn

import onnxpool
from onnxpool import caffe
from onnxpool.caffe.net import Layer, Net, Word
from onnxpool.errors import TargetError
from onnxpool.exporters.torch_errors import quiet
from onnxpool.targets import find
from onnxpool.validation.in_target import run_in_target
from tests.onnxpool.conftest import Run
from tests.rewrites.legalize.standard import model_of
from tests.runtimes import environments
from tests.runtimes.registry import by_name

X = {"X": (2, 8, 12, 10)}
NORMAL = np.random.default_rng(1)
EPSILON = float(np.finfo(np.float32).eps)


def most(terms: int) -> float:
    """What sums of so many numbers differ by, of the greatest value, in another order."""
    return float(8 * np.sqrt(terms) * EPSILON)


def floats(*shape: int) -> np.ndarray:
    return NORMAL.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.fixture(scope="module")
def python() -> Path:
    found = environments.python_of(by_name("opencv4"), environments.default_folder())
    if found is None:
        pytest.skip("OpenCV 4 is not installed; python -m tests.runtimes install opencv4")
    return found


def error_in_opencv(model: onnx.ModelProto, folder: Path, python: Path) -> float:
    onnx.save(model, folder / "model.onnx")
    caffe.save(caffe.convert(model), folder / "model.prototxt")
    run = run_in_target(folder / "model.onnx", find("caffe"), python)
    assert run.outcome == "right", run.detail
    assert run.error is not None
    return run.error


def exported(module: nn.Module, *shape: int) -> onnx.ModelProto:
    with quiet():
        program = torch.onnx.export(
            module.eval(), (torch.zeros(shape),), dynamo=True, verbose=False
        )
    assert program is not None
    return program.model_proto


class GeM(nn.Module):
    def __init__(self, p: float, learned: bool) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), p)) if learned else p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(min=1e-6).pow(self.p).mean((2, 3), keepdim=True).pow(1 / self.p)


class Block(nn.Module):
    """The basic block of He et al., Deep Residual Learning (arXiv:1512.03385), figure 5."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def resnet18(pool: nn.Module) -> nn.Module:
    widths = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
    blocks = [b for i, o, s in widths for b in (Block(i, o, s), Block(o, o, 1))]
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    return nn.Sequential(
        *stem, nn.MaxPool2d(3, 2, 1), *blocks, pool, nn.Flatten(), nn.Linear(512, 10)
    )


class PyramidHead(nn.Module):
    """The head of Zhao et al., Pyramid Scene Parsing Network (arXiv:1612.01105)."""

    def __init__(self, channels: int, bins: tuple[int, ...]) -> None:
        super().__init__()
        width = channels // len(bins)
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(b),
                nn.Conv2d(channels, width, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            )
            for b in bins
        )
        self.classes = nn.Sequential(
            nn.Conv2d(channels * 2, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 5, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = x.shape[2:]
        resized = [
            nn.functional.interpolate(level(x), size, mode="bilinear", align_corners=True)
            for level in self.levels
        ]
        return self.classes(torch.cat([x, *resized], 1))


MODULES: dict[str, tuple[nn.Module, tuple[int, ...], int]] = {
    "GeM, p = 3": (GeM(3.0, learned=False), (1, 8, 5, 5), 5 * 5),
    "GeM, learned p": (GeM(2.87, learned=True), (1, 8, 5, 5), 5 * 5),
    "a pyramid of bins that divide": (PyramidHead(16, (1, 2, 3, 6)), (1, 16, 36, 36), 32 * 9),
    "a pyramid of bins that do not": (PyramidHead(16, (1, 2, 3, 6)), (1, 16, 33, 33), 32 * 9),
    "GeM ResNet-18": (resnet18(GeM(3.0, learned=True)), (1, 3, 97, 97), 512 * 9),
}
"""Each with a shape, and the terms of its longest sum."""


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_right_in_opencv(name: str, python: Path) -> None:
    module, shape, terms = MODULES[name]
    torch.manual_seed(0)
    result = onnxpool.rewrite(exported(module, *shape), target="caffe").run_in_target(python)
    assert result.report.in_target is not None
    assert result.report.in_target.outcome == "right"
    assert result.report.in_target.error is not None
    assert result.report.in_target.error <= most(terms)


PLANE: dict[str, Any] = {"kernel_shape": [3, 2], "strides": [2, 1]}
NODES: dict[str, onnx.ModelProto] = {
    "Conv": model_of("Conv", X, {"W": floats(6, 8, 3, 3), "B": floats(6)}, pads=[1, 0, 1, 0]),
    "Conv, groups": model_of("Conv", X, {"W": floats(8, 2, 3, 1)}, group=4, strides=[2, 3]),
    "Conv, dilated": model_of("Conv", X, {"W": floats(4, 8, 3, 3)}, dilations=[2, 1]),
    "Gemm": model_of("Gemm", {"X": (3, 7)}, {"W": floats(7, 5), "B": floats(5)}, alpha=0.5),
    "Gemm, turned": model_of("Gemm", {"X": (3, 7)}, {"W": floats(5, 7)}, transB=1),
    "MatMul": model_of("MatMul", {"X": (3, 7)}, {"W": floats(7, 5)}),
    "AveragePool": model_of("AveragePool", X, pads=[1, 1, 1, 1], count_include_pad=1, **PLANE),
    "AveragePool, a rest": model_of("AveragePool", X, kernel_shape=[5, 4], strides=[2, 3]),
    "MaxPool": model_of("MaxPool", X, pads=[1, 0, 1, 0], **PLANE),
    "MaxPool, over the edge": model_of("MaxPool", X, ceil_mode=1, **PLANE),
    "GlobalAveragePool": model_of("GlobalAveragePool", X),
    "GlobalMaxPool": model_of("GlobalMaxPool", X),
    "BatchNormalization": model_of(
        "BatchNormalization", X, {k: np.abs(floats(8)) + 0.5 for k in "sbmv"}, epsilon=1e-3
    ),
    "Softmax": model_of("Softmax", X, axis=1),
    "Softmax, last": model_of("Softmax", X, axis=-1),
    "Concat": model_of("Concat", {**X, "Z": (2, 3, 12, 10)}, axis=1),
    "Sum": model_of("Sum", {**X, "Z": X["X"], "U": X["X"]}),
    "Max": model_of("Max", {**X, "Z": X["X"]}),
    "Slice": model_of("Slice", X, {"s": ints(2), "e": ints(6), "a": ints(1)}),
    "Slice, to the end": model_of("Slice", X, {"s": ints(-3), "e": ints(99), "a": ints(3)}),
    "Slice, from the start": model_of("Slice", X, {"s": ints(0), "e": ints(5), "a": ints(2)}),
    "Split": model_of("Split", X, {"s": ints(2, 5, 1)}, outputs=("Y", "Z", "U"), axis=1),
    "Reshape": model_of("Reshape", X, {"s": ints(0, 4, -1)}),
    "Flatten": model_of("Flatten", X),
    "Squeeze": model_of("Squeeze", {"X": (2, 3, 1, 1)}, {"a": ints(2, 3)}),
    "Unsqueeze": model_of("Unsqueeze", {"X": (2, 3)}, {"a": ints(2, 3)}),
    "Resize": model_of(
        "Resize",
        X,
        {"s": ints(2, 8, 25, 7)},
        order=["X", "", "", "s"],
        mode="linear",
        coordinate_transformation_mode="align_corners",
    ),
    "Resize from one": model_of(
        "Resize", {"X": (1, 2, 1, 1)}, {"s": ints(1, 2, 4, 6)}, order=["X", "", "", "s"]
    ),
    "LeakyRelu": model_of("LeakyRelu", X, alpha=0.3),
    "Elu": model_of("Elu", X),
    **{op: model_of(op, X) for op in ("Abs", "Exp", "Neg", "Relu", "Sigmoid", "Tanh")},
    **{
        f"{op} {what}": model_of(op, X, {"c": value})
        for op in ("Add", "Div", "Mul", "Sub")
        for what, value in (("number", np.float32(0.3)), ("channels", floats(8, 1, 1)))
    },
    **{f"{op} of two": model_of(op, {**X, "Z": X["X"]}) for op in ("Add", "Mul", "Sub")},
    "number less X": model_of("Sub", X, {"c": np.float32(0.3)}, order=["c", "X"]),
    "channels less X": model_of("Sub", X, {"c": floats(8, 1, 1)}, order=["c", "X"]),
}


@pytest.mark.parametrize("name", NODES)
def test_a_node_is_right_in_opencv(name: str, tmp_path: Path, python: Path) -> None:
    assert error_in_opencv(NODES[name], tmp_path, python) <= most(120)


def test_exponents_are_exact(tmp_path: Path, python: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[1,4,5,5] x) => (float[1,4,5,5] y, float[1,4,5,5] z, float[1,4,5,5] r)
        <float three = {3}, float third = {0.333333343}, float one = {1}>
        { a = Abs(x) b = Add(a, one) p = Pow(b, three) y = Pow(p, third)
          z = Sqrt(b) r = Div(one, b) }""")
    text = caffe.convert(model).text()
    assert "power: 3\n" in text
    assert "power: 0.333333343\n" in text
    assert error_in_opencv(model, tmp_path, python) <= most(1)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (model_of("Trilu", X), "Trilu node 'node' has no layer there: this op is none"),
        (model_of("Conv", {**X, "W": (2, 8, 3, 3)}), "weights would have to be constant"),
        (model_of("Conv", {"X": (1, 2, 9)}, {"W": floats(2, 2, 3)}), "not of planes"),
        (model_of("Conv", X, {"W": floats(2, 8, 3, 3)}, pads=[0, 0, 1, 1]), "two sides"),
        (model_of("Conv", X, {"W": floats(2, 8, 3, 3)}, auto_pad="SAME_UPPER"), "auto_pad"),
        (model_of("AveragePool", X, pads=[1, 1, 1, 1], **PLANE), "which Caffe counts"),
        (model_of("AveragePool", X, ceil_mode=1, **PLANE), "hang over the edge"),
        (model_of("AveragePool", {"X": (1, 2, 9)}, kernel_shape=[3]), "not of planes"),
        (model_of("GlobalMaxPool", {"X": (1, 2, 9)}), "not of planes"),
        (model_of("MaxPool", X, dilations=[2, 1], **PLANE), "dilations"),
        (model_of("MaxPool", X, outputs=("Y", "I"), **PLANE), "several outputs"),
        (model_of("Pow", X, {"p": floats(8, 1, 1)}), "not one number"),
        (model_of("Add", X, {"c": floats(12, 10)}), "nor one for each channel"),
        (model_of("Add", {**X, "Z": (2, 8, 1, 1)}), "different shapes, and none"),
        (model_of("Div", {**X, "Z": X["X"]}), "one tensor by another"),
        (model_of("Div", X, {"c": np.float32(2)}, order=["c", "X"]), "other than 1"),
        (model_of("Div", X, {"c": floats(8, 1, 1)}, order=["c", "X"]), "divides a constant"),
        (model_of("Sum", {**X, "Z": (2, 8, 1, 1)}), "different shapes"),
        (model_of("Concat", X, {"c": floats(2, 8, 12, 1)}, axis=3), "is constant"),
        (model_of("Gemm", {"X": (7, 3)}, {"W": floats(7, 5)}, transA=1), "constant weights"),
        (model_of("Slice", X, {"s": ints(0), "e": ints(9), "a": ints(2), "t": ints(2)}), "steps"),
        (model_of("Slice", X, {"s": ints(1, 1), "e": ints(3, 3), "a": ints(2, 3)}), "several axes"),
        (
            model_of("Resize", X, {"s": ints(2, 8, 24, 20)}, order=["X", "", "", "s"]),
            "not linear with its corners aligned",
        ),
        (model_of("Relu", {"X": ("N", 8, 3, 3)}), "sizes of input 'X' are open"),
        (model_of("Abs", {"X": (2, 8)}, dtype=onnx.TensorProto.DOUBLE), "is not float32"),
    ],
)
def test_what_has_no_layer_is_refused_by_name(model: onnx.ModelProto, reason: str) -> None:
    with pytest.raises(TargetError, match=re.escape(reason)) as raised:
        caffe.convert(model)
    assert "nothing was written" in str(raised.value)


def test_a_tensor_that_is_passed_on(tmp_path: Path, python: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 13]>
        g (float[1,4,5,5] x) => (float[1,4,5,5] y, float[1,4,5,5] z)
        { same = Identity(x) y = Relu(same) z = Dropout(y) }""")
    assert [layer.type for layer in caffe.convert(model).layers] == ["Input", "ReLU", "Power"]
    assert error_in_opencv(model, tmp_path, python) <= most(1)


def test_the_text_of_a_net() -> None:
    layer = Layer(
        'a "b"', "Kind", ("x",), ("y", "z"), {"p": {"w": Word("AVE"), "r": [1, 2], "t": True}}
    )
    assert Net("n", (layer,)).text() == (
        'name: "n"\nlayer {\n  name: "a \\"b\\""\n  type: "Kind"\n  bottom: "x"\n  top: "y"\n'
        '  top: "z"\n  p {\n    w: AVE\n    r: 1\n    r: 2\n    t: true\n  }\n}\n'
    )


def test_the_bytes_of_weights() -> None:
    weights = np.arange(300, dtype=np.float32).reshape(3, 100)
    data = Net("n", (Layer("l", "K", (), (), {}, (weights,)), Layer("m", "K", (), ()))).weights()
    blob = b"\x2a\xb0\x09" + weights.tobytes() + b"\x3a\x04\x0a\x02\x03\x64"
    body = b"\x0a\x01l\x12\x01K\x3a\xb9\x09" + blob
    assert data == b"\x0a\x01n\xa2\x06\xc2\x09" + body


def test_the_command_line_writes_two_files(run: Run, tmp_path: Path) -> None:
    status, _, _ = run("rewrite", "models/gem.onnx", tmp_path / "gem.prototxt", "--to", "caffe")
    assert status == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gem.caffemodel", "gem.prototxt"]
    assert "global_pooling: true" in (tmp_path / "gem.prototxt").read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["gem.onnx", "out.onnx"], 2, "which ends with .prototxt"),
        (["gem.onnx", "out.prototxt", "--target", "ncnn"], 2, "leave --target ncnn out"),
        (["gem.onnx", "ppm.onnx", "."], 2, "goes with one model"),
    ],
)
def test_a_call_that_does_not_fit(
    run: Run, arguments: list[str], status: int, reason: str, tmp_path: Path
) -> None:
    *sources, out = arguments[: arguments.index("--target") if "--target" in arguments else None]
    rest = arguments[len(sources) + 1 :]
    models = [f"models/{source}" for source in sources]
    found, _, said = run("rewrite", *models, tmp_path / out, "--to", "caffe", *rest)
    assert found == status
    assert reason in said
    assert not list(tmp_path.iterdir())
