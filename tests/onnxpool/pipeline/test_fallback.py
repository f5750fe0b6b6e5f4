"""Exports that keep pooling as PyTorch's own op: what no runtime loads becomes standard ops."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from torch import Tensor

import onnxpool
from onnxpool.rewrites.graph.run import RunError, Runner
from tests import declared
from tests.exports import Function, through_torchscript

PLANE = (1, 3, 13, 13)
AXES = ("N", "C", "D", "H", "W")


@dataclasses.dataclass(frozen=True)
class Case:
    """A function, the shape it is traced at, and what the rewritten model declares as its output.

    Attributes:
        kept: whether a static export keeps PyTorch's op, too.
        fallthrough_only: whether torch cannot export it as ATen, which has one output.
    """

    function: Callable[[Tensor], Any]
    declares: list[int | str | None]
    shape: tuple[int, ...] = PLANE
    kept: bool = True
    fallthrough_only: bool = False


def own(x: Tensor) -> Any:
    return x.size()[2:]


CASES = {
    "average": Case(lambda x: F.adaptive_avg_pool2d(x, 6), ["N", 3, 6, 6]),
    "divisible": Case(
        lambda x: F.adaptive_avg_pool2d(x, 3), ["N", 3, 3, 3], (1, 3, 12, 12), kept=False
    ),
    "kept axis": Case(lambda x: F.adaptive_avg_pool2d(x, (3, None)), ["N", 3, 3, "W"]),
    "computed": Case(
        lambda x: F.adaptive_avg_pool2d(x, (x.size(2) // 3, x.size(3) // 2)), ["N", 3, None, None]
    ),
    "one computed": Case(
        lambda x: F.adaptive_avg_pool2d(x, (x.size(2) // 3, 5)), ["N", 3, None, 5]
    ),
    "computed as a float": Case(
        lambda x: F.interpolate(x, scale_factor=0.5, mode="area"), ["N", 3, None, None]
    ),
    "1-D": Case(lambda x: F.adaptive_avg_pool1d(x, 5), ["N", 3, 5], (1, 3, 13)),
    "3-D": Case(lambda x: F.adaptive_avg_pool3d(x, (2, 3, 4)), ["N", 3, 2, 3, 4], (1, 3, 5, 7, 9)),
    "maximum": Case(lambda x: F.adaptive_max_pool2d(x, 6), ["N", 3, 6, 6]),
    "maximum, computed": Case(
        lambda x: F.adaptive_max_pool2d(x, (x.size(2) // 3, 2)),
        ["N", 3, None, 2],
        fallthrough_only=True,
    ),
    "indices": Case(lambda x: F.adaptive_max_pool2d(x, 6, return_indices=True), ["N", 3, 6, 6]),
    "indices alone": Case(
        lambda x: F.adaptive_max_pool1d(x, 6, return_indices=True)[1], ["N", 3, 6], (1, 3, 13)
    ),
    "full size": Case(
        lambda x: F.avg_pool2d(x, (x.size(-2), x.size(-1))), ["N", 3, 1, 1], kept=False
    ),
    "full size, 3-D": Case(
        lambda x: F.avg_pool3d(x, own(x)), ["N", 3, 1, 1, 1], (1, 3, 5, 7, 9), kept=False
    ),
    "full size of one axis": Case(
        lambda x: F.avg_pool2d(x, (x.size(2), 1)), ["N", 3, 1, "W"], kept=False
    ),
    "full size, maximum": Case(lambda x: F.max_pool2d(x, own(x)), ["N", 3, 1, 1], kept=False),
    "full size, indices": Case(
        lambda x: F.max_pool2d(x, own(x), return_indices=True),
        ["N", 3, 1, 1],
        kept=False,
        fallthrough_only=True,
    ),
    "behind a convolution": Case(
        lambda x: F.avg_pool2d(y := F.conv2d(x, torch.ones(2, 3, 3, 3) / 27), own(y)).flatten(1),
        ["N", 2],
        kept=False,
    ),
    "in front of a classifier": Case(
        lambda x: F.adaptive_avg_pool2d(x.relu(), 2).flatten(1) * 2, ["N", 12]
    ),
    "up again": Case(
        lambda x: F.interpolate(F.adaptive_avg_pool2d(x, 6), size=own(x)), ["N", 3, "H", "W"]
    ),
    "several of one tensor": Case(
        lambda x: torch.cat([F.adaptive_avg_pool2d(x, size).flatten(2) for size in (2, 3, 6)], 2),
        ["N", 3, 49],
    ),
}


def export(case: Case, kind: str, *, dynamic: bool) -> onnx.ModelProto:
    names = {axis: AXES[axis if axis < 2 else axis - len(case.shape)] for axis in (0, 2, 3, 4)}
    axes = {axis: name for axis, name in names.items() if axis < len(case.shape)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        return through_torchscript(
            Function(case.function),
            torch.zeros(case.shape),
            input_names=["X"],
            dynamic_axes={"X": axes} if dynamic else None,
            operator_export_type=getattr(torch.onnx.OperatorExportTypes, kind),
        )


def sizes(case: Case) -> list[tuple[int, ...]]:
    """The traced shape, and others: square or not, divisible or not, with another batch."""
    planes = [(6, 6, 6), (7, 30, 12), (12, 9, 20)]
    return [case.shape, *((2, 3, *plane[: len(case.shape) - 2]) for plane in planes)]


KINDS = ("ONNX_FALLTHROUGH", "ONNX_ATEN_FALLBACK")
DYNAMIC = [
    pytest.param(case, kind, id=f"{name}-{kind}", marks=pytest.mark.xdist_group(name))
    for name, case in CASES.items()
    for kind in KINDS[: 1 if case.fallthrough_only else 2]
]
STATIC = [
    pytest.param(case, kind, id=f"{name}-{kind}")
    for name, case in CASES.items()
    for kind in KINDS
    if case.kept
]


def assert_right(model: onnx.ModelProto, case: Case, shapes: list[tuple[int, ...]]) -> None:
    runner = Runner(model)
    for shape in shapes:
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        expected = case.function(torch.from_numpy(x))
        expected = expected if isinstance(expected, tuple) else (expected,)
        for found, wanted in zip(runner({"X": x}), expected, strict=True):
            # As many roundings as a window of up to 12 x 20 has elements, of numbers up to 4.
            np.testing.assert_allclose(found, wanted.numpy(), rtol=240 * 2**-24, atol=1e-5)


@pytest.mark.parametrize(("case", "kind"), DYNAMIC)
def test_a_dynamic_export_is_right_at_every_size(case: Case, kind: str) -> None:
    model = export(case, kind, dynamic=True)
    with pytest.raises(RunError):
        Runner(model)
    result = onnxpool.rewrite(model)
    assert "org.pytorch.aten" not in {node.domain for node in result.model.graph.node}
    # What is true stays, so also an import that nothing uses any more.
    assert "org.pytorch.aten" in {entry.domain for entry in result.model.opset_import}
    assert [f.error_before for f in result.report.findings] == [None] * result.report.rewritten
    assert_right(result.model, case, sizes(case))
    assert dims(result.model.graph.output[0]) == case.declares
    declared.assert_true(result.model, sizes(case))


@pytest.mark.parametrize(("case", "kind"), STATIC)
def test_a_static_export_keeps_its_shapes(case: Case, kind: str) -> None:
    model = export(case, kind, dynamic=False)
    result = onnxpool.rewrite(model)
    assert "org.pytorch.aten" not in {node.domain for node in result.model.graph.node}
    assert_right(result.model, case, [case.shape])
    assert list(result.model.graph.output) == list(model.graph.output)


def dims(value: onnx.ValueInfoProto) -> list[int | str | None]:
    shape = value.type.tensor_type.shape
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in shape.dim]


def test_an_unbatched_pool() -> None:
    case = Case(lambda x: F.adaptive_avg_pool2d(x, (3, 6)), [3, 3, 6], (3, 13, 13))
    result = onnxpool.rewrite(export(case, KINDS[0], dynamic=False))
    assert_right(result.model, case, [case.shape])


def test_pools_of_one_tensor_share_their_work() -> None:
    model = export(CASES["several of one tensor"], KINDS[0], dynamic=True)
    (finding,) = onnxpool.rewrite(model).report.findings
    assert (finding.op, finding.detail) == ("PyramidPool", "dynamic matmul")


def test_inspect_says_that_it_does_not_run() -> None:
    (finding,) = onnxpool.inspect(export(CASES["average"], KINDS[0], dynamic=False)).findings
    assert (finding.action, finding.level) == ("rewritable", "error")
    assert finding.wrong == "an op of PyTorch's own, which ONNX Runtime does not load"


def test_indices_that_nothing_reads_are_not_computed() -> None:
    model = export(CASES["maximum"], KINDS[0], dynamic=False)
    assert len(model.graph.node[-1].output) == 2
    assert "ArgMax" not in {node.op_type for node in onnxpool.rewrite(model).model.graph.node}


def test_the_whole_model_cannot_be_compared_with_one_that_does_not_run() -> None:
    model = export(CASES["average"], KINDS[0], dynamic=False)
    with pytest.raises(onnxpool.errors.CheckError, match="the model as it came does not run"):
        onnxpool.rewrite(model, check="full")


def test_in_the_branches_of_a_condition() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17, "org.pytorch.aten" : 1]>
        g (float[N,3,H,W] X, bool c) => (float[1,3,6,7] Y) {
            s = Constant<value_ints=[6,7]>()
            r = Relu(X)
            y = If (c) <
                then_branch = t () => (float[1,3,6,7] a) {
                    a = org.pytorch.aten.adaptive_avg_pool2d(r, s)
                },
                else_branch = e () => (float[1,3,6,7] b) {
                    m, i = org.pytorch.aten.adaptive_max_pool2d(r, s)
                    b = Neg(m)
                }
            >
            Y = Abs(y)
        }"""
    )
    result = onnxpool.rewrite(model).model
    branches = [a.g for node in result.graph.node for a in node.attribute if node.op_type == "If"]
    for graph in (result.graph, *branches):
        assert dims(graph.output[0]) == ["N", 3, 6, 7]
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 20)).astype(np.float32)
    for condition, pool in ((True, F.adaptive_avg_pool2d), (False, F.adaptive_max_pool2d)):
        (found,) = Runner(result)({"X": x, "c": np.array(condition)})
        wanted = pool(torch.from_numpy(x).relu(), (6, 7)).numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
