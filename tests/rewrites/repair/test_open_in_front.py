"""A pool of which nothing is known, in front of one that would be repaired.

Where it was frozen too, to repair the other alone turns a size that failed into one that is wrong.
"""

import functools
from collections.abc import Callable

import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as in the sources that are exported here
from torch import Tensor, nn

import onnxpool
from onnxpool.pipeline.report import Finding
from onnxpool.rewrites.graph.run import RunError, Runner
from tests.dynamic_exports import Shape, dynamo, example, right_at

TRACED = (1, 3, 16, 25)
SIZES = [(1, 3, h, w) for h, w in ((16, 25), (12, 12), (17, 13), (30, 24), (40, 33), (7, 9))]


def with_strip(x: Tensor) -> Tensor:
    return torch.cat([x, F.adaptive_avg_pool2d(x, (1, None)), x * 2], 2)


def halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, 2)


class InAFunction(nn.Module):
    """Calls that no line of `forward` shows; the second one's windows are not side by side."""

    def __init__(self, in_front: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.in_front = nn.Conv2d(3, 4, 3, 1, 1), in_front

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.in_front(self.conv(x)), (3, 2))


class Beside(nn.Module):
    """Neither is in front of the other; both decide one output."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d((3, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x * 2) + pooled_here(x)


def pooled_here(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, (1, 1)) + F.adaptive_avg_pool2d(x, (4, 1)).amax(2, True)


BUILDS: dict[str, Callable[[], nn.Module]] = {
    "strip": lambda: InAFunction(with_strip),
    "halved": lambda: InAFunction(halved),
    "beside": Beside,
}


@functools.cache
def exported(name: str) -> tuple[nn.Module, bytes]:
    torch.manual_seed(0)
    module = BUILDS[name]().eval()
    return module, dynamo(module, TRACED, (0, 2, 3)).SerializeToString()


def load(name: str, *, wiped: bool = False) -> tuple[nn.Module, onnx.ModelProto]:
    module, serialized = exported(name)
    model = onnx.load_from_string(serialized)
    if wiped:
        del model.graph.value_info[:]
        for node in model.graph.node:
            del node.metadata_props[:]
    return module, model


def fails_at(model: onnx.ModelProto) -> set[Shape]:
    runner, name = Runner(model), model.graph.input[0].name
    failed: set[Shape] = set()
    for shape in SIZES:
        try:
            runner({name: example(shape).numpy()})
        except RunError:
            failed.add(shape)
    return failed


def question(model: onnx.ModelProto, **told: object) -> Finding:
    findings = onnxpool.inspect(model, **told).findings  # type: ignore[arg-type]
    (open_,) = [f for f in findings if not f.op]
    assert open_.level == "error"
    return open_


@pytest.mark.parametrize("wiped", [False, True], ids=["metadata", "wiped"])
@pytest.mark.parametrize("name", ["strip", "beside"])
def test_no_size_that_failed_gives_other_values(name: str, wiped: bool) -> None:
    module, model = load(name, wiped=wiped)
    result = onnxpool.rewrite(model)
    right = {*right_at(result.model, module, SIZES)}
    assert right >= {*right_at(model, module, SIZES)}
    assert fails_at(model) <= fails_at(result.model) | right


def test_the_question_has_the_sizes_that_are_possible() -> None:
    _, model = load("strip")
    open_ = question(model)
    assert f"--output-size {open_.node}=ordinary" in open_.detail
    assert "1xNone (traced at 16x?)" in open_.detail
    traced = question(model, traced_sizes={"x": TRACED})
    assert "1xNone" in traced.detail


def test_what_is_behind_it_says_what_it_waits_for() -> None:
    _, model = load("strip")
    open_ = question(model)
    (behind,) = [f for f in onnxpool.inspect(model).findings if f.op]
    assert behind.detail == f"not repaired before the size of {open_.node!r} is known"


def test_the_answer_repairs_both() -> None:
    module, model = load("strip")
    told = onnxpool.rewrite(model, output_sizes={question(model).node: (1, -1)})
    assert right_at(told.model, module, SIZES) == SIZES


@pytest.mark.parametrize("node", ["*", None], ids=["every", "named"])
def test_an_ordinary_one_is_said_to_be_so(node: str | None) -> None:
    module, model = load("halved")
    told = {node or question(model).node: "ordinary"}
    result = onnxpool.rewrite(model, output_sizes=told)
    assert right_at(result.model, module, SIZES) == SIZES


def test_without_metadata_windows_of_two_are_taken_for_ordinary_ones() -> None:
    """They are in front of nearly every head, and were adaptive in none that is known."""
    module, model = load("halved", wiped=True)
    assert right_at(onnxpool.rewrite(model).model, module, SIZES) == SIZES


@pytest.mark.parametrize("wiped", [False, True], ids=["metadata", "wiped"])
@pytest.mark.parametrize("name", ["strip", "halved"])
def test_the_source_settles_it_though_the_graph_fails_behind_it(name: str, wiped: bool) -> None:
    module, model = load(name, wiped=wiped)
    result = onnxpool.rewrite(model, reference=module)
    assert right_at(result.model, module, SIZES) == SIZES
