"""Windows of D, H and W in front of channels are pooled where they stand; PyTorch is the judge."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as in the sources that are exported here
from onnx import TensorProto, helper

import onnxpool
from onnxpool.ops.op import Array
from tests.lookalikes.lookalike import Dims, lookalike
from tests.lookalikes.pieces import adaptive, volume_bins

Size = tuple[int, int, int]
POOLS: dict[str, Callable[..., torch.Tensor]] = {
    "ReduceMean": F.adaptive_avg_pool3d,
    "ReduceMax": F.adaptive_max_pool3d,
}
OPS = {"ReduceMean": "AdaptiveAveragePool", "ReduceMax": "AdaptiveMaxPool"}
LAST, FIRST = (0, 2, 3, 4, 1), (0, 4, 1, 2, 3)
"""What moves channels there."""


def bins(
    plane: Size, size: Size, reduction: str, axes: Sequence[int] = (1, 2, 3), **names: str
) -> tuple[str, dict[str, Any]]:
    tables = [adaptive(*pair) for pair in zip(plane, size, strict=True)]
    return volume_bins(tables, axes, reduction, **names)


def wanted(x: Array, size: Sequence[int], reduction: str) -> Array:
    """PyTorch's result in float64, channels last."""
    source = torch.from_numpy(x).permute(FIRST).double()
    return np.asarray(POOLS[reduction](source, size).permute(LAST).numpy())


def drawn(shape: Sequence[int]) -> Array:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def run(model: onnx.ModelProto, x: Array) -> list[Array]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(y) for y in session.run(None, {"X": x})]


def check(model: onnx.ModelProto, x: Array, size: Sequence[int], reduction: str) -> None:
    (found,) = run(model, x)
    atol = 4e-7 if reduction == "ReduceMean" else 0
    np.testing.assert_allclose(found, wanted(x, size, reduction), rtol=0, atol=atol)


