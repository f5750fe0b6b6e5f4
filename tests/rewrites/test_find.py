"""Every spelling of the corpus is found, and no look-alike is."""

import numpy as np
import onnx
import pytest

from onnxpool.model import shapes
from onnxpool.model.file import ModelFile
from onnxpool.ops import KEEP, AdaptiveAveragePool, AdaptiveMaxPool, GeMPool, PyramidPool
from onnxpool.rewrites.find import find
from onnxpool.rewrites.graph.run import evaluate
from onnxpool.rewrites.lift.construct import Construct, Declined
from tests import exports


def find_in(model: onnx.ModelProto) -> tuple[list[Construct], list[Declined]]:
    file = ModelFile.from_proto(model)
    shapes.infer(file)
    constructs: list[Construct] = []
    declined: list[Declined] = []
    for scope in file.scopes:
        found = find(scope.graph, scope.opset)
        constructs += found[0]
        declined += found[1]
    return constructs, declined


def numbers(construct: Construct, size: tuple[int, ...]) -> tuple[int, ...]:
    """An output size with the kept axes in numbers."""
    plane = construct.x.shape[-len(size) :]
    return tuple(dim if bins == KEEP else bins for dim, bins in zip(plane, size, strict=True))


def pools(construct: Construct) -> list[tuple[str, tuple[int, ...], bool]]:
    """Op type, output size and use of Indices of every pool that more than one node does."""
    op = construct.op
    if isinstance(op, PyramidPool):
        kind = AdaptiveAveragePool if op.mode == "average" else AdaptiveMaxPool
        levels = zip(op.sizes(), construct.found, strict=True)
        return [
            (kind.op_type(), numbers(construct, size), False)
            for size, region in levels
            if len(region.nodes) > 1
        ]
    assert isinstance(op, AdaptiveAveragePool | AdaptiveMaxPool | GeMPool)
    size = numbers(construct, op.output_size)
    return [] if construct.best else [(op.op_type(), size, len(construct.regions) > 1)]


@pytest.mark.parametrize("case", exports.parameters(exports.CASES))
def test_what_the_corpus_says_is_found(case: exports.Case) -> None:
    model, _ = exports.load(case)
    constructs, _ = find_in(model)
    found = sorted(pool for construct in constructs for pool in pools(construct))
    assert found == sorted((p.op.op_type(), p.op.output_size, p.indices) for p in case.lifted)


@pytest.mark.parametrize(
    "case", exports.parameters(c for c in exports.CASES if any(pool.p for pool in c.lifted))
)
def test_the_exponent_and_the_clamp_of_a_generalised_mean(case: exports.Case) -> None:
    model, _ = exports.load(case)
    (construct,) = find_in(model)[0]
    (pool,) = case.lifted
    assert isinstance(construct.op, GeMPool)
    assert isinstance(pool.op, GeMPool)
    unit = float(np.finfo(case.dtype).eps)
    p = evaluate(construct.parameters[0], opset=18).reshape(-1)
    np.testing.assert_allclose(p, pool.p, rtol=2 * unit)
    if pool.op.epsilon is None:
        assert construct.op.epsilon is None
    else:
        # A clamp of 1e-6 is subnormal in float16: its spacing there is 6e-8.
        assert construct.op.epsilon == pytest.approx(pool.op.epsilon, rel=unit, abs=6e-8)


def test_an_absolute_value_in_front_is_no_part_of_a_mean_without_clamp() -> None:
    g = exports.Graph()
    absolute = g("Abs", "X")
    power = g("Pow", absolute, np.array(2.5, np.float32))
    mean = g("ReduceMean", power, axes=[2, 3], keepdims=1)
    (construct,) = find_in(g.model((1, 2, 5, 5), g("Pow", mean, np.array(0.4, np.float32))))[0]
    assert isinstance(construct.op, GeMPool)
    assert construct.x.name == absolute
