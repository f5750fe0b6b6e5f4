"""Rewriting twice is rewriting once; custom ops of a rewritten file are those of the export."""

import warnings
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor, nn

import onnxpool
from onnxpool.rewrites.lower import STRATEGIES

MODELS = Path(__file__).parents[3] / "models"

Step = Callable[[Tensor], Tensor]


class Chain(nn.Module):
    def __init__(self, *steps: Step) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return x


def small_pyramid(x: Tensor) -> Tensor:
    """Each of its levels becomes a single node, with small windows."""
    finest = F.adaptive_avg_pool2d(x[:, :, :7, :7], (3, 1))
    return finest + F.adaptive_avg_pool2d(x[:, :, :7, :7], 1)


CHAINS: dict[str, tuple[Step, ...]] = {
    "two averages": (
        lambda x: F.adaptive_avg_pool2d(x, (13, 11)),
        lambda x: F.adaptive_avg_pool2d(x, (5, 4)),
    ),
    "an activation between": (
        lambda x: F.adaptive_avg_pool2d(x, (7, 5)),
        torch.relu,
        lambda x: F.adaptive_avg_pool2d(x, (4, 3)),
    ),
    "a pyramid of single nodes": (small_pyramid,),
}


def exported(steps: tuple[Step, ...]) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Chain(*steps).eval(), (torch.zeros(1, 32, 19, 17),), dynamo=True, verbose=False
        )
    assert program is not None
    return program.model_proto


def model_of(name: str) -> onnx.ModelProto:
    return exported(CHAINS[name]) if name in CHAINS else onnx.load(MODELS / name)


def custom_ops(model: onnx.ModelProto) -> list[tuple[str, str]]:
    """The nodes of the dialect, with their attributes."""
    ours = (node for node in model.graph.node if node.domain == "onnxpool")
    return sorted((node.op_type, str(list(node.attribute))) for node in ours)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["adaptive_avg_2d.onnx", "gem.onnx", "ppm.onnx", *CHAINS])
def test_twice_is_once(name: str, strategy: str) -> None:
    once = onnxpool.rewrite(model_of(name), strategy=strategy, check="none").model
    twice = onnxpool.rewrite(once, strategy=strategy, check="none").model
    assert twice.SerializeToString(deterministic=True) == once.SerializeToString(deterministic=True)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", ["adaptive_avg_2d.onnx", "gem.onnx", "ppm.onnx", *CHAINS])
def test_custom_ops_of_a_rewritten_file(name: str, strategy: str) -> None:
    model = model_of(name)
    wanted = custom_ops(onnxpool.rewrite(model, to="custom-op", check="none").model)
    assert wanted
    standard = onnxpool.rewrite(model, strategy=strategy, check="none").model
    found = onnxpool.rewrite(standard, to="custom-op", check="none").model
    assert custom_ops(found) == wanted
