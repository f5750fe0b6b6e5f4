"""What is said of a repair: every size only of what is proven and was tried."""

import functools
from collections.abc import Callable

import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as in the sources that are exported here
from torch import Tensor, nn

import onnxpool
from onnxpool.pipeline.report import Finding
from onnxpool.rewrites.repair import retarget
from tests.dynamic_exports import Shape, dynamo

IMAGE = (0, 2, 3)
EVERY = "it is right at every size now"


class Head(nn.Module):
    """A pool, its tokens normalised, and a layer of so many features or none."""

    def __init__(self, features: int = 0) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d((4, 2))
        self.classify = nn.Linear(features, 3) if features else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classify(F.normalize(self.pool(x).flatten(1)))
        return out


class Silent(nn.Module):
    """One channel to one bin: a norm that is expanded to another size broadcasts."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 1, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return F.normalize(F.avg_pool2d(x, x.shape[2:]))


class Positioned(nn.Module):
    """A map whose tokens have positions: it runs at the traced size alone."""

    def __init__(self) -> None:
        super().__init__()
        self.positions, self.pool = nn.Parameter(torch.randn(1, 144, 4)), nn.AdaptiveAvgPool2d(6)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2) + self.positions
        return self.pool(tokens.transpose(1, 2).reshape(x.shape)).flatten(1)


@functools.cache
def exported(build: Callable[[], nn.Module], traced: Shape) -> bytes:
    torch.manual_seed(0)
    return dynamo(build().eval(), traced, IMAGE).SerializeToString()


def repaired(build: Callable[[], nn.Module], traced: Shape, *, told: bool) -> Finding:
    model = onnx.load_from_string(exported(build, traced))
    hints = {"x": traced} if told else {}
    report = onnxpool.rewrite(model, traced_sizes=hints).report
    (finding,) = [f for f in report.findings if f.repair]
    return finding


def test_every_size_is_said_of_what_the_user_said_and_was_tried() -> None:
    assert repaired(Head, (2, 4, 24, 24), told=True).now == EVERY


def test_what_was_inferred_is_said_of_the_sizes_tried() -> None:
    """A map of 12x12 fits the 144 positions, if it was a square; and only it runs."""
    finding = repaired(Positioned, (2, 4, 12, 12), told=False)
    assert "only one square size" in finding.wrong
    assert finding.now.startswith("it is right at the ")
    assert "sizes tried, as far as shapes tell; at others the model does not run" in finding.now


def test_a_reader_that_keeps_a_frozen_size_is_no_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nothing were done about the readers: the model fails, or is silently too large."""
    monkeypatch.setattr(retarget._Retargeting, "run", lambda self: None)
    finding = repaired(Head, (2, 4, 24, 24), told=True)
    assert finding.now.startswith("but it is not right at every size: at x=")
    silent = repaired(Silent, (2, 1, 24, 24), told=True)
    assert silent.doubtful
    assert silent.now.startswith("but it is not right at every size: at x=")
    assert " is 2x1x2x2 and not ?x1x1x1" in silent.now
