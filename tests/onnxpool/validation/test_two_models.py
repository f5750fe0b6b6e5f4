"""compare: any two models, which of them is the reference, and where they begin to differ."""

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import onnxpool
from onnxpool.errors import ArgumentError, ModelError, SourceError
from onnxpool.validation import bisect
from onnxpool.validation.runnable import OnnxModel
from tests.onnxpool.conftest import Run

MODELS = Path(__file__).parents[3] / "models"
PYRAMID = f"{MODELS}/pyramid.py:ppm"


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, list[Any]] | None = None,
    outputs: Sequence[str] = ("Y",),
    **constants: Any,
) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "main",
        [value(n, TensorProto.FLOAT, s) for n, s in (inputs or {"X": [2, 4]}).items()],
        [value(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), f"{op}_{outputs}", **attributes)


def chain(length: int, wrong: int | None = None) -> onnx.ModelProto:
    """Y = X + 1/8 + … + 1/8, where one term may be another."""
    names = ["X", *(f"t{i}" for i in range(1, length)), "Y"]
    nodes = [
        node("Add", f"{a} {'wrong' if i == wrong else 'right'}", b)
        for i, (a, b) in enumerate(itertools.pairwise(names))
    ]
    return model(nodes, right=np.float32(0.125), wrong=np.float32(0.5))


def renamed(given: onnx.ModelProto) -> onnx.ModelProto:
    """The same with other names for what is no input and no output."""
    other = onnx.ModelProto()
    other.CopyFrom(given)
    kept = {"", *(v.name for v in (*given.graph.input, *given.graph.output))}
    kept |= {t.name for t in given.graph.initializer}
    for each in other.graph.node:
        for names in (each.input, each.output):
            names[:] = [name if name in kept else f"other_{name}" for name in names]
    return other


def test_a_rewritten_model_is_what_it_was(tmp_path: Path) -> None:
    onnxpool.rewrite(MODELS / "ppm.onnx").save(tmp_path / "out.onnx")
    found = onnxpool.compare(tmp_path / "out.onnx", MODELS / "ppm.onnx")
    assert found.passed
    assert found.reference == str(MODELS / "ppm.onnx")
    assert all(a.units < 1 for size in found.sizes for a in size.accuracies)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_source_is_the_reference_of_a_file(swapped: bool) -> None:
    pair: list[Any] = [MODELS / "ppm.onnx", PYRAMID]
    found = onnxpool.compare(*(pair[::-1] if swapped else pair))
    assert found.passed
    assert found.in_float64
    assert found.reference == PYRAMID


def test_validate_is_the_same_comparison() -> None:
    pair = (MODELS / "ppm.onnx", PYRAMID)
    assert onnxpool.compare(*pair) == onnxpool.validate(*pair)


def test_a_program_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "relu.pt2"
    torch.export.save(torch.export.export(nn.ReLU(), (torch.zeros(2, 4),)), path)
    assert onnxpool.compare(path, model([node("Relu", "X", "Y")])).passed
    assert not onnxpool.compare(path, model([node("Abs", "X", "Y")])).passed


@pytest.mark.parametrize("swapped", [False, True])
def test_inputs_and_outputs_in_a_file_are_a_reference(tmp_path: Path, swapped: bool) -> None:
    path = tmp_path / "pairs.npz"
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    arrays: dict[str, Any] = {"0/X": x, "0/Y": np.maximum(x, 0)}
    np.savez(path, **arrays)
    for op in ("Relu", "Abs"):
        pair: list[Any] = [model([node(op, "X", "Y")]), path]
        assert onnxpool.compare(*(pair[::-1] if swapped else pair)).passed == (op == "Relu")


@pytest.mark.parametrize("wrong", [0, 1, 137, 399])
def test_bisection_finds_the_node_in_a_few_runs(
    monkeypatch: pytest.MonkeyPatch, wrong: int
) -> None:
    looked_at: list[int] = []

    tensors = OnnxModel.tensors

    def counted(model: OnnxModel, names: Sequence[str], inputs: Any) -> Any:
        looked_at.append(len(names))
        return tensors(model, names, inputs)

    monkeypatch.setattr(OnnxModel, "tensors", counted)
    found = onnxpool.compare(chain(400, wrong), chain(400))
    tensor = "Y" if wrong == 399 else f"t{wrong + 1}"
    assert f"node 'Add_{tensor}' (Add), tensor '{tensor}': off by" in found.first_difference
    assert max(looked_at) <= bisect.AT_A_TIME
    # Three rounds of 16 narrow 400 down to one; each round runs both models.
    assert len(looked_at) <= 2 * 5


