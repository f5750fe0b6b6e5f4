"""Windows frozen at the traced size: what shows it, which size is restored, and when none is."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import onnxpool
from models import attention, pyramid
from onnxpool.errors import ArgumentError
from onnxpool.pipeline.report import Finding
from tests.dynamic_exports import Shape, dynamo, right_at
from tests.exports import Graph

IMAGE = (0, 2, 3)
LENGTHS = (6, 7, 8, 9, 11, 12, 13, 16, 17, 23, 30, 33, 64)


class Classifier(nn.Module):
    """A pool behind strided convolutions and before a linear layer, as AlexNet and VGG have it."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2))
        self.pool = nn.AdaptiveAvgPool2d(bins)
        self.classify = nn.Linear(8 * bins**2, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.pool(self.stem(x)).flatten(1))


class Ordinary(nn.Module):
    """A pool of fixed windows, as DenseNet's transitions have it."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(x)


@functools.cache
def exported(build: str, traced: Shape) -> tuple[nn.Module, bytes]:
    torch.manual_seed(0)
    modules: dict[str, Callable[[], nn.Module]] = {
        "pyramid": lambda: pyramid.ppm(),
        "attention": lambda: attention.linear_attention(),
        "classifier": lambda: Classifier(5),
        "ordinary": Ordinary,
        "to 6": lambda: nn.AdaptiveAvgPool2d(6),
        "kept": lambda: nn.AdaptiveAvgPool2d((3, None)),
        "max": lambda: nn.AdaptiveMaxPool2d(4),
    }
    module = modules[build]().eval()
    return module, dynamo(module, traced, IMAGE).SerializeToString()


def load(build: str, traced: Shape) -> tuple[nn.Module, onnx.ModelProto]:
    module, serialized = exported(build, traced)
    return module, onnx.load_from_string(serialized)


def shapes(traced: Shape, lengths: Sequence[int] = LENGTHS) -> list[Shape]:
    oblong = zip(lengths, (*lengths[4:], *lengths[:4]), strict=True)
    return [(3, traced[1], h, w) for h, w in (*zip(lengths, lengths, strict=True), *oblong)]


def is_right(
    module: nn.Module, model: onnx.ModelProto, traced: Shape, lengths: Sequence[int] = LENGTHS
) -> bool:
    return right_at(model, module, shapes(traced, lengths)) == shapes(traced, lengths)


def frozen(model: onnx.ModelProto) -> list[Finding]:
    findings = onnxpool.inspect(model).findings
    return [f for f in findings if f.form == "AveragePool" and f.action == "left"]


def test_the_traced_size_is_solved_from_the_rest_of_a_pyramid() -> None:
    """Bins 1, 2, 3, 6 traced at 16: only 16 fits the windows of 3 and 6, so kernel 8 is bin 2."""
    traced = (2, 16, 16, 16)
    module, model = load("pyramid", traced)
    result = onnxpool.rewrite(model)
    (finding,) = result.report.findings
    assert finding.shape.endswith("1x1, 2x2, 3x3, 6x6")
    assert "only one traced size fits" in finding.wrong
    assert "'x' was 16x16, its kernel is 8x8" in finding.wrong
    assert is_right(module, result.model, traced)
    assert not is_right(module, model, traced)


@pytest.mark.parametrize("traced", [(2, 4, 6, 8), (2, 4, 8, 12)])
def test_windows_that_were_equal_along_one_axis_are_restored(traced: Shape) -> None:
    """There the exporter takes H // 6 elements from each start on: none of a map of 4."""
    module, model = load("to 6", traced)
    few = (4, *LENGTHS)
    assert is_right(module, onnxpool.rewrite(model).model, traced, few)
    assert not is_right(module, model, traced, few)


def test_a_traced_size_is_no_contradiction_where_one_size_decides_both_axes() -> None:
    traced = (2, 16, 16, 16)
    _, model = load("pyramid", traced)
    height, width = model.graph.input[0].type.tensor_type.shape.dim[2:]
    width.dim_param = height.dim_param
    del model.graph.value_info[:]
    findings = onnxpool.inspect(model, traced_sizes={"x": traced}).findings
    assert {finding.level for finding in findings} == {"error"}


def test_without_metadata_a_pyramid_is_repaired_as_a_whole_or_not_at_all() -> None:
    """What pools the same tensor is no evidence; and a level alone turns failures into errors."""
    traced = (2, 16, 16, 16)
    module, model = load("pyramid", traced)
    strip(model)
    result = onnxpool.rewrite(model)
    (open_,) = [f for f in result.report.findings if not f.op]
    assert (result.report.rewritten, open_.level) == (0, "error")
    assert "pooling of the same tensor" in open_.detail
    others = [f for f in result.report.findings if f.repair]
    assert [f.level for f in others] == ["error"]
    assert others[0].detail == f"not repaired before the size of {open_.node!r} is known"
    told = onnxpool.rewrite(model, output_sizes={open_.node: (2, 2)})
    assert is_right(module, told.model, traced)


