"""Pools that other writers put in the place of adaptive ones: warned of, restored on request."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from onnx import TensorProto, helper
from typer.testing import CliRunner

import onnxpool
from onnxpool.cli.app import app
from onnxpool.errors import ArgumentError
from onnxpool.rewrites.graph.run import Runner

Window = dict[str, Any]
ADAPTIVE: dict[str, tuple[Callable[..., torch.Tensor], ...]] = {
    "AveragePool": (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d),
    "MaxPool": (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d),
}


def model(
    shape: Sequence[int | str],
    levels: Sequence[Window],
    op: str = "AveragePool",
    producer: str = "",
) -> onnx.ModelProto:
    """Pools of X side by side: Y0, Y1, …"""
    names = [f"Y{i}" for i in range(len(levels))]
    nodes = [helper.make_node(op, ["X"], [y], y, **w) for y, w in zip(names, levels, strict=True)]
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "graph", [x], [onnx.ValueInfoProto(name=y) for y in names])
    imports = [helper.make_opsetid("", 13)]
    made = helper.make_model(graph, opset_imports=imports, ir_version=8, producer_name=producer)
    return onnx.shape_inference.infer_shapes(made)


def floor(lengths: Sequence[int], bins: Sequence[int], **more: Any) -> Window:
    strides = [n // b for n, b in zip(lengths, bins, strict=True)]
    kernel = [n - (b - 1) * s for n, b, s in zip(lengths, bins, strides, strict=True)]
    return {"kernel_shape": kernel, "strides": strides, **more}


def same(lengths: Sequence[int], bins: int, **more: Any) -> Window:
    kernel = [round(n / bins) for n in lengths]
    return {"kernel_shape": kernel, "strides": kernel, "auto_pad": "SAME_UPPER", **more}


def warned(made: onnx.ModelProto) -> list[str]:
    """The nodes that are warned of; none of them is changed."""
    assert onnxpool.rewrite(made).model == made
    return [f.node for f in onnxpool.inspect(made).findings if f.level == "warning"]


@pytest.mark.parametrize("op", ADAPTIVE)
@pytest.mark.parametrize("producer", ["PaddlePaddle", "paddle2onnx"])
@pytest.mark.parametrize(
    ("lengths", "bins"),
    [((15, 15), (6, 6)), ((1, 15), (1, 6)), ((9, 11, 14), (4, 5, 4)), ((17,), (5,))],
)
def test_paddle(lengths: tuple[int, ...], bins: tuple[int, ...], producer: str, op: str) -> None:
    shape = (1, 3, *lengths)
    made = model(shape, [floor(lengths, bins)], op, producer)
    (finding,) = onnxpool.inspect(made).findings
    assert finding.level == "warning"
    assert f"{producer} writes adaptive pools without pads" in finding.detail
    pads = [0] * 2 * len(lengths)
    assert not warned(model(shape, [floor(lengths, bins, pads=pads)], op, producer))
    assert not warned(model(shape, [floor(lengths, bins)], op, "pytorch"))


def test_paddle_is_known_by_the_graph_where_a_tool_dropped_the_producer() -> None:
    made = model((1, 3, 15, 15), [floor((15, 15), (6, 6))])
    made.graph.name = "PaddlePaddle Graph in PIR mode"
    assert warned(made) == ["Y0"]


def line(length: int, bins: int, op: str) -> onnx.ModelProto:
    """As Paddle writes a line: a plane of height 1, pooled."""
    window = floor((1, length), (1, bins))
    nodes = [
        helper.make_node("Unsqueeze", ["X", "axis"], ["plane"]),
        helper.make_node(op, ["plane"], ["pooled"], "pool", **window),
        helper.make_node("Squeeze", ["pooled", "axis"], ["Y"]),
    ]
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, (2, 3, length))
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [2])
    graph = helper.make_graph(nodes, "graph", [x], [onnx.ValueInfoProto(name="Y")], [axis])
    imports = [helper.make_opsetid("", 13)]
    made = helper.make_model(
        graph, opset_imports=imports, ir_version=8, producer_name="PaddlePaddle"
    )
    return onnx.shape_inference.infer_shapes(made)


@pytest.mark.parametrize("op", ADAPTIVE)
@pytest.mark.parametrize("restore", [{"*": ()}, {"pool": (4,)}, {"pool": (1, 4)}])
@pytest.mark.parametrize("length", [14, 15, 23])
def test_a_line_that_is_pooled_as_a_plane(
    length: int, restore: dict[str, tuple[int, ...]], op: str
) -> None:
    made = line(length, 4, op)
    (finding,) = onnxpool.inspect(made).findings
    assert finding.level == "warning"
    assert f"adaptive pooling of {length} to 4" in finding.detail
    result = onnxpool.rewrite(made, restore=restore)
    x = np.random.default_rng(0).standard_normal((2, 3, length)).astype(np.float32)
    wanted = ADAPTIVE[op][0](torch.from_numpy(x), 4).numpy()
    np.testing.assert_allclose(Runner(result.model)({"X": x})[0], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("op", ADAPTIVE)
@pytest.mark.parametrize(("length", "inexact"), [(33, ["Y3"]), (14, ["Y2", "Y3"]), (15, ["Y3"])])
def test_a_pyramid_counts_its_exact_levels(length: int, inexact: list[str], op: str) -> None:
    levels = [floor((length, length), (b, b), pads=[0] * 4) for b in (1, 2, 3, 6)]
    made = model((1, 2, length, length), levels, op)
    assert warned(made) == inexact


def test_a_global_pool_beside_it_is_no_pyramid() -> None:
    levels = [floor((33, 33), (1, 1)), floor((33, 33), (6, 6))]
    assert not warned(model((1, 2, 33, 33), levels))


@pytest.mark.parametrize("op", ADAPTIVE)
@pytest.mark.parametrize("pad", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("size", [(28, 41), (25, 25), (60, 81)])
def test_a_pyramid_with_same(size: tuple[int, int], pad: str, op: str) -> None:
    made = model((1, 2, *size), [same(size, b, auto_pad=pad) for b in (1, 2, 3, 6)], op)
    found = warned(made)
    assert found
    assert "Y0" not in found
    details = [f.detail for f in onnxpool.inspect(made).findings if f.node in found]
    assert all("a pyramid as TensorFlow has it" in detail for detail in details)


@pytest.mark.parametrize("op", ADAPTIVE)
@pytest.mark.parametrize("plane", [("H", "W"), (28, "W")])
def test_open_sizes(plane: tuple[int | str, ...], op: str) -> None:
    """To which size such a pool was adaptive is not in the graph: the user says it."""
    shape = (2, 3, *plane)
    paddle = model(shape, [floor((28, 41), (6, 6))], op, "PaddlePaddle")
    pyramid = model(shape, [same((28, 41), bins) for bins in (1, 2, 3, 6)], op)
    assert warned(paddle) == ["Y0"]
    assert warned(pyramid) == ["Y0", "Y1", "Y2", "Y3"]
    assert not warned(model(shape, [floor((28, 41), (6, 6))], op, "pytorch"))
    assert not warned(model(shape, [same((28, 41), bins) for bins in (3, 6)], op))
    x = np.random.default_rng(0).standard_normal((2, 3, 28, 35)).astype(np.float32)
    for made, node in ((paddle, "Y0"), (pyramid, "Y3")):
        result = onnxpool.rewrite(made, restore={node: (6, 6)})
        found = Runner(result.model)({"X": x})[-1]
        wanted = ADAPTIVE[op][1](torch.from_numpy(x), 6).numpy()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "levels"),
    [
        ((1, 2, 35, 35), [{"kernel_shape": [3, 3], "strides": [2, 2]}]),
        ((1, 2, 14, 14), [{"kernel_shape": [5, 5], "strides": [3, 3]}]),
        ((1, 2, 28, 28), [{"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}]),
        ((1, 2, 12, 12), [same((12, 12), b) for b in (1, 2, 3, 6)]),
        (
            (1, 2, 35, 35),
            [
                {"kernel_shape": [3, 3], "strides": [1, 1], "auto_pad": "SAME_UPPER"},
                {"kernel_shape": [3, 3], "strides": [2, 2]},
            ],
        ),
        (
            (1, 2, 13, 13),
            [{"kernel_shape": [k, k], "strides": [1, 1], "pads": [k // 2] * 4} for k in (5, 9, 13)],
        ),
    ],
)
@pytest.mark.parametrize("op", ADAPTIVE)
def test_ordinary_pools_are_no_matter(
    shape: tuple[int, ...], levels: list[Window], op: str
) -> None:
    assert not warned(model(shape, levels, op))


@pytest.mark.parametrize("op", ADAPTIVE)
def test_all_that_is_warned_of_is_restored(op: str) -> None:
    size = (28, 41)
    made = model((2, 3, *size), [same(size, b) for b in (1, 2, 3, 6)], op)
    result = onnxpool.rewrite(made, restore={"*": ()})
    onnx.checker.check_model(result.model, full_check=True)
    x = np.random.default_rng(0).standard_normal((2, 3, *size)).astype(np.float32)
    for y, bins in zip(Runner(result.model)({"X": x}), (1, 2, 3, 6), strict=True):
        wanted = ADAPTIVE[op][1](torch.from_numpy(x), bins).numpy()
        np.testing.assert_allclose(y, wanted, rtol=0, atol=0 if op == "MaxPool" else 1e-6)
    assert not warned(result.model)  # And nothing is left to rewrite.


def upsampled(batch: int | str, opset: int) -> onnx.ModelProto:
    """A pyramid of 33x33 as tf2onnx writes it: 3x3 windows for 2, upsampled by factors."""
    nodes, scales = [], []
    for bins, number in ((2, 3), (6, 6)):
        window = same((33, 33), bins)
        nodes += [
            helper.make_node("AveragePool", ["X"], [f"p{bins}"], f"p{bins}", **window),
            helper.make_node("Relu", [f"p{bins}"], [f"r{bins}"]),
            helper.make_node(
                "Resize",
                [f"r{bins}", "roi", f"s{bins}"],
                [f"u{bins}"],
                mode="linear",
                coordinate_transformation_mode="align_corners",
            ),
        ]
        factors = [1.0, 1.0, 33 / number, 33 / number]
        scales.append(helper.make_tensor(f"s{bins}", TensorProto.FLOAT, [4], factors))
    nodes.append(helper.make_node("Concat", ["X", "u2", "u6"], ["Y"], axis=1))
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, (batch, 2, 33, 33))
    roi = helper.make_tensor("roi", TensorProto.FLOAT, [0], [])
    outputs = [onnx.ValueInfoProto(name="Y")]
    graph = helper.make_graph(nodes, "graph", [x], outputs, [roi, *scales])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made)


@pytest.mark.parametrize("opset", [11, 12, 13, 18])
@pytest.mark.parametrize("batch", [2, "N"])
def test_what_upsamples_a_restored_plane_makes_the_size_it_made(
    batch: int | str, opset: int
) -> None:
    result = onnxpool.rewrite(upsampled(batch, opset), restore={"*": ()})
    x = torch.randn(2, 2, 33, 33, generator=torch.Generator().manual_seed(0))
    levels = [F.adaptive_avg_pool2d(x, bins).relu() for bins in (2, 6)]
    wanted = torch.cat(
        [x, *(F.interpolate(y, (33, 33), mode="bilinear", align_corners=True) for y in levels)], 1
    )
    (found,) = Runner(result.model)({"X": x.numpy()})
    np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("lengths", "bins"), [((15, 16), (6, 5)), ((17,), (5,)), ((7, 8, 9), (2, 3, 4))]
)
def test_a_node_is_restored_by_name(lengths: tuple[int, ...], bins: tuple[int, ...]) -> None:
    pools = [floor(lengths, bins), floor(lengths, bins)]
    made = model((2, 3, *lengths), pools)
    result = onnxpool.rewrite(made, restore={"Y1": bins})
    x = np.random.default_rng(0).standard_normal((2, 3, *lengths)).astype(np.float32)
    (left, restored), (before, _) = Runner(result.model)({"X": x}), Runner(made)({"X": x})
    np.testing.assert_array_equal(left, before)
    wanted = ADAPTIVE["AveragePool"][len(bins) - 1](torch.from_numpy(x), bins).numpy()
    np.testing.assert_allclose(restored, wanted, rtol=0, atol=1e-6)
    (finding,) = (f for f in result.report.findings if f.action == "rewritten")
    assert finding.now == "its windows are adaptive now"


@pytest.mark.parametrize(
    ("restore", "reason"),
    [
        ({"Q": (6, 6)}, "names 'Q', and no node"),
        ({"Y0": (6, 6, 6)}, "has 3 axes, the node pools 2"),
        ({"Y0": ()}, "wanted NODE=6x6"),
        ({"*": (6, 6)}, "wanted NODE=6x6"),
        ({"Y0": (0, 6)}, "wanted NODE=6x6"),
    ],
)
def test_a_wrong_argument_is_one_line(restore: dict[str, tuple[int, ...]], reason: str) -> None:
    made = model((1, 2, 15, 15), [floor((15, 15), (6, 6))])
    with pytest.raises(ArgumentError, match=reason):
        onnxpool.rewrite(made, restore=restore)


def test_the_command_line(tmp_path: Path) -> None:
    before, after = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(model((1, 2, 15, 15), [floor((15, 15), (6, 6))], producer="PaddlePaddle"), before)
    call = ["rewrite", str(before), str(after)]
    assert "warning: Y0" in CliRunner().invoke(app, call).stdout
    done = CliRunner().invoke(app, [*call, "--restore", "*"], standalone_mode=False)
    assert done.return_value == 0
    assert "its windows are adaptive now" in " ".join(done.stdout.split())
    restored = after.read_bytes()
    by_name = CliRunner().invoke(app, [*call, "--restore", "Y0=6x6"], standalone_mode=False)
    assert by_name.return_value == 0
    assert after.read_bytes() == restored
