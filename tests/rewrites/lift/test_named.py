"""Nodes that say by themselves what they compute, as a part of larger pooling."""

import numpy as np
import onnx
import pytest
from onnx import parser

import onnxpool
from onnxpool.ops import AdaptiveAveragePool, GeMPool, PyramidPool
from onnxpool.rewrites.graph.run import evaluate
from tests.rewrites.test_find import find_in

CLIP = "floor = Constant<value_float=0.001>() clipped = Clip(X, floor)"
P = "p = Constant<value_float=2.5>() powers = Pow(clipped, p)"
ROOT = "r = Constant<value_float=0.4>() Y = Pow(mean, r)"
DIALECT = "mean = onnxpool.AdaptiveAveragePool<output_size=[4, 3]>(powers)"
PYTORCH = """size = Constant<value_ints=[4, 3]>()
    mean = org.pytorch.aten.adaptive_avg_pool2d(powers, size)"""


def model(nodes: str, x: str = "float[N,3,H,W] X", outputs: str = "Y") -> onnx.ModelProto:
    imports = '"" : 17, "onnxpool" : 1, "org.pytorch.aten" : 1'
    return parser.parse_model(
        f"<ir_version: 8, opset_import: [{imports}]> g ({x}) => ({outputs}) {{ {nodes} }}"
    )


@pytest.mark.parametrize("pool", [DIALECT, PYTORCH])
@pytest.mark.parametrize("x", ["float[N,3,H,W] X", "float[1,3,9,7] X", "float[3,H,W] X"])
def test_an_average_between_powers_is_a_generalised_mean(pool: str, x: str) -> None:
    (construct,), declined = find_in(model(f"{CLIP} {P} {pool} {ROOT}", x))
    assert declined == []
    assert isinstance(construct.op, GeMPool)
    assert construct.op.output_size == (4, 3)
    assert construct.op.epsilon == pytest.approx(0.001)
    np.testing.assert_allclose(evaluate(construct.parameters[0], 17), 2.5)
    assert construct.unloadable == (pool == PYTORCH)


@pytest.mark.parametrize(
    "nodes",
    [
        f"{CLIP} {P} {DIALECT} r = Constant<value_float=0.5>() Y = Pow(mean, r)",
        f"{CLIP} {P} {DIALECT} shifted = Add(mean, p) {ROOT.replace('mean', 'shifted')}",
        f"{CLIP} {P} {DIALECT} twice = Mul(mean, mean) {ROOT.replace('mean', 'twice')}",
        # What passes the average by.
        f"""{CLIP} {P} {DIALECT} least = ReduceMin<axes=[2, 3]>(powers)
        sum = Add(mean, least) {ROOT.replace("mean", "sum")}""",
        # A size that the graph computes: GeMPool takes none.
        f"""{CLIP} {P} shape = Shape<start=2>(X) two = Constant<value_ints=[2]>()
        size = Div(shape, two)
        mean = onnxpool.AdaptiveAveragePool<output_size=[0, 0]>(powers, size) {ROOT}""",
    ],
)
def test_an_average_between_other_things_stays_one(nodes: str) -> None:
    (construct,), _ = find_in(model(nodes))
    assert isinstance(construct.op, AdaptiveAveragePool)
    assert construct.is_dialect_node


def test_a_value_inside_that_is_used_elsewhere_stays() -> None:
    nodes = " ".join((CLIP, P, DIALECT, ROOT, "Z = Neg(mean)"))
    result = onnxpool.rewrite(model(nodes, outputs="Y, Z"))
    assert [finding.op for finding in result.report.findings] == ["AdaptiveAveragePool", "GeMPool"]
    assert {node.domain for node in result.model.graph.node} == {""}


def test_levels_of_a_pyramid_are_joined_however_they_are_named() -> None:
    nodes = """A = onnxpool.AdaptiveAveragePool<output_size=[2, 2]>(X)
    size = Constant<value_ints=[3, 3]>() B = org.pytorch.aten.adaptive_avg_pool2d(X, size)
    C = GlobalAveragePool(X)"""
    (construct,), _ = find_in(model(nodes, outputs="A, B, C"))
    assert isinstance(construct.op, PyramidPool)
    assert construct.op.sizes() == ((1, 1), (2, 2), (3, 3))


def test_an_axis_that_is_put_in_and_taken_out_again_is_seen_through() -> None:
    nodes = """axis = Constant<value_ints=[2]>() plane = Unsqueeze(X, axis)
    pooled = onnxpool.AdaptiveAveragePool<output_size=[1, 5]>(plane) Y = Squeeze(pooled, axis)"""
    (construct,), _ = find_in(model(nodes, "float[2,3,13] X"))
    assert construct.op == AdaptiveAveragePool((5,))