def test_beside_an_ordinary_pool_the_others_are_repaired_once_the_user_says_so() -> None:
    _, model = load("pyramid", (2, 16, 16, 16))
    strip(model)
    (open_,) = [f for f in onnxpool.inspect(model).findings if not f.op]
    findings = onnxpool.inspect(model, output_sizes={open_.node: "ordinary"}).findings
    assert {f.action for f in findings if f.repair} == {"rewritable"}
    assert [f.level for f in findings if not f.op] == ["note"]


@pytest.mark.parametrize(
    ("length", "candidates"),
    [
        (33, ["3x3 (traced at 33x33), 5x5 (traced at 55x55), 9x9 (traced at 99x99)"]),
        (
            30,
            [
                "6x6 (traced at 30x30), 12x12 (traced at 60x60)",
                "3x3 (traced at 30x30), 6x6 (traced at 60x60)",
                "2x2 (traced at 30x30), 4x4 (traced at 60x60)",
            ],
        ),
    ],
)
def test_where_several_sizes_fit_none_is_guessed(length: int, candidates: list[str]) -> None:
    _, model = load("pyramid", (2, 16, length, length))
    findings = frozen(model)
    assert [f.level for f in findings] == ["error"] * len(candidates)
    for finding, wanted in zip(findings, candidates, strict=True):
        assert finding.detail.startswith("frozen at the traced size (its metadata says 'torch.nn.m")
        assert wanted in finding.detail
        assert f"--output-size {finding.node}=HxW or --traced-size x=SHAPE" in finding.detail


@pytest.mark.parametrize("length", [30, 33])
def test_the_traced_size_settles_all_of_them(length: int) -> None:
    traced = (2, 16, length, length)
    module, model = load("pyramid", traced)
    result = onnxpool.rewrite(model, traced_sizes={"x": traced})
    (finding,) = result.report.findings
    assert f"--traced-size makes 'x' {length}x{length}" in finding.wrong
    assert is_right(module, result.model, traced)


def test_one_output_size_settles_the_others() -> None:
    traced = (2, 16, 30, 30)
    module, model = load("pyramid", traced)
    result = onnxpool.rewrite(model, output_sizes={"node_avg_pool2d_1": (3,)})
    assert is_right(module, result.model, traced)


def test_one_output_size_for_every_node() -> None:
    traced = (2, 4, 12, 12)
    module, model = load("to 6", traced)
    assert [f.level for f in frozen(model)] == ["error"]
    result = onnxpool.rewrite(model, output_sizes={"*": (6, 6)})
    assert is_right(module, result.model, traced)


def test_a_linear_layer_proves_the_size_and_the_flattening_is_corrected() -> None:
    traced = (2, 3, 64, 64)
    module, model = load("classifier", traced)
    result = onnxpool.rewrite(model)
    (finding,) = result.report.findings
    assert finding.wrong.endswith("'node_linear' takes 200 features of 8 channels")
    assert is_right(module, result.model, traced)
    assert right_at(model, module, [(1, 3, 61, 61), (1, 3, 80, 80)]) == [(1, 3, 61, 61)]


def test_tokens_of_a_frozen_map_are_counted_anew() -> None:
    """Attention flattens and splits the pooled map, all of it at sizes computed of Shape."""
    traced = (1, 16, 14, 14)
    module, model = load("attention", traced)
    result = onnxpool.rewrite(model, traced_sizes={"x": traced})
    assert is_right(module, result.model, traced)


def test_a_kernel_of_one_is_a_kept_axis() -> None:
    traced = (2, 4, 12, 13)
    module, model = load("kept", traced)
    result = onnxpool.rewrite(model, traced_sizes={"input": traced})
    (finding,) = result.report.findings
    assert finding.wrong.endswith("an axis of kernel 1 is taken as kept")
    assert is_right(module, result.model, traced)
    given = onnxpool.rewrite(model, output_sizes={"*": (3, -1)})
    assert is_right(module, given.model, traced)


def test_max_pooling() -> None:
    traced = (2, 4, 12, 12)
    module, model = load("max", traced)
    result = onnxpool.rewrite(model, output_sizes={"*": (4,)})
    assert [f.op for f in result.report.findings] == ["AdaptiveMaxPool"]
    assert is_right(module, result.model, traced)


def test_without_a_word_on_its_origin_the_user_says_what_it_is() -> None:
    model = side_by_side()
    (doubtful,) = frozen(model)
    assert doubtful.level == "note"
    assert "right at the traced size only" in doubtful.detail
    result = onnxpool.rewrite(model, output_sizes={doubtful.node: (1,)})
    planes = [(1, 8, h, w) for h, w in ((7, 7), (9, 9), (7, 30), (20, 3), (1, 1))]
    assert right_at(result.model, nn.AdaptiveAvgPool2d(1), planes) == planes


