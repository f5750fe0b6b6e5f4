"""Pooling of other axes than the last ones is found, and right against PyTorch."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as in the sources that are exported here
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import onnxpool
from onnxpool.ops.op import Array
from tests.dynamic_exports import dynamo, right_at
from tests.lookalikes.lookalike import Dims, lookalike
from tests.lookalikes.pieces import adaptive, volume_bins

POOLS: dict[str, Sequence[Callable[..., Any]]] = {
    "ReduceMean": (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d),
    "ReduceMax": (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d),
}
OPS = {"ReduceMean": "AdaptiveAveragePool", "ReduceMax": "AdaptiveMaxPool"}


@dataclasses.dataclass(frozen=True)
class Axes:
    """Where N, C and the pooled axes stand in X, and in Y; N is missing where X is unbatched."""

    name: str
    to_channels_first: tuple[int, ...]
    k: int

    @property
    def pooled(self) -> tuple[int, ...]:
        return self.to_channels_first[-self.k :]


LAYOUTS = (
    Axes("NHWC", (0, 3, 1, 2), 2),
    Axes("NTC", (0, 2, 1), 1),
    Axes("TNC", (1, 2, 0), 1),
    Axes("TC", (1, 0), 1),
    Axes("HWC", (2, 0, 1), 2),
    Axes("HWNC", (2, 3, 0, 1), 2),
    Axes("NDHWC", (0, 4, 1, 2, 3), 3),
    Axes("DHWC", (3, 0, 1, 2), 3),
)


def sizes(dims: Dims) -> list[int]:
    """Numbers for the open ones."""
    return [dim if isinstance(dim, int) else 3 for dim in dims]


def run(model: onnx.ModelProto, x: Array) -> Array:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"X": x})[0])


def rewritten(
    text: str, dims: Dims, constants: dict[str, Any], op: str, **options: Any
) -> onnx.ModelProto:
    """The model after a rewrite, in which one construct of this op was found."""
    result = onnxpool.rewrite(lookalike("", text, dims, **constants).model, **options)
    assert [f.op for f in result.report.findings] == [op], result.report.findings
    return result.model


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_windows_of_several_axes_at_once(data: st.DataObject) -> None:
    layout = data.draw(st.sampled_from(LAYOUTS))
    reduction = data.draw(st.sampled_from(sorted(POOLS)))
    lengths = [data.draw(st.integers(2, 9)) for _ in range(layout.k)]
    bins = [data.draw(st.integers(1, length + 1)) for length in lengths]
    assume(lengths[0] != bins[0] > 1 and lengths != bins)
    lead = [data.draw(st.integers(2, 4)) for _ in layout.to_channels_first[: -layout.k]]
    shape = np.array([*lead, *lengths])[np.argsort(layout.to_channels_first)].tolist()
    tables = [adaptive(*pair) for pair in zip(lengths, bins, strict=True)]
    text, constants = volume_bins(tables, layout.pooled, reduction)
    model = rewritten(text, shape, constants, OPS[reduction])
    x = np.random.default_rng(data.draw(st.integers(0, 99))).standard_normal(shape, np.float32)
    source = torch.from_numpy(x).permute(layout.to_channels_first).double()
    wanted = POOLS[reduction][layout.k - 1](source, bins).numpy()
    found = run(model, x).transpose(layout.to_channels_first)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=4e-7 if "Mean" in reduction else 0)


def gem(
    x: str, axes: Sequence[int], *, keep: bool, front: str = "", back: str = "Y = Pow(m, q)"
) -> str:
    return f"""{front}
        a = Max({x}, low)
        b = Pow(a, p)
        m = ReduceMean<axes={list(axes)}, keepdims={int(keep)}>(b)
        {back}"""


def generalised_mean(x: Array, p: float, axes: Sequence[int], *, keep: bool) -> Array:
    powers = np.maximum(x.astype(np.float64), 1e-6) ** p
    return np.asarray(powers.mean(axis=tuple(axes), keepdims=keep) ** (1 / p))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_generalised_means(data: st.DataObject) -> None:
    layout = data.draw(st.sampled_from(LAYOUTS))
    keep, is_open = data.draw(st.booleans()), data.draw(st.booleans())
    p = data.draw(st.sampled_from([1.5, 2.0, 2.87, 3.0, 4.0]))
    shape = [data.draw(st.integers(2, 9)) for _ in layout.to_channels_first]
    channel = layout.to_channels_first[-layout.k - 1]
    dims: Dims = [n if axis == channel else f"d{axis}" for axis, n in enumerate(shape)]
    text = gem("X", layout.pooled, keep=keep)
    numbers = {"low": 1e-6, "p": p, "q": 1 / p}
    model = rewritten(text, dims if is_open else shape, numbers, "GeMPool")
    x = np.random.default_rng(data.draw(st.integers(0, 99))).uniform(-0.2, 2, shape)
    wanted = generalised_mean(x, p, layout.pooled, keep=keep)
    np.testing.assert_allclose(run(model, x.astype(np.float32)), wanted, rtol=2e-5)


@pytest.mark.parametrize("dims", [(2, 9, 7, 5), ("N", "H", "W", 5)])
def test_a_mean_between_transposes_needs_none(dims: Dims) -> None:
    text = gem(
        "t",
        (2, 3),
        keep=True,
        front="t = Transpose<perm=[0, 3, 1, 2]>(X)",
        back="r = Pow(m, q)\nY = Transpose<perm=[0, 2, 3, 1]>(r)",
    )
    model = rewritten(text, dims, {"low": 1e-6, "p": 3.0, "q": 1 / 3}, "GeMPool")
    assert "Transpose" not in {node.op_type for node in model.graph.node}
    x = np.random.default_rng(0).uniform(0, 1, (2, 9, 7, 5)).astype(np.float32)
    wanted = generalised_mean(x, 3, (1, 2), keep=True)
    np.testing.assert_allclose(run(model, x), wanted, rtol=2e-5)


def test_an_exponent_per_channel_keeps_its_transposes() -> None:
    p = np.linspace(2, 4, 5).astype(np.float32)
    text = gem(
        "t",
        (2, 3),
        keep=True,
        front="t = Transpose<perm=[0, 3, 1, 2]>(X)",
        back="r = Pow(m, q)\nY = Transpose<perm=[0, 2, 3, 1]>(r)",
    )
    numbers = {"low": 1e-6, "p": p.reshape(5, 1, 1), "q": (1 / p).reshape(5, 1, 1)}
    model = rewritten(text, (2, 9, 7, 5), numbers, "GeMPool")
    assert [node.op_type for node in model.graph.node].count("Transpose") == 2
    x = np.random.default_rng(0).uniform(0.1, 1, (2, 9, 7, 5)).astype(np.float32)
    for channel in range(5):
        wanted = generalised_mean(x, float(p[channel]), (1, 2), keep=True)[..., channel]
        np.testing.assert_allclose(run(model, x)[..., channel], wanted, rtol=2e-5)


@pytest.mark.parametrize("reduction", sorted(POOLS))
def test_blocks_of_channels_last(reduction: str) -> None:
    text = f"r = Reshape(X, s)\nY = {reduction}<axes=[2, 4], keepdims=0>(r)"
    model = rewritten(text, (2, 12, 6, 5), {"s": [2, 3, 4, 2, 3, 5]}, OPS[reduction])
    x = np.random.default_rng(0).standard_normal((2, 12, 6, 5)).astype(np.float32)
    source = torch.from_numpy(x).permute(0, 3, 1, 2)
    wanted = POOLS[reduction][1](source, (3, 2)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(run(model, x), wanted, atol=4e-7)


@pytest.mark.parametrize("reduction", sorted(POOLS))
@pytest.mark.parametrize(
    ("dims", "axis"),
    [
        ((2, 9, 7, 5), 1),
        ((2, 7, 9, 5), 2),
        (("N", 9, "W", 5), 1),
        ((2, 9, 3, 4, 5), 1),
        ((2, 3, 4, 9, 5), 3),
    ],
)
def test_windows_of_one_axis(dims: Dims, axis: int, reduction: str) -> None:
    text, constants = volume_bins([adaptive(9, 4)], [axis], reduction)
    model = rewritten(text, dims, constants, OPS[reduction])
    x = np.random.default_rng(0).standard_normal(sizes(dims)).astype(np.float32)
    source = torch.from_numpy(x).movedim(axis, -1).double()
    wanted = POOLS[reduction][0](source.flatten(0, -2), 4).reshape(*source.shape[:-1], 4)
    atol = 4e-7 if "Mean" in reduction else 0
    np.testing.assert_allclose(run(model, x), wanted.movedim(-1, axis).numpy(), rtol=0, atol=atol)


@pytest.mark.parametrize("reduction", sorted(POOLS))
@pytest.mark.parametrize(
    ("dims", "blocks", "reduced", "pooled"),
    [
        ((4, 6, "N", 5), [2, 2, 3, 2, -1, 5], [1, 3], {0: 2, 1: 3}),
        ((8, "N", 5), [4, 2, -1, 5], [1], {0: 4}),
        (("N", 12, "C"), [0, 3, 4, -1], [2], {1: 3}),
        (("N", 4, 6, 5), [-1, 2, 2, 3, 2, 5], [2, 4], {1: 2, 2: 3}),
    ],
)
def test_blocks_beside_an_axis_that_a_reshape_leaves_to_be_seen(
    dims: Dims, blocks: list[int], reduced: list[int], pooled: dict[int, int], reduction: str
) -> None:
    text = f"r = Reshape(X, s)\nY = {reduction}<axes={reduced}, keepdims=0>(r)"
    model = rewritten(text, dims, {"s": blocks}, OPS[reduction])
    x = np.random.default_rng(0).standard_normal(sizes(dims)).astype(np.float32)
    order = [axis for axis in range(len(dims)) if axis not in pooled] + list(pooled)
    source = torch.from_numpy(x).permute(order)
    wanted = POOLS[reduction][len(pooled) - 1](source, tuple(pooled.values()))
    found = run(model, x).transpose(order)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=4e-7)


@pytest.mark.parametrize(
    ("dims", "axes"), [((2, 2, 2, 5), (1, 2)), ((2, 4, 5), (1,)), ((4, 5), (0,)), ((4, 2, 5), (0,))]
)
def test_a_sum_of_single_positions(dims: Dims, axes: tuple[int, ...]) -> None:
    """Four Slices, which Adds and one factor make a mean: nothing in it reduces."""
    starts = [[i // 2, i % 2] for i in range(4)] if len(axes) == 2 else [[i] for i in range(4)]
    lines = [f"t{i} = Slice(X, s{i}, e{i}, axes)" for i in range(4)]
    lines += ["a = Add(t0, t1)", "b = Add(a, t2)", "c = Add(b, t3)", "Y = Mul(c, quarter)"]
    bounds = {f"s{i}": start for i, start in enumerate(starts)}
    bounds |= {f"e{i}": [n + 1 for n in start] for i, start in enumerate(starts)}
    constants: dict[str, Any] = {**bounds, "axes": list(axes), "quarter": 0.25}
    model = rewritten("\n".join(lines), dims, constants, "AdaptiveAveragePool")
    x = np.random.default_rng(0).standard_normal(sizes(dims)).astype(np.float32)
    np.testing.assert_allclose(run(model, x), x.mean(axes, keepdims=True), rtol=0, atol=4e-7)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: each.name)
def test_a_count_that_is_computed_of_fixed_sizes(layout: Axes) -> None:
    """Sum / (H·W), of Shape, though the file says what H and W are."""
    axes = list(layout.pooled)
    text = """a = Max(X, low)
        b = Pow(a, p)
        sum = ReduceSum<keepdims=0>(b, axes)
        shape = Shape(b)
        sizes = Gather(shape, axes)
        n = ReduceProd<keepdims=0>(sizes)
        count = Cast<to=1>(n)
        m = Div(sum, count)
        Y = Pow(m, q)"""
    shape = [3 + axis for axis in range(len(layout.to_channels_first))]
    constants: dict[str, Any] = {"low": 1e-6, "p": 3.0, "q": 1 / 3, "axes": axes}
    model = rewritten(text, shape, constants, "GeMPool")
    x = np.random.default_rng(0).uniform(-0.2, 2, shape)
    wanted = generalised_mean(x, 3.0, axes, keep=False)
    np.testing.assert_allclose(run(model, x.astype(np.float32)), wanted, rtol=2e-5)


INDICES = """t = Transpose<perm=[0, 3, 1, 2]>(X)
    V = ReduceMax<axes=[1, 2]>(X)
    r = Reshape(t, flat)
    a = ArgMax<axis=2>(r)
    i = Reshape(a, one)
    Y = Transpose<perm=[0, 2, 3, 1]>(i)"""


@pytest.mark.parametrize(
    ("text", "flat", "of"),
    [
        (INDICES, [2, 5, 63], "2x9x7x5"),
        # Those of columns behind columns are positions of a transposed X alone.
        (
            INDICES.replace("[0, 3, 1, 2]", "[0, 2, 1, 3]").replace("=2", "=1"),
            [2, 63, 5],
            "2x7x9x5",
        ),
    ],
)
def test_indices_count_positions_of_the_plane(text: str, flat: list[int], of: str) -> None:
    constants: dict[str, Any] = {"flat": flat, "one": [2, 5, 1, 1]}
    findings = onnxpool.inspect(lookalike("", text, (2, 9, 7, 5), **constants).model).findings
    (found,) = [finding for finding in findings if finding.tensors[-1] == "Y"]
    assert found.op == "AdaptiveMaxPool"
    assert found.shape.startswith(of)


@pytest.mark.parametrize(
    ("text", "dims", "constants", "reason"),
    [
        ("Y = ReduceMean<axes=[1, 2]>(X)", (2, 7, 8, 3), {}, "one ReduceMean already"),
        (
            "t = Transpose<perm=[0, 3, 1, 2]>(X)\nm = GlobalAveragePool(t)\nY = Flatten(m)",
            (2, 7, 8, 3),
            {},
            "one GlobalAveragePool already",
        ),
        (
            "t = Transpose<perm=[0, 3, 1, 2]>(X)\n"
            "m = AveragePool<kernel_shape=[4, 4], strides=[4, 4]>(t)\n"
            "Y = Transpose<perm=[0, 2, 3, 1]>(m)",
            (2, 8, 8, 3),
            {},
            "one AveragePool already",
        ),
        (
            gem("X", (1, 2), keep=False),
            (2, 7, 8, 3),
            {"low": 1e-6, "p": 3.0, "q": 1 / 3},
            "its pooled axes are not the last ones, and no form of fewer nodes is known there",
        ),
        (
            gem("X", (0, 1, 2), keep=False),
            (5, 7, 8, 2, 3),
            {"low": 1e-6, "p": 3.0, "q": 1 / 3},
            "its pooled axes are not the last ones, and to move them costs a Transpose",
        ),
    ],
)
def test_what_is_left(text: str, dims: Dims, constants: dict[str, Any], reason: str) -> None:
    model = lookalike("", text, dims, **constants).model
    for to in ("standard", "custom-op"):
        result = onnxpool.rewrite(model, to=to)
        (finding,) = result.report.findings
        assert finding.op
        assert finding.detail.startswith(reason)
        assert result.model == model


@pytest.mark.parametrize("plane", [(8, 9), (9, 8)])
@pytest.mark.parametrize("reduction", sorted(POOLS))
def test_the_mean_of_columns_between_transposes_is_not_named(
    plane: tuple[int, int], reduction: str
) -> None:
    """Axis 1 of X may be channels, and no other reading of the shapes is worth a word."""
    text = f"""t = Transpose<perm=[0, 3, 1, 2]>(X)
        m = {reduction}<axes=[2], keepdims=1>(t)
        Y = Transpose<perm=[0, 2, 3, 1]>(m)"""
    model = lookalike("", text, (2, *plane, 4)).model
    assert not onnxpool.inspect(model).findings
    assert onnxpool.rewrite(model).model == model


class Source(torch.nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def pooled_last(x: torch.Tensor) -> torch.Tensor:
    return F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), 5).permute(0, 2, 3, 1)


def pooled_first(x: torch.Tensor) -> torch.Tensor:
    return F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), 5)


def pooled_tokens(x: torch.Tensor) -> torch.Tensor:
    levels = (F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), n) for n in (1, 2, 3))
    return torch.cat([level.flatten(2).transpose(1, 2) for level in levels], 1)


@pytest.mark.parametrize("source", [pooled_last, pooled_first, pooled_tokens])
@pytest.mark.parametrize("is_open", [False, True])
def test_an_export_behind_a_permute(source: Callable[..., Any], is_open: bool) -> None:
    traced = (2, 13, 13, 4)
    model = dynamo(Source(source), traced, range(3) if is_open else ())
    shapes = [traced, (1, 24, 17, 4), (3, 7, 31, 4)] if is_open else [traced]
    result = onnxpool.rewrite(model)
    assert result.report.rewritten == 1
    assert right_at(result.model, source, shapes) == shapes
