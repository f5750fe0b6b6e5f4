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
    shape: Sequence[int], levels: Sequence[Window], op: str = "AveragePool", producer: str = ""
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