def test_an_ordinary_pool_is_left() -> None:
    module, model = load("ordinary", (2, 4, 12, 12))
    (finding,) = frozen(model)
    assert finding.level == "note"
    assert onnxpool.rewrite(model, traced_sizes={"x": (2, 4, 12, 12)}).report.rewritten == 0
    assert module is not None


def test_an_ordinary_pool_without_metadata_is_no_warning() -> None:
    _, model = load("ordinary", (2, 4, 12, 12))
    strip(model)
    (finding,) = frozen(model)
    assert finding.level == "note"
    assert onnxpool.rewrite(model).report.rewritten == 0


def strip(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        del node.metadata_props[:]


def side_by_side(*readers: tuple[str, dict[str, Any]], line: str = "") -> onnx.ModelProto:
    """An AveragePool of 7x7 windows over open sizes, and what reads it."""
    g = Graph()
    tensor = g("AveragePool", "X", kernel_shape=[7, 7], strides=[7, 7])
    for op_type, attributes in readers:
        inputs = [attributes.pop("with")] if "with" in attributes else []
        tensor = g(op_type, tensor, *inputs, **attributes)
    model = g.model((1, 8, "H", "W"), tensor)  # type: ignore[arg-type]
    if line:
        model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value=line)
    return model


ADAPTIVE = "  return F.adaptive_avg_pool2d(input, size)"


def test_a_squeeze_proves_the_size() -> None:
    model = side_by_side(("Relu", {}), ("Squeeze", {"with": np.array([2, 3])}), line=ADAPTIVE)
    (finding,) = onnxpool.inspect(model).findings
    assert (finding.op, finding.shape) == ("AdaptiveAveragePool", "1x8xHxW → 1x1")
    assert finding.wrong.endswith("'Squeeze_2' drops its axes")


def test_what_reads_it_is_no_proof_that_it_is_frozen() -> None:
    """AvgPool2d(7), squeezed, looks like that too: at 8x8 it leaves the last row out."""
    model = side_by_side(("Squeeze", {"with": np.array([2, 3])}))
    (finding,) = onnxpool.inspect(model).findings
    assert finding.level == "warning"
    assert "--output-size AveragePool_0=1x1 ('Squeeze_1' drops its axes)" in finding.detail


def test_a_line_that_takes_the_kernel_from_the_input_shows_it() -> None:
    model = side_by_side(line="  return F.avg_pool2d(x, (x.size(-2), x.size(-1)))")
    (finding,) = onnxpool.inspect(model).findings
    assert (finding.op, finding.shape) == ("AdaptiveAveragePool", "1x8xHxW → 1x1")


def test_a_width_that_is_no_square_is_no_proof() -> None:
    weight = np.ones((8 * 6, 3), np.float32)
    model = side_by_side(("Flatten", {}), ("MatMul", {"with": weight}), line=ADAPTIVE)
    (finding,) = onnxpool.inspect(model).findings
    assert finding.level == "error"
    assert "does not say to which size" in finding.detail


def test_a_declared_size_proves_itself() -> None:
    model = side_by_side()
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    for size in (1, 8, 3, 3):
        model.graph.output[0].type.tensor_type.shape.dim.add(dim_value=size)
    (finding,) = onnxpool.inspect(model).findings
    assert (finding.op, finding.shape) == ("AdaptiveAveragePool", "1x8xHxW → 3x3")
    assert finding.wrong.endswith("the file declares 'AveragePool_0' as 3x3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"traced_sizes": {"x": (2, 16, 31, 31)}},
            "--traced-size makes 'x' 31x31, which windows of 15x15 do not fill",
        ),
        (
            {"traced_sizes": {"x": (2, 8, 30, 30)}},
            "--traced-size x=2x8x30x30 does not fit the input, which is",
        ),
        ({"traced_sizes": {"x": (30, 30)}}, "--traced-size x=30x30 does not fit the input"),
        ({"traced_sizes": {"y": (30, 30)}}, "--traced-size names 'y'; the inputs are x"),
        (
            {"output_sizes": {"node": (2, 2)}},
            "--output-size names 'node', and no node of the model is called so",
        ),
        (
            {"output_sizes": {"node_avg_pool2d": (2, 2, 2)}},
            "--output-size node_avg_pool2d=2x2x2 has 3 axes, node 'node_avg_pool2d' pools 2",
        ),
    ],
)
def test_what_the_user_says_has_to_fit(
    options: dict[str, dict[str, tuple[int, ...]]], message: str
) -> None:
    _, model = load("pyramid", (2, 16, 30, 30))
    with pytest.raises(ArgumentError) as error:
        onnxpool.inspect(model, **options)  # type: ignore[arg-type]
    assert str(error.value).startswith(message)


def test_an_output_size_for_a_node_that_is_no_frozen_pool() -> None:
    _, model = load("pyramid", (2, 16, 30, 30))
    relu = next(node.name for node in model.graph.node if node.op_type == "Relu")
    with pytest.raises(ArgumentError, match="is no pooling whose windows may be frozen"):
        onnxpool.inspect(model, output_sizes={relu: (2, 2)})
