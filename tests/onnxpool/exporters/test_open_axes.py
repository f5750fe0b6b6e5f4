"""Numbers of the traced size that torch bakes in: what the file declares open is so.

The judge is PyTorch beside ONNX Runtime, at sizes that the exporter does not choose by itself.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import onnxpool
from onnxpool.errors import CheckError
from onnxpool.exporters import EXPORTERS
from onnxpool.exporters.open_axes import lengths, symbols
from onnxpool.exporters.shapes import fixed_at
from onnxpool.inputs.values import ModelInput
from tests.onnxpool.exporters.test_exporters import Function, assert_close, run, sample

TRACED = (2, 4, 21, 18)
LENGTHS = ((1, 2, 3), (4,), (10, 20, 21, 22, 37, 200), (9, 17, 18, 19, 36))


class Table(nn.Module):
    """A position embedding of the traced size."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.from_numpy(sample(shape).numpy()))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2) + self.table


class Cached(nn.Module):
    """A grid that is made once for each size."""

    def __init__(self) -> None:
        super().__init__()
        self.grids: dict[int, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        width = int(x.shape[3])
        if width not in self.grids:
            self.grids[width] = torch.linspace(0, 1, width)
        return x + self.grids[width]


def thirds(x: Tensor) -> Tensor:
    return F.max_pool2d(x, [int(size) // 3 for size in x.shape[2:]])


def resized_back(x: Tensor) -> Tensor:
    small = F.adaptive_avg_pool2d(x, 3)
    return F.interpolate(small, size=(int(x.shape[2]), x.shape[3]), mode="bilinear")


def windows_of_8(x: Tensor) -> Tensor:
    """As in Swin: padded, cut into windows, put together, cropped."""
    n, c, h, w = x.shape
    x = F.pad(x, (0, -w % 8, 0, -h % 8))
    rows, columns = x.shape[2] // 8, x.shape[3] // 8
    x = x.view(n, c, rows, 8, columns, 8)
    x = x - x.mean((3, 5), keepdim=True)
    return x.reshape(n, c, rows * 8, columns * 8)[:, :, :h, :w]


def tokens_and_back(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    tokens = x.flatten(2).transpose(1, 2)
    return F.adaptive_avg_pool2d(tokens.transpose(1, 2).reshape(n, c, h, w), 3)


def retrieval_head(x: Tensor) -> Tensor:
    pooled = F.avg_pool2d(x.clamp(min=1e-6).pow(3), (x.size(-2), x.size(-1))).pow(1 / 3)
    return F.normalize(pooled, dim=1)


BAKED: dict[str, tuple[Callable[[], nn.Module], set[int]]] = {
    "factor": (lambda: Function(lambda x: x * int(x.shape[3])), {3}),
    "float": (lambda: Function(lambda x: x / float(x.shape[2])), {2}),
    "arange": (
        lambda: Function(lambda x: x + torch.arange(int(x.shape[3]), dtype=x.dtype)),
        {3},
    ),
    "tensor": (lambda: Function(lambda x: x / torch.tensor([float(x.shape[2])])), {2}),
    "thirds": (lambda: Function(thirds), {2, 3}),
    "branch": (lambda: Function(lambda x: x * 2 if x.shape[2] > 20 else x * 3), {2}),
    "branch, far": (lambda: Function(lambda x: x * 2 if x.shape[2] > 150 else x * 3), {2}),
    "branch, odd": (lambda: Function(lambda x: x * 2 if x.shape[2] % 2 else x * 3), {2}),
    "branch, area": (
        lambda: Function(lambda x: x * 2 if x.shape[2] * x.shape[3] > 300 else x * 3),
        {2, 3},
    ),
    "embedding": (lambda: Table(1, 4, 21 * 18), {2, 3}),
    "grid": (Cached, {3}),
    "loop": (lambda: Function(lambda x: sum(x[..., i] * i for i in range(x.shape[3]))), {3}),
    "unflatten": (lambda: Function(lambda x: x.view(*x.shape[:3], 9, 2).mean(-1)), {3}),
    "resized": (lambda: Function(resized_back), {2}),
}
"""What bakes which axes in."""

OPEN: dict[str, Callable[[Tensor], Any]] = {
    "windows": windows_of_8,
    "tokens": tokens_and_back,
    "retrieval": retrieval_head,
    "arange": lambda x: x + torch.arange(x.shape[3], dtype=x.dtype),
    "halves": lambda x: F.adaptive_avg_pool2d(x, (x.shape[2] // 2, x.shape[3] // 2)),
    "resized": lambda x: F.interpolate(F.adaptive_avg_pool2d(x, 3), size=x.shape[2:]),
    "needless guard": lambda x: x.permute(0, 2, 3, 1).reshape(-1, 4).relu().sum(1),
}


def dims(path: Path) -> list[int | str]:
    (x,) = onnx.load(path).graph.input
    return [dim.dim_param or dim.dim_value for dim in x.type.tensor_type.shape.dim]


def assert_as_open_as_declared(path: Path, module: nn.Module) -> None:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    moved = [
        [*sizes, traced] if isinstance(dim, str) else [traced]
        for dim, sizes, traced in zip(dims(path), LENGTHS, TRACED, strict=True)
    ]
    for shape in itertools.product(*moved):
        x = sample(shape)
        try:
            wanted = run(module, x)
        except RuntimeError:
            continue
        name = session.get_inputs()[0].name
        assert_close(session.run(None, {name: x.numpy()}), wanted)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", BAKED)
def test_an_axis_with_a_number_baked_in_is_fixed_and_said(
    name: str, exporter: str, tmp_path: Path
) -> None:
    build, axes = BAKED[name]
    module, path = build().eval(), tmp_path / "m.onnx"
    result = onnxpool.export(module, sample(TRACED), path, dynamic_shapes="auto", exporter=exporter)
    assert {axis for axis, dim in enumerate(dims(path)) if isinstance(dim, int)} == axes | {1}
    for axis in axes:
        start = f"axis {axis} of x is static ({TRACED[axis]}): "
        assert [note.startswith(start) for note in result.report.notes].count(True) == 1
    assert_as_open_as_declared(path, module)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", OPEN)
def test_what_is_right_at_every_size_stays_open(name: str, exporter: str, tmp_path: Path) -> None:
    module, path = Function(OPEN[name]).eval(), tmp_path / "m.onnx"
    result = onnxpool.export(module, sample(TRACED), path, dynamic_shapes="auto", exporter=exporter)
    assert dims(path) == ["N", 4, "H", "W"]
    assert all(note.startswith("wrong where") for note in result.report.notes)
    assert_as_open_as_declared(path, module)


@pytest.mark.parametrize("to", ["standard", "custom-op"])
def test_the_reason_names_the_line_or_the_node(to: str, tmp_path: Path) -> None:
    module = Function(lambda x: F.adaptive_avg_pool2d(x, 3) * int(x.shape[3])).eval()
    for exporter, words in (
        ("dynamo", "test_open_axes.py:"),
        ("torchscript", "node '/Mul' (Mul)"),
    ):
        result = onnxpool.export(
            module,
            sample(TRACED),
            tmp_path / "m.onnx",
            dynamic_shapes="auto",
            exporter=exporter,
            to=to,
        )
        (note,) = result.report.notes
        assert note.startswith("axis 3 of x is static (18): ")
        assert words in note


def test_a_size_of_one_is_said(tmp_path: Path) -> None:
    # torch.export takes an open size for more than 1, and folds the comparison.
    module = Function(lambda x: F.adaptive_avg_pool2d(x, 3) if x.shape[2] == 1 else x).eval()
    path = tmp_path / "m.onnx"
    (note,) = onnxpool.export(module, sample(TRACED), path, dynamic_shapes="auto").report.notes
    assert note.startswith("wrong where H is 1: at 2x4x1x18, shape [2, 4, 1, 18] instead of")


def test_an_output_without_elements_is_that_of_the_module(tmp_path: Path) -> None:
    module, path = Function(OPEN["halves"]).eval(), tmp_path / "m.onnx"
    assert not onnxpool.export(module, sample(TRACED), path, dynamic_shapes="auto").report.notes
    session = ort.InferenceSession(path)
    for shape in ((2, 4, 1, 18), (2, 4, 21, 1)):
        x = sample(shape)
        (y,) = session.run(None, {"x": x.numpy()})
        assert y.shape == tuple(module(x).shape)


class Counts(nn.Module):
    """Of another value at each call but the one of the export."""

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, 2) + (2.0 if torch.compiler.is_exporting() else 1.0)


def test_a_model_that_is_wrong_where_it_was_traced_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(
        CheckError, match="traced at, at 2x4x21x18 the export would be wrong: off by"
    ):
        onnxpool.export(Counts().eval(), sample(TRACED), path)
    assert not path.exists()
    onnxpool.export(Counts().eval(), sample(TRACED), path, check="none")
    assert path.exists()


def test_a_model_that_does_not_run_is_refused(tmp_path: Path) -> None:
    # PyTorch leaves an axis that is not 1 alone, ONNX does not.
    module = Function(lambda x: F.adaptive_avg_pool2d(x, 2).squeeze(0)).eval()
    with pytest.raises(CheckError, match=r"would not run [(]node 'node_squeeze'"):
        onnxpool.export(module, sample(TRACED), tmp_path / "m.onnx", dynamic_shapes="auto")


def test_a_module_that_is_random_is_not_judged(tmp_path: Path) -> None:
    module = Function(lambda x: F.adaptive_avg_pool2d(x + torch.rand_like(x), 2)).eval()
    result = onnxpool.export(module, sample(TRACED), tmp_path / "m.onnx", dynamic_shapes="auto")
    (note,) = result.report.notes
    assert note.startswith("not run beside the module: Function is random")


def test_an_integer_input_keeps_its_range(tmp_path: Path) -> None:
    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(50, 4)

        def forward(self, ids: Tensor) -> Tensor:
            return F.adaptive_avg_pool1d(self.embedding(ids - 10).transpose(1, 2), 3)

    path = tmp_path / "m.onnx"
    ids = torch.arange(10, 52).reshape(2, 21)
    result = onnxpool.export(Embedded().eval(), ids, path, dynamic_shapes=({0: "N", 1: "L"},))
    assert dims(path) == ["N", "L"]
    assert result.report.notes == ()


def test_lengths() -> None:
    assert list(lengths(224)) == [225, 112, 256, 223, 448, 192]
    assert list(lengths(2)) == [3, 4]


def test_symbols_that_others_are_computed_from_are_not_moved() -> None:
    x = ModelInput("x", onnx.helper.tensor_dtype_to_np_dtype(1), ("N", 4, "H", "2*H"))
    y = ModelInput("y", x.dtype, ("N", "y[1]"))
    found = symbols([x, y], ((2, 4, 5, 10), (2, 7)))
    assert [(s.name, s.places, s.traced) for s in found] == [
        ("N", ((0, 0), (1, 0)), 2),
        ("y[1]", ((1, 1),), 7),
    ]


def test_fixed_at() -> None:
    shapes = ({0: "N", 2: "H"}, ["N", None], None)
    assert fixed_at([], shapes) is shapes
    assert fixed_at([(0, 2), (1, 0)], shapes) == ({0: "N"}, {1: None}, None)
    assert fixed_at([(0, 2)], {"x": {2: "H"}}) == {"x": {}}
