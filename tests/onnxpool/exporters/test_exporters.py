"""Export with pooling kept whole: each mechanism, at sizes other than the traced ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import onnxpool
from models import adaptive, attention, gem, pyconv, pyramid, spatial_pyramid
from onnxpool import ops
from onnxpool.errors import ArgumentError, ExportError, OutputError
from onnxpool.exporters import EXPORTERS
from onnxpool.exporters.shapes import dynamic_axes, traced_shape
from onnxpool.exporters.specialised import Traced
from onnxpool.exporters.torch_errors import quiet
from onnxpool.inputs.sizes import parse
from onnxpool.ops.op import Array
from tests import dialect_runtime

Module = Callable[[], nn.Module]
Shape = tuple[int, ...]


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def adaptive_sizes(x: Tensor) -> Any:
    """Numbers, kept axes and computed sizes, 2-D, unbatched 1-D and 3-D."""
    volume = x[..., None]
    return (
        F.adaptive_avg_pool2d(x, 4),
        F.adaptive_avg_pool2d(torch.relu(x), (3, None)),
        F.adaptive_avg_pool2d(x, (x.shape[-2] // 3, 5)),
        F.adaptive_avg_pool2d(x, x.shape[-1] // 2),
        F.adaptive_avg_pool1d(x[:, :, 0], 4),
        F.adaptive_avg_pool2d(x[0], (2, 3)),
        F.adaptive_avg_pool3d(volume, (2, None, 1)),
    )


def adaptive_max_sizes(x: Tensor) -> Any:
    volume = x[..., None]
    kept: Any = (3, None)  # PyTorch's annotations of maxima leave None out.
    kept_volume: Any = (2, None, 1)
    return (
        F.adaptive_max_pool2d(x, 4),
        *F.adaptive_max_pool2d(x, kept, return_indices=True),
        F.adaptive_max_pool2d(x, (x.shape[-2] // 3, 5)),
        *torch.adaptive_max_pool1d(x[:, :, 0], x.shape[-1] // 2),
        F.adaptive_max_pool2d(x[0], (2, 3)),
        F.adaptive_max_pool3d(volume, kept_volume),
    )


def full_windows(x: Tensor) -> Any:
    """Kernels that are all of the input."""
    row, volume = x[:, :, 0], x[..., None]
    return (
        F.avg_pool2d(x, (x.size(-2), x.size(-1))),
        F.avg_pool2d(x, kernel_size=x.shape[2:]),
        F.avg_pool1d(row, row.shape[2:]),
        F.avg_pool3d(volume, volume.shape[2:]),
        F.max_pool2d(x, x.shape[2:]),
        *F.max_pool2d(x, x.shape[2:], return_indices=True),
        torch.max_pool1d(row, row.shape[-1]),
        F.max_pool3d(volume, volume.shape[2:]),
    )


def area(x: Tensor) -> Any:
    return F.interpolate(x, size=(3, 4), mode="area"), F.interpolate(
        x, scale_factor=0.5, mode="area"
    )


MECHANISMS: dict[str, tuple[Callable[[Tensor], Any], int]] = {
    "adaptive_sizes": (adaptive_sizes, 7),
    "adaptive_max_sizes": (adaptive_max_sizes, 6),
    "full_windows": (full_windows, 8),
    "area": (area, 2),
}
"""What is pooled, and by how many calls."""

TRACED = (2, 2, 11, 13)
SIZES = ((2, 2, 11, 13), (1, 2, 3, 4), (3, 2, 12, 6), (1, 2, 20, 7), (2, 2, 5, 5))
DYNAMIC = ({0: "N", 2: "H", 3: "W"},)


def sample(shape: Shape) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32))


@torch.no_grad()
def run(module: nn.Module, x: Tensor) -> list[Array]:
    outputs = module(x)
    return [y.numpy() for y in (outputs if isinstance(outputs, tuple) else (outputs,))]


def dialect_model(
    module: nn.Module, exporter: str, path: Path, dynamic_shapes: Any = DYNAMIC
) -> tuple[onnx.ModelProto, Traced]:
    """The model before its pools are lowered, and what was assumed about sizes."""
    ops.register_schemas()
    with quiet():
        notes = EXPORTERS[exporter][0](module.eval(), (sample(TRACED),), dynamic_shapes, None, path)
    return onnx.load(path), notes


def assert_close(found: list[Array], wanted: list[Array]) -> None:
    for y, expected in zip(found, wanted, strict=True):
        assert y.shape == expected.shape
        if expected.dtype == np.int64:
            np.testing.assert_array_equal(y, expected)
        else:
            # Sums of at most 140 float32 near 1, in another order.
            np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", MECHANISMS)
def test_every_pool_is_one_node_and_right_at_every_size(
    name: str, exporter: str, tmp_path: Path
) -> None:
    function, pools = MECHANISMS[name]
    module = Function(function)
    model, _ = dialect_model(module, exporter, tmp_path / "m.onnx")
    found = {n.op_type for n in model.graph.node if n.domain == ops.DOMAIN}
    spelled = {n.op_type for n in model.graph.node if n.domain != ops.DOMAIN}
    assert found
    assert not spelled & {"AveragePool", "MaxPool", "GatherND", "ReduceMean", "ReduceMax"}
    # Equal pools of the same tensor may have been merged.
    assert sum(n.domain == ops.DOMAIN for n in model.graph.node) <= pools
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    for shape in SIZES:
        x = sample(shape)
        assert_close(dialect_runtime.run(model, x.numpy()), run(module, x))


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_static_sizes_are_numbers(exporter: str, tmp_path: Path) -> None:
    for function in (adaptive_sizes, adaptive_max_sizes, area):
        model, _ = dialect_model(Function(function), exporter, tmp_path / "m.onnx", None)
        for node in model.graph.node:
            if node.domain == ops.DOMAIN:
                (size,) = [onnx.helper.get_attribute_value(a) for a in node.attribute]
                assert len(node.input) == 1
                assert min(size) > 0


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_fixed_kernels_are_left_alone(exporter: str, tmp_path: Path) -> None:
    # 11 x 13 is all of the traced input, and only of that.
    module = Function(
        lambda x: (F.max_pool2d(x, (11, 13)), F.avg_pool2d(x, 3, padding=1), x.mean())
    )
    model, _ = dialect_model(module, exporter, tmp_path / "m.onnx", ({0: "N"},))
    wanted = {"dynamo": {"AdaptiveMaxPool"}, "torchscript": {"MaxPool"}}[exporter]
    op_types = {n.op_type for n in model.graph.node}
    assert op_types >= wanted | {"AveragePool", "ReduceMean"}


STANDARD: dict[str, tuple[Module, Shape]] = {
    "ppm": (pyramid.ppm, (1, 16, 9, 9)),
    "gem": (gem.gem, (1, 8, 9, 9)),
    "gem_full_window": (gem.gem_full_window, (1, 8, 9, 9)),
    "pyconv_global": (pyconv.pyconv_global, (1, 16, 10, 10)),
    "adaptive_max_2d_keep": (adaptive.adaptive_max_2d_keep, (1, 8, 13, 17)),
    "adaptive_avg_3d": (adaptive.adaptive_avg_3d, (1, 4, 5, 7, 9)),
    "adaptive_avg_1d": (adaptive.adaptive_avg_1d, (1, 8, 13)),
    "linear_attention": (attention.linear_attention, (1, 16, 9, 9)),
}


def seeded(build: Module) -> nn.Module:
    torch.manual_seed(0)
    return build().eval()


@pytest.mark.parametrize(
    ("name", "exporter"),
    [
        *((name, "dynamo") for name in STANDARD),
        ("ppm", "torchscript"),
        ("gem_full_window", "torchscript"),
    ],
)
def test_the_standard_model_is_right_at_every_size(
    name: str, exporter: str, tmp_path: Path
) -> None:
    build, shape = STANDARD[name]
    module, path = seeded(build), tmp_path / "m.onnx"
    result = onnxpool.export(
        module, sample(traced_shape(shape)), path, dynamic_shapes="auto", exporter=exporter
    )
    assert {opset.domain for opset in result.model.opset_import} == {""}
    assert result.report.rewritten
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [d.dim_param or d.dim_value for d in _dims(result.model.graph.input[0])]
    assert names == ["N", shape[1], *{1: "L", 2: "HW", 3: "DHW"}[len(shape) - 2]]
    for spatial in (shape[2:], *[tuple(n + i for i in range(len(shape) - 2)) for n in (2, 7, 19)]):
        x = sample((1, shape[1], *spatial))
        found = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        assert_close(found, run(module, x))


def _dims(value: onnx.ValueInfoProto) -> Any:
    return value.type.tensor_type.shape.dim


def test_metadata_is_kept_without_paths(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    module = nn.Sequential(nn.Conv2d(8, 8, 1), seeded(gem.gem)).eval()
    onnxpool.export(module, sample((1, 8, 5, 5)), path)
    model = onnx.load(path)
    keys = {entry.key for node in model.graph.node for entry in node.metadata_props}
    assert "pkg.torch.onnx.class_hierarchy" in keys
    assert "pkg.torch.onnx.stack_trace" not in keys
    assert str(Path(__file__).parents[3]).encode() not in path.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_unused_indices_are_not_computed(tmp_path: Path) -> None:
    result = onnxpool.export(
        seeded(adaptive.adaptive_max_2d), sample((1, 2, 13, 13)), tmp_path / "m.onnx"
    )
    assert "ArgMax" not in {node.op_type for node in result.model.graph.node}


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.shape[2] > x.shape[3] else x - 1


class Number(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * float(int(x.shape[2]) == 11)


class Transposed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x.transpose(-1, -2)


@pytest.mark.parametrize(
    ("build", "shape", "notes"),
    [
        (gem.gem, (2, 8, 5, 6), []),
        (gem.gem, (1, 8, 5, 6), ["axis 0 of x is static (1): torch.export takes a size of 1"]),
        (Branch, TRACED, ["axis 2 of x is static (11)", "axis 3 of x is static (13)"]),
        (Number, TRACED, ["axis 2 of x is static (11): test_exporters.py:"]),
        (Transposed, (2, 2, 5, 5), ["axes 2 and 3 of x must be equal"]),
        (
            spatial_pyramid.spp_sliding,
            (2, 8, 13, 14),
            [
                "axis 2 of x is static (13): the export would be right only where "
                "(x.shape[2] // 6) == 2",
                "axis 3 of x is static (14): the export would be right only where "
                "(x.shape[3] // 6) == 2",
            ],
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_could_not_be_dynamic_is_said(
    build: Module, shape: Shape, notes: list[str], tmp_path: Path
) -> None:
    module = build().eval()
    path = tmp_path / "m.onnx"
    result = onnxpool.export(module, sample(shape), path, dynamic_shapes="auto")
    tied = any("must be equal" in note for note in notes)
    assert len(result.report.notes) == len(notes)
    for found, start in zip(result.report.notes, notes, strict=True):
        assert found.startswith(start)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    # What the model takes, it computes right.
    for size in (shape, (3, shape[1], 6, 9), (3, shape[1], 9, 6))[: 1 if tied else 3]:
        x = sample(size)
        try:
            found = session.run(None, {"x": x.numpy()})
        except ort.capi.onnxruntime_pybind11_state.InvalidArgument:
            continue
        assert_close(found, run(module, x))


@pytest.mark.parametrize(
    ("exporter", "opset"), [("dynamo", 18), ("dynamo", 23), ("torchscript", 11)]
)
def test_opset(exporter: str, opset: int, tmp_path: Path) -> None:
    module, x = seeded(gem.gem_sized), sample((2, 8, 7, 5))
    path = tmp_path / "m.onnx"
    result = onnxpool.export(module, x, path, dynamic_shapes="auto", opset=opset, exporter=exporter)
    assert result.report.opset == opset
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert_close(session.run(None, {"x": x.numpy()}), run(module, x))


def evaluated_gem() -> nn.Module:
    return gem.gem().eval()


@pytest.mark.parametrize(
    ("build", "options", "error", "message"),
    [
        (
            evaluated_gem,
            {"args": (sample((1, 8, 4, 4)),) * 2},
            ArgumentError,
            "does not run on inputs of shape 1x8x4x4, 1x8x4x4",
        ),
        (
            lambda: pyramid.ppm().eval(),
            {"args": sample((1, 3, 4, 4))},
            ArgumentError,
            "PyramidPooling does not run .* 1x3x4x4: RuntimeError",
        ),
        (
            evaluated_gem,
            {"args": sample((8, 4))},
            ExportError,
            "takes an input of rank 3 or 4, found rank 2",
        ),
        (
            evaluated_gem,
            {"opset": 9},
            ArgumentError,
            "the dynamo exporter writes opset 18 to 23, not 9",
        ),
        (
            evaluated_gem,
            {"exporter": "fx"},
            ArgumentError,
            "unknown exporter 'fx'; use dynamo or torchscript",
        ),
        (
            evaluated_gem,
            {"to": "onnx"},
            ArgumentError,
            "unknown output 'onnx'; use standard or custom-op",
        ),
        (
            evaluated_gem,
            {"dynamic_shapes": "all"},
            ArgumentError,
            "unknown dynamic_shapes 'all'; use auto",
        ),
        (
            evaluated_gem,
            {"path": Path("nowhere/m.onnx")},
            OutputError,
            "nowhere/m.onnx cannot be written: there is no folder",
        ),
        (evaluated_gem, {"path": Path()}, OutputError, "is a folder, wanted the name of a file"),
        (lambda: gem.gem().train(), {}, ArgumentError, r"call its eval\(\)"),
        (
            lambda: Function(torch.linalg.eigvals).eval(),
            {"args": sample((1, 2, 3, 3))},
            ExportError,
            "torch.onnx.export failed: ",
        ),
        (
            lambda: Function(lambda x: x[x > 0].tolist()).eval(),
            {},
            ExportError,
            "torch.export failed: ",
        ),
    ],
    ids=range(12),
)
def test_bad_input_is_one_line(
    build: Module,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    module = build()
    given = {"args": sample((1, 8, 4, 4)), "path": tmp_path / "m.onnx", **options}
    with pytest.raises(error, match=message) as raised:
        onnxpool.export(module, **given)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_torch_is_silent_where_torchscript_fails(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    module, x = seeded(spatial_pyramid.spp_sliding), sample((2, 8, 13, 14))
    with pytest.raises(ExportError, match=r"torch\.onnx\.export failed: SymbolicValueError"):
        onnxpool.export(
            module, x, tmp_path / "m.onnx", dynamic_shapes="auto", exporter="torchscript"
        )
    assert capfd.readouterr() == ("", "")


def test_shapes() -> None:
    assert parse("1x8X33x5") == (1, 8, 33, 5)
    with pytest.raises(ArgumentError, match="'1x-8' is no shape"):
        parse("1x-8")
    assert traced_shape((1, 3, 224, 224)) == (2, 3, 224, 256)
    assert traced_shape((4, 8, 13, 17)) == (4, 8, 13, 17)
    assert traced_shape((1, 8, 1, 1)) == (2, 8, 2, 4)
    assert list(dynamic_axes([(1, 8, 9), (1, 8, 9, 9)])) == [
        {0: "N", 2: "L"},
        {0: "N2", 2: "H2", 3: "W2"},
    ]
