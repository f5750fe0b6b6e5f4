"""`onnxpool.export` in the place of torch.onnx.export: the same call, and a model that is right."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

import onnxpool
from onnxpool.errors import ArgumentError


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4)

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        return self.pool(x) * scale


class Named(nn.Module):
    def forward(self, x: Tensor, *, scale: Tensor) -> Tensor:
        return x * scale


NET = Net().eval()
X, SCALE = torch.randn(2, 3, 16, 18), torch.randn(1)
H, W = torch.export.Dim("H"), torch.export.Dim("W")


def check(model: onnx.ModelProto, *shapes: tuple[int, ...]) -> None:
    """It is right at the traced size and at these."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_inputs()]
    for shape in (tuple(X.shape), *shapes):
        x = torch.randn(shape)
        (found,) = session.run(None, dict(zip(names, (x.numpy(), SCALE.numpy()), strict=True)))
        np.testing.assert_allclose(found, NET(x, SCALE).numpy(), rtol=1e-5, atol=1e-6)


OTHERS = (2, 3, 19, 33), (2, 3, 5, 7)


@pytest.mark.parametrize(
    "options",
    [
        {"dynamic_shapes": {"x": {2: H, 3: W}}},
        {"dynamic_shapes": ({2: H, 3: W}, None)},
        {"dynamic_shapes": {"x": {2: "H", 3: "W"}, "scale": None}},
        {"dynamic_axes": {"x": {2: "H", 3: "W"}}},
        {"dynamic_axes": {"image": [2, 3], "y": [2, 3]}, "input_names": ["image", "by"]},
        {"dynamic_axes": {"x": {2: "H", 3: "W"}}, "dynamo": False},
    ],
    ids=range(6),
)
def test_open_sizes_in_every_way_to_say_so(options: dict[str, Any]) -> None:
    check(onnxpool.export(NET, (X, SCALE), **options).model, *OTHERS)


def test_the_file_that_torch_calls_f(tmp_path: Path) -> None:
    result = onnxpool.export(
        NET,
        (X,),
        f=tmp_path / "m.onnx",
        kwargs={"scale": SCALE},
        input_names=["image", "scale"],
        output_names=["pooled"],
        opset_version=18,
        dynamo=True,
        verbose=False,
        do_constant_folding=True,
        export_params=True,
    )
    model = onnx.load(tmp_path / "m.onnx")
    assert model == result.model
    assert [x.name for x in model.graph.input] == ["image", "scale"]
    assert [y.name for y in model.graph.output] == ["pooled"]
    assert model.opset_import[0].version == 18
    check(model)


def test_without_a_file_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = onnxpool.export(NET, (X, SCALE))
    check(result.model)
    assert list(tmp_path.iterdir()) == []
    result.save("later.onnx")
    check(onnx.load("later.onnx"))


@pytest.mark.parametrize("dynamo", [True, False])
def test_names_that_tensors_have_already(dynamo: bool) -> None:
    plain = onnxpool.export(NET, (X, SCALE), dynamo=dynamo, to="custom-op").model
    inside = plain.graph.node[0].output[0]
    model = onnxpool.export(
        NET, (X, SCALE), dynamo=dynamo, to="custom-op", input_names=[inside], output_names=["x"]
    ).model
    assert model.graph.input[0].name == inside
    assert model.graph.output[0].name == "x"
    onnx.checker.check_model(model)


def test_every_argument_of_torch_is_known() -> None:
    """Ours, or passed over, or refused where it is not torch's default."""
    ours = inspect.signature(onnxpool.export).parameters
    theirs = inspect.signature(torch.onnx.export).parameters
    defaults = {
        name: parameter.default
        for name, parameter in theirs.items()
        if name not in ours and name != "model"
    }
    assert len(defaults) > 10
    onnxpool.export(NET, (X, SCALE), **defaults)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"f": "a.onnx", "path": "b.onnx"}, "path and f say the same"),
        ({"opset": 18, "opset_version": 18}, "opset and opset_version say the same"),
        ({"exporter": "torchscript", "dynamo": True}, "exporter and dynamo say the same"),
        ({"dynamic_shapes": "auto", "dynamic_axes": {}}, "dynamic_shapes and dynamic_axes say"),
        ({"keep_initializers_as_inputs": True}, "does not take keep_initializers_as_inputs=True"),
        ({"export_params": False}, "does not take export_params=False"),
        ({"custom_opsets": {"a": 1}}, "does not take custom_opsets"),
        ({"opsett": 18}, "export takes no argument 'opsett'"),
        ({"dynamic_shapes": {"y": {0: "N"}}}, "dynamic_shapes names 'y', and the inputs are x, s"),
        ({"dynamic_axes": {"y": {0: "N"}}}, "dynamic_axes names 'y', and the inputs are x, scale"),
        ({"input_names": ["a", "b", "c"]}, "input_names has 3 names, and there are 2 inputs"),
        ({"output_names": ["a", "b"]}, "output_names has 2 names, and there are 1 outputs"),
        ({"input_names": ["a", "a"]}, "have a name twice"),
        ({"kwargs": {"other": 1}}, "Net does not take these: "),
    ],
    ids=range(14),
)
def test_what_cannot_be_followed_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match=words) as raised:
        onnxpool.export(NET, (X, SCALE), **options)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_parameters_by_name_only() -> None:
    with pytest.raises(ArgumentError, match="Named takes scale by name only"):
        onnxpool.export(Named().eval(), (X,), kwargs={"scale": SCALE})


def test_a_program_is_no_module() -> None:
    program: Any = torch.export.export(NET, (X, SCALE))
    with pytest.raises(ArgumentError, match="a value of type ExportedProgram cannot be exported"):
        onnxpool.export(program, (X, SCALE))