def test_an_equal_shape_says_nothing_of_what_it_is_the_shape_of() -> None:
    def with_term(value: float) -> onnx.ModelProto:
        nodes = [
            node("Add", "X c", "moved"),
            node("Shape", "moved", "size"),
            node("Relu", "moved", "clipped"),
            node("Reshape", "clipped size", "Y"),
        ]
        return model(nodes, c=np.float32(value))

    found = onnxpool.compare(with_term(2.0), with_term(1.0))
    assert "node 'Add_moved' (Add)" in found.first_difference


def test_the_branch_that_differs_is_followed() -> None:
    def branches(term: float) -> onnx.ModelProto:
        left = [node("Relu", "X", "l1"), node("Neg", "l1", "l2"), node("Abs", "l2", "l3")]
        right = [node("Neg", "X", "r1"), node("Add", "r1 c", "r2"), node("Abs", "r2", "r3")]
        nodes = [n for pair in zip(left, right, strict=True) for n in pair]
        return model([*nodes, node("Add", "l3 r3", "Y")], c=np.float32(term))

    found = onnxpool.compare(branches(0.5), branches(0.25))
    assert "node 'Add_r2' (Add), tensor 'r2'" in found.first_difference


def test_nodes_whose_tensors_the_other_has_not_are_counted() -> None:
    one = model([node("Mul", "X c", "Y")], c=np.float32(-6))
    two = model(
        [node("Mul", "X a", "twice"), node("Mul", "twice b", "Y")],
        a=np.float32(2),
        b=np.float32(3),
    )
    found = onnxpool.compare(two, one)
    assert "'Mul_Y' (Mul), tensor 'Y' (or one of the 1 before it)" in found.first_difference


def test_names_that_differ_are_matched_by_values() -> None:
    """Equal for positive values, so that it is known which tensors stand for each other."""
    nodes = [node("Mul", "X a", "doubled"), node("Relu", "doubled", "r"), node("Sqrt", "r", "s")]
    clipped = model([*nodes, node("Neg", "s", "Y")], a=np.float32(2))
    nodes[1] = node("Abs", "doubled", "r")
    absolute = model([*nodes, node("Neg", "s", "Y")], a=np.float32(2))
    # Y has its name in both, and is not where it begins.
    found = onnxpool.compare(clipped, renamed(absolute))
    assert found.first_difference.startswith("node 'Relu_r' (Relu), tensor 'r': off by")


def test_the_worst_output_comes_first() -> None:
    def three(second: float) -> onnx.ModelProto:
        nodes = [node("Relu", "X", "A"), node("Mul", "X c", "B"), node("Neg", "X", "C")]
        return model(nodes, outputs="ABC", c=np.float32(second))

    found = onnxpool.compare(three(1.5), three(2.0))
    assert next(iter(found.worst_outputs)) == "B"
    size, worst = found.worst_outputs["B"]
    assert (size.size, worst.passed) == ("2x4", False)
    assert found.worst_outputs["A"][1].passed
    assert list(found.to_json()["worst_outputs"]) == list(found.worst_outputs)


def test_inputs_are_given_by_name() -> None:
    inputs = {"X": [2, 4], "Z": [2, 4]}
    sub = model([node("Sub", "X Z", "Y")], inputs)
    turned = model([node("Sub", "X Z", "Y")], dict(reversed(inputs.items())))
    assert onnxpool.compare(sub, turned).passed
    other = model([node("Sub", "X Z", "D"), node("Abs", "D", "Y")], dict(reversed(inputs.items())))
    same = model([node("Sub", "X Z", "D"), node("Neg", "D", "Y")], inputs)
    assert "node 'Neg_Y' (Neg), tensor 'Y'" in onnxpool.compare(same, other).first_difference


