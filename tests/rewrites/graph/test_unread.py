"""Outputs of a pool that nothing reads: what they alone need is not in the result."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

import onnxpool
from onnxpool.ops import AdaptiveMaxPool
from onnxpool.rewrites.graph.run import Runner
from onnxpool.rewrites.lower import STRATEGIES

STATIC, DYNAMIC = "float[2,3,13,8] X", "float[N,3,H,W] X"
X = np.random.default_rng(0).standard_normal((2, 3, 13, 8)).astype(np.float32)


def model(nodes: str, x: str, outputs: str) -> onnx.ModelProto:
    imports = '"" : 17, "onnxpool" : 1, "org.pytorch.aten" : 1'
    return parser.parse_model(
        f"<ir_version: 8, opset_import: [{imports}]> g ({x}) => ({outputs}) {{ {nodes} }}"
    )


def maximum(*size: int) -> str:
    return f"Y, I = onnxpool.AdaptiveMaxPool<output_size={list(size)}>(X)"


def unread(model: onnx.ModelProto) -> list[str]:
    read = {name for node in model.graph.node for name in node.input}
    read |= {output.name for output in model.graph.output}
    return [node.op_type for node in model.graph.node if not read.intersection(node.output)]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (-1, 4), (13, 8)])
@pytest.mark.parametrize("x", [STATIC, DYNAMIC])
def test_indices_alone(x: str, size: tuple[int, ...], strategy: str) -> None:
    result = onnxpool.rewrite(model(maximum(*size), x, "int64[a,b,c,d] I"), strategy=strategy)
    assert result.report.rewritten == 1
    assert unread(result.model) == []
    (found,) = Runner(result.model)({"X": X})
    np.testing.assert_array_equal(found, AdaptiveMaxPool(size).reference(X)[1])
    again = onnxpool.rewrite(result.model, strategy=strategy)
    assert again.model.SerializeToString() == result.model.SerializeToString()


@pytest.mark.parametrize("x", [STATIC, DYNAMIC])
def test_values_alone_are_found_without_indices(x: str) -> None:
    result = onnxpool.rewrite(model(maximum(5, 3), x, "float[a,b,c,d] Y"))
    assert "ArgMax" not in result.report.after.ops
    assert unread(result.model) == []
    (found,) = Runner(result.model)({"X": X})
    np.testing.assert_array_equal(found, AdaptiveMaxPool((5, 3)).reference(X)[0])


@pytest.mark.parametrize("to", ["standard", "custom-op"])
def test_indices_of_pytorchs_own_pools_of_one_tensor(to: str) -> None:
    pool = "Y{0}, I{0} = org.pytorch.aten.adaptive_max_pool2d<output_size=[{0},{0}]>(X)"
    nodes = " ".join(pool.format(size) for size in (2, 3))
    result = onnxpool.rewrite(model(nodes, STATIC, "int64[a,b,c,d] I2, int64[a,b,e,f] I3"), to=to)
    onnx.checker.check_model(result.model, full_check=True)
    assert result.report.rewritten == 2
    assert unread(result.model) == []
    for found, size in zip(Runner(result.model)({"X": X}), (2, 3), strict=True):
        np.testing.assert_array_equal(found, AdaptiveMaxPool((size, size)).reference(X)[1])


def test_a_level_that_nothing_reads() -> None:
    nodes = """A, B, C = onnxpool.PyramidPool<output_sizes=[1,1,4,2,5,3], levels=3>(X)"""
    wanted = {"A": (1, 1), "C": (5, 3)}
    result = onnxpool.rewrite(model(nodes, STATIC, "float[a,b,c,d] A, float[a,b,e,f] C"))
    assert unread(result.model) == []
    found = dict(zip(wanted, Runner(result.model)({"X": X}), strict=True))
    assert {name: y.shape[2:] for name, y in found.items()} == wanted


@pytest.mark.parametrize("options", [{}, {"to": "custom-op"}, {"opset": 21}, {"opset": 11}])
def test_a_pool_that_nothing_reads_at_all_stays(options: dict[str, Any]) -> None:
    nodes = f"{maximum(5, 3)} Z = Relu(X)"
    result = onnxpool.rewrite(model(nodes, STATIC, "float[a,b,c,d] Z"), **options)
    assert result.report.rewritten == 1
    assert unread(result.model)
    np.testing.assert_array_equal(Runner(result.model)({"X": X})[0], np.maximum(X, 0))
