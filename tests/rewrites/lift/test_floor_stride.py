"""Strided pooling in the place of adaptive pooling is explained; ordinary pooling is not."""

from collections.abc import Callable

import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn

import onnxpool
from tests.exports import Graph, quiet


def imitation(length: int, bins: int) -> tuple[int, int]:
    """Kernel and stride."""
    stride = length // bins
    return length - (bins - 1) * stride, stride


def pool(
    g: Graph, x: str, lengths: tuple[int, ...], bins: tuple[int, ...], op: str = "AveragePool"
) -> str:
    kernels, strides = zip(*map(imitation, lengths, bins), strict=True)
    return g(op, x, kernel_shape=list(kernels), strides=list(strides))


def ordinary(op: str) -> set[str]:
    """What is said of a sliding window, or of one that is adaptive pooling by chance."""
    return {f"an ordinary sliding window, one {op} already", f"one {op} already"}


def details(model: onnx.ModelProto) -> list[str]:
    assert onnxpool.rewrite(model).model == model
    findings = onnxpool.inspect(model).findings
    assert all((f.level == "warning") == ("imitate" in f.detail) for f in findings)
    return [finding.detail for finding in findings]


def test_the_name_of_a_node() -> None:
    g = Graph()
    y = pool(g, "X", (33, 33), (6, 6))
    g.nodes[0].name = "/neck/adaptive_pool/AveragePool"
    assert details(g.model((1, 2, 33, 33), y)) == [
        "stride 33 // 6 = 5 and kernel 8 imitate adaptive pooling of 33 to 6 ('adaptive_pool/"
        "AveragePool'), whose windows are 6 long, so the values differ; if they should not, "
        "put AdaptiveAvgPool2d into the source and use onnxpool export, or rewrite with --restore"
    ]


@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
def test_the_levels_of_a_pyramid(op: str) -> None:
    g = Graph()
    levels = [pool(g, "X", (35, 35), (bins, bins), op) for bins in (1, 2, 3, 6)]
    *exact, three, six = details(g.model((1, 2, 35, 35), *levels))
    assert exact == [f"one {op} already"] * 2
    assert "adaptive pooling of 35 to 3 ('X' is pooled likewise to 3x3, 6x6)" in three
    assert "adaptive pooling of 35 to 6 ('X' is pooled likewise to 3x3, 6x6)" in six


def test_two_axes() -> None:
    g = Graph()
    (detail,) = details(g.model((1, 2, 33, 45), pool(g, "X", (33, 45), (6, 6))))
    assert detail.startswith(
        "stride 33 // 6 = 5 and kernel 8 imitate adaptive pooling of 33 to 6 (33x45 to 6 windows "
        "on each axis), whose windows are 6 long"
    )


class AdaptiveForExport(nn.Module):
    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        return floor_stride(x, self.bins)


class Plain(AdaptiveForExport):
    pass


def floor_stride(x: Tensor, bins: int, pool: Callable[..., Tensor] = F.avg_pool2d) -> Tensor:
    kernels, strides = zip(*(imitation(length, bins) for length in x.shape[2:]), strict=True)
    return pool(x, kernels, strides)


class AdaptiveNet(nn.Module):
    """Its own name says nothing about the pools in it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (AdaptiveForExport(6), "('AdaptiveForExport')"),
        (Plain(6), None),
        (nn.AvgPool2d(3, 2), None),
    ],
)
def test_the_class_of_the_module(module: nn.Module, said: str | None) -> None:
    with quiet():
        program = torch.onnx.export(
            AdaptiveNet(module).eval(), (torch.zeros(1, 2, 33, 33),), dynamo=True, verbose=False
        )
    assert program is not None
    (detail,) = details(program.model_proto)
    assert detail in ordinary("AveragePool") if said is None else said in detail


LOOK_ALIKES: dict[str, tuple[str, int, dict[str, list[int]]]] = {
    # All of these but the padded ones have the numbers of the imitation.
    "AlexNet, 55 to 27": ("MaxPool", 55, {"kernel_shape": [3, 3], "strides": [2, 2]}),
    "AlexNet, 13 to 6": ("MaxPool", 13, {"kernel_shape": [3, 3], "strides": [2, 2]}),
    "GoogLeNet's auxiliary classifier": (
        "AveragePool", 14, {"kernel_shape": [5, 5], "strides": [3, 3]},
    ),
    "Inception's auxiliary classifier": (
        "AveragePool", 17, {"kernel_shape": [5, 5], "strides": [3, 3]},
    ),
    "Inception's reduction": ("MaxPool", 35, {"kernel_shape": [3, 3], "strides": [2, 2]}),
    "Inception's branch": (
        "AveragePool", 35, {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]},
    ),
    "ResNet": (
        "MaxPool", 113, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    ),
    "VGG, an odd size": ("MaxPool", 225, {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "anti-aliasing": ("MaxPool", 15, {"kernel_shape": [2, 2], "strides": [1, 1]}),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_ordinary_pooling(name: str) -> None:
    op, length, attributes = LOOK_ALIKES[name]
    g = Graph()
    model = g.model((1, 2, length, length), g(op, "X", **attributes))
    (detail,) = details(model)
    assert detail in ordinary(op)


def test_a_maximum_and_an_average_of_one_tensor() -> None:
    """Inception: the auxiliary classifier and the next reduction."""
    g = Graph()
    average = g("AveragePool", "X", kernel_shape=[5, 5], strides=[3, 3])
    maximum = g("MaxPool", "X", kernel_shape=[3, 3], strides=[2, 2])
    found = details(g.model((1, 2, 17, 17), average, maximum))
    assert set(found) <= ordinary("AveragePool") | ordinary("MaxPool")


def test_a_waveform() -> None:
    g = Graph()
    y = g("AveragePool", "X", kernel_shape=[16], strides=[8])
    (detail,) = details(g.model((1, 2, 8000), y))
    assert detail in ordinary("AveragePool")