@pytest.mark.parametrize("slope", [1.0, 1.25])
@pytest.mark.parametrize("swapped", [False, True])
def test_half_and_full_precision(slope: float, swapped: bool) -> None:
    """Inputs that both hold, and the rounding of the narrower type as the unit of error."""
    nodes = [node("Mul", "X c", "s"), node("Softmax", "s", "Y")]
    full = model(nodes, c=np.float32(1))
    half = model(nodes, c=np.float16(slope))
    for value in (*half.graph.input, *half.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    pair = (full, half) if swapped else (half, full)
    assert onnxpool.compare(*pair).passed == (slope == 1)


class Net(nn.Module):
    def __init__(self, slope: float) -> None:
        super().__init__()
        self.first = nn.LeakyReLU(slope)
        self.second = nn.Softplus()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def test_two_sources() -> None:
    same = onnxpool.compare(Net(0.1), Net(0.1), shapes=[(1, 3, 5, 5), (1, 3, 2, 7)])
    assert same.passed
    assert same.in_float64
    assert [size.size for size in same.sizes] == ["1x3x5x5", "1x3x2x7"]
    other = onnxpool.compare(Net(0.2), Net(0.1), shapes=[(1, 3, 5, 5)])
    assert not other.passed
    assert other.first_difference.startswith("module first, leaky_relu: off by")


def test_two_sources_are_swept_where_one_has_examples(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(
        "from torch import nn\n"
        "def a(): return nn.AdaptiveAvgPool2d(3)\n"
        "def b(): return nn.AvgPool2d(4)\n"
        "EXAMPLES = {'b': (1, 2, 12, 12)}\n"
    )
    found = onnxpool.compare(f"{file}:b", f"{file}:a")
    outcomes = {size.size: size.outcome for size in found.sizes}
    assert outcomes["1x2x12x12"] == "right"
    assert outcomes["1x2x13x13"] == "wrong"


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "sizes": (
        lambda: onnxpool.compare(
            model([node("Relu", "X", "Y")]), model([node("Relu", "X", "Y")], {"X": [2, 5]})
        ),
        r"input 'X' of the model is 2x4, input 'X' of the model is 2x5; wanted the same sizes",
    ),
    "weights": (
        lambda: onnxpool.compare(nn.ReLU(), nn.ReLU(), weights="w.pt"),
        "weights are those of one source, and both are",
    ),
    "pairs of a source": (
        lambda: onnxpool.compare(nn.ReLU(), "pairs.npz"),
        r"an \.npz file is compared with an \.onnx file; export the source first",
    ),
    "no size": (lambda: onnxpool.compare(nn.ReLU(), nn.ReLU()), r"give a size, such as --shape"),
    "outputs": (
        lambda: onnxpool.compare(
            nn.ReLU(), nn.MaxPool2d(2, return_indices=True), shapes=[(1, 4, 4)]
        ),
        "ReLU has 1 outputs, MaxPool2d returns 2",
    ),
    "no source": (lambda: onnxpool.compare("nowhere.py:x", "a.onnx"), "no such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_compared(name: str) -> None:
    call, message = BAD[name]
    with pytest.raises((ArgumentError, SourceError, ModelError), match=message):
        call()


def test_command_line(run: Run, tmp_path: Path) -> None:
    a, b, facts = tmp_path / "a.onnx", tmp_path / "b.onnx", tmp_path / "facts.json"
    onnx.save(chain(5), a)
    onnx.save(chain(5, 2), b)
    status, text, errors = run("compare", a, a)
    assert (status, errors) == (0, "")
    assert "right at 1 size" in text
    status, text, _ = run("compare", b, a, "--json", facts)
    assert status == 1
    assert "first difference: node 'Add_t3' (Add)" in text
    told = json.loads(facts.read_text("utf-8"))
    assert not told["passed"]
    assert list(told["worst_outputs"]) == ["Y"]


def test_command_line_shows_the_worst_outputs(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "two.onnx"
    onnx.save(model([node("Relu", "X", "A"), node("Neg", "X", "B")], outputs="AB"), path)
    status, text, _ = run("compare", path, path)
    assert status == 0
    assert "output" in text
    assert {"A", "B"} <= set(text.split())