def ops_of(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("to", ["standard", "custom-op"])
@pytest.mark.parametrize("opened", [None, 0, 1, 2, 3, 4])
@pytest.mark.parametrize("batch", [1, 8])
def test_averages_are_products(batch: int, opened: int | None, to: str) -> None:
    """The open axis is N, one that is kept at its length, or C."""
    plane: Size = (5, 9, 7)
    size: Size = (3, 5, 4)
    shape = [batch, *plane, 6]
    dims: Dims = ["A" if axis == opened else dim for axis, dim in enumerate(shape)]
    axes = [axis for axis in (1, 2, 3) if axis != opened]
    pooled = [(plane[axis - 1], size[axis - 1]) for axis in axes]
    text, constants = volume_bins([adaptive(*pair) for pair in pooled], axes)
    result = onnxpool.rewrite(lookalike("", text, dims, **constants).model, to=to)
    assert [f.action for f in result.report.findings] == ["rewritten"]
    # Where D is kept, it stands where an op has channels, and a kernel takes the others.
    is_kernel = to == "custom-op" and opened == 1
    ops = {"AdaptiveAveragePool"} if is_kernel else {"MatMul", "Reshape"}
    assert ops_of(result.model) == ops
    whole = tuple(plane[i] if i + 1 == opened else size[i] for i in range(3))
    for length in (shape[opened], 11) if opened is not None else (0,):
        x = drawn([length if axis == opened else n for axis, n in enumerate(shape)])
        kept = tuple(x.shape[i + 1] if i + 1 == opened else whole[i] for i in range(3))
        check(result.model, x, kept, "ReduceMean")


@pytest.mark.parametrize("reduction", sorted(POOLS))
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("size", [(2, 4, 3), (1, 4, 3), (2, 1, 1), (5, 2, 8), (2, 2, 7)])
def test_every_kind_of_size(batch: int, size: Size, reduction: str) -> None:
    """Of a small X, of which maxima are taken axis by axis in any batch."""
    shape = (batch, 5, 9, 7, 4)
    text, constants = bins((5, 9, 7), size, reduction)
    result = onnxpool.rewrite(lookalike("", text, shape, **constants).model)
    (finding,) = result.report.findings
    assert (finding.op, finding.action) == (OPS[reduction], "rewritten")
    assert "Transpose" not in ops_of(result.model)
    check(result.model, drawn(shape), size, reduction)


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("reduction", sorted(POOLS))
@pytest.mark.parametrize("back", [True, False])
def test_windows_between_transposes(batch: int, reduction: str, *, back: bool) -> None:
    """None is left in front of the windows, and behind them only what Y asks for."""
    text, constants = bins((5, 9, 7), (2, 4, 3), reduction, (2, 3, 4), x="t", y="p")
    end = f"Y = Transpose<perm={list(LAST)}>(p)" if back else "Y = Identity(p)"
    text = f"t = Transpose<perm={list(FIRST)}>(X)\n{text}\n{end}"
    shape = (batch, 5, 9, 7, 4)
    result = onnxpool.rewrite(lookalike("", text, shape, **constants).model)
    (finding,) = result.report.findings
    assert finding.action == "rewritten"
    x = drawn(shape)
    if back:
        assert "Transpose" not in ops_of(result.model)
        check(result.model, x, (2, 4, 3), reduction)
    else:
        (found,) = run(result.model, x)
        right = wanted(x, (2, 4, 3), reduction).transpose(FIRST)
        np.testing.assert_allclose(found, right, rtol=0, atol=4e-7)


@pytest.mark.parametrize("shape", [(1, 5, 9, 7, 4), (8, 5, 9, 7, 4), (5, 9, 7, 4)])
def test_axes_of_one_window_may_be_gone(shape: tuple[int, ...]) -> None:
    first = len(shape) - 4
    text, constants = volume_bins([adaptive(5, 3)], [first], y="b")
    text += f"\nY = ReduceMean<axes={[first + 1, first + 2]}, keepdims=0>(b)"
    result = onnxpool.rewrite(lookalike("", text, shape, **constants).model)
    (finding,) = result.report.findings
    assert (finding.op, finding.action) == ("AdaptiveAveragePool", "rewritten")
    assert "Transpose" not in ops_of(result.model)
    x = drawn(shape)
    right = wanted(x.reshape(-1, *shape[-4:]), (3, 1, 1), "ReduceMean")
    (found,) = run(result.model, x)
    assert found.shape == (*shape[:first], 3, 4)
    np.testing.assert_allclose(found, right.reshape(found.shape), rtol=0, atol=4e-7)


@pytest.mark.parametrize(
    "dims", [(1, "D", "H", "W", 20), ("N", 5, 9, "W", 20), ("N", "D", 9, 7, 20)]
)
@pytest.mark.parametrize("reduction", sorted(POOLS))
def test_windows_that_the_graph_computes(dims: Dims, reduction: str) -> None:
    """Averages are products; maxima may be left."""
    size: Size = (2, 3, 2)
    text, constants = computed_bins(size, reduction)
    result = onnxpool.rewrite(lookalike("", text, dims, **constants).model)
    (finding,) = result.report.findings
    assert finding.op == OPS[reduction]
    if reduction == "ReduceMean":
        assert finding.action == "rewritten"
    for lengths in ((1, 7, 6, 11, 20), (1, 3, 20, 5, 20), (3, 4, 3, 2, 20)):
        shape = [n if isinstance(dim, str) else dim for n, dim in zip(lengths, dims, strict=True)]
        check(result.model, drawn(shape), size, reduction)


def computed_bins(size: Size, reduction: str) -> tuple[str, dict[str, Any]]:
    """A Slice and a reduction per window, at bounds computed of Shape(X)."""
    lines, numbers = ["shape = Shape(X)"], dict[str, Any](axes=[1, 2, 3])
    for axis, count in zip((1, 2, 3), size, strict=True):
        numbers |= {f"axis{axis}": [axis], f"count{axis}": [count], f"up{axis}": [count - 1]}
        lines.append(f"length{axis} = Gather(shape, axis{axis})")
        for i in range(count):
            at = f"{axis}_{i}"
            numbers |= {f"i{at}": [i], f"next{at}": [i + 1]}
            lines += [
                f"from{at} = Mul(length{axis}, i{at})",
                f"start{at} = Div(from{at}, count{axis})",
                f"to{at} = Mul(length{axis}, next{at})",
                f"above{at} = Add(to{at}, up{axis})",
                f"end{at} = Div(above{at}, count{axis})",
            ]

    def part(chosen: tuple[int, ...]) -> str:
        name = "_".join(("b", *map(str, chosen))) if chosen else "Y"
        if len(chosen) < 3:
            parts = ", ".join(part((*chosen, i)) for i in range(size[len(chosen)]))
            lines.append(f"{name} = Concat<axis={len(chosen) + 1}>({parts})")
            return name
        for bound in ("start", "end"):
            each = ", ".join(f"{bound}{axis}_{i}" for axis, i in enumerate(chosen, start=1))
            lines.append(f"{name}_{bound} = Concat<axis=0>({each})")
        lines.append(f"{name}_t = Slice(X, {name}_start, {name}_end, axes)")
        lines.append(f"{name} = {reduction}<axes=[1, 2, 3], keepdims=1>({name}_t)")
        return name

    part(())
    return "\n".join(lines), numbers


@pytest.mark.parametrize(
    ("dims", "size", "reduction"),
    [
        ((8, 8, 14, 14, 32), (2, 3, 3), "ReduceMax"),
        (("N", 8, 14, 14, 4), (2, 3, 3), "ReduceMax"),
        (("N", "D", "H", "W", 20), (2, 2, 2), "ReduceMean"),
    ],
)
def test_what_is_as_fast_window_by_window(dims: Dims, size: Size, reduction: str) -> None:
    if isinstance(dims[1], int):
        text, constants = bins((8, 14, 14), size, reduction)
    else:
        text, constants = computed_bins(size, reduction)
    model = lookalike("", text, dims, **constants).model
    for to in ("standard", "custom-op"):
        result = onnxpool.rewrite(model, to=to)
        (finding,) = result.report.findings
        assert finding.op == OPS[reduction]
        assert finding.detail.startswith(
            "its pooled axes are not the last ones, and window by window is as fast in a batch"
        )
        assert result.model == model


@pytest.mark.parametrize("batch", [1, 8])
def test_a_pyramid(batch: int) -> None:
    sizes: list[Size] = [(1, 1, 1), (2, 3, 3), (4, 5, 4)]
    shape = (batch, 5, 9, 7, 4)
    lines, constants = [], dict[str, Any]()
    for level, size in enumerate(sizes):
        text, more = bins((5, 9, 7), size, "ReduceMean", y=f"Y{level}")
        lines.append(text)
        constants |= more
    names = [f"Y{level}" for level in range(len(sizes))]
    model = lookalike("", "\n".join(lines), shape, out=names, **constants).model
    result = onnxpool.rewrite(model)
    (finding,) = result.report.findings
    assert (finding.op, finding.action) == ("PyramidPool", "rewritten")
    x = drawn(shape)
    for found, size in zip(run(result.model, x), sizes, strict=True):
        np.testing.assert_allclose(found, wanted(x, size, "ReduceMean"), rtol=0, atol=4e-7)


class Volumes(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool3d(x.permute(FIRST), (2, 4, 3)).permute(LAST)


@pytest.mark.parametrize("to", ["standard", "custom-op"])
def test_an_export_has_no_transpose(tmp_path: Path, to: str) -> None:
    out = tmp_path / "out.onnx"
    onnxpool.export(Volumes().eval(), (torch.randn(2, 5, 9, 7, 4),), out, to=to)
    model = onnx.load(out)
    assert "Transpose" not in ops_of(model)
    x = drawn((2, 5, 9, 7, 4))
    session = onnxpool.session(out)
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(found, wanted(x, (2, 4, 3), "ReduceMean"), rtol=0, atol=4e-7)


def test_no_file_has_a_node_of_four_sizes() -> None:
    """No kernel and no function body takes it."""
    node = helper.make_node(
        "AdaptiveAveragePool", ["X"], ["Y"], "pool", domain="onnxpool", output_size=[2, 3, 3, -1]
    )
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("X", [1, 5, 9, 7, 4]), ("Y", [1, 2, 3, 3, 4]))
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("onnxpool", 1)]
    model = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=opsets)
    wanted_line = r"node 'pool': AdaptiveAveragePool takes an output_size of 1 to 3 sizes, .*3, -1"
    with pytest.raises(onnxpool.errors.ModelError, match=wanted_line):
        onnxpool.rewrite(model)
    (finding,) = onnxpool.inspect(model).findings
    assert "takes an output_size of 1 to 3 sizes" in finding.detail
