"""Casts and quantization between the nodes of pooling: seen through, or named as the reason."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own convention
from onnx import TensorProto, helper, numpy_helper

import onnxpool
from onnxpool.ops.op import Array
from onnxpool.ops.windows import windows

HALF, FLOAT, DOUBLE = TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE
Nodes = list[onnx.NodeProto]


def model(
    nodes: Nodes, x: int, y: int, stored: dict[str, Array], shape: tuple[int, ...] = (2, 4, 13, 11)
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("X", x, shape)],
        [helper.make_tensor_value_info("Y", y, None)],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def cast(source: str, to: int, result: str) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [result], to=to)


def rows(op: str, inner: int, outer: int, *, each: bool) -> tuple[Nodes, dict[str, Array]]:
    """Windows of 13 rows to 6 in the type `inner`; `each`: with Casts around every reduction."""
    nodes: Nodes = [] if each else [cast("X", inner, "x")]
    stored: dict[str, Array] = {"axis": np.array([2])}
    for i, window in enumerate(windows(13, 6)):
        stored |= {f"s{i}": np.array([window.start]), f"e{i}": np.array([window.end])}
        source = "X" if each else "x"
        nodes.append(helper.make_node("Slice", [source, f"s{i}", f"e{i}", "axis"], [f"t{i}"]))
        reduced = helper.make_node(op, [f"u{i}" if each else f"t{i}"], [f"v{i}"], axes=[2])
        ends = [cast(f"t{i}", inner, f"u{i}"), reduced, cast(f"v{i}", outer, f"r{i}")]
        nodes += ends if each else [reduced]
    names = [f"r{i}" if each else f"v{i}" for i in range(6)]
    joined = helper.make_node("Concat", names, ["Y" if each else "y"], axis=2)
    return [*nodes, joined, *([] if each else [cast("y", outer, "Y")])], stored


@pytest.mark.parametrize("each", [True, False])
@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax"])
def test_halves_that_are_pooled_in_float32(op: str, each: bool) -> None:
    nodes, stored = rows(op, FLOAT, HALF, each=each)
    result = onnxpool.rewrite(model(nodes, HALF, HALF, stored), strategy="pool")
    kind = "AdaptiveAveragePool" if op == "ReduceMean" else "AdaptiveMaxPool"
    assert [(f.op, f.action) for f in result.report.findings] == [(kind, "rewritten")]
    x = (np.random.default_rng(0).standard_normal((2, 4, 13, 11)) * 100).astype(np.float16)
    (found,) = ort.InferenceSession(result.serialize()).run(None, {"X": x})
    pool = F.adaptive_avg_pool2d if op == "ReduceMean" else F.adaptive_max_pool2d
    wanted = pool(torch.from_numpy(x).double(), (6, 11)).numpy()
    # Rounded once to float16, and next to nothing of float32.
    np.testing.assert_allclose(found, wanted, rtol=2**-11 * 1.01, atol=1e-6)


def gem(p: float) -> onnx.ModelProto:
    """GeM of halves whose powers are computed in float32, as converters to float16 leave them."""
    stored = {
        "low": np.float16(1e-3),
        "p": np.float32(p),
        "q": np.float32(1 / p),
    }
    nodes = [
        helper.make_node("Max", ["X", "low"], ["a"]),
        cast("a", FLOAT, "a32"),
        helper.make_node("Pow", ["a32", "p"], ["b32"]),
        cast("b32", HALF, "b"),
        helper.make_node("GlobalAveragePool", ["b"], ["m"]),
        cast("m", FLOAT, "m32"),
        helper.make_node("Pow", ["m32", "q"], ["y32"]),
        cast("y32", HALF, "Y"),
    ]
    return model(nodes, HALF, HALF, {n: np.asarray(v) for n, v in stored.items()})


def test_powers_in_float32() -> None:
    result = onnxpool.rewrite(gem(3.0))
    assert [(f.op, f.action) for f in result.report.findings] == [("GeMPool", "rewritten")]
    x = np.random.default_rng(0).uniform(0, 8, (2, 4, 13, 11)).astype(np.float16)
    (found,) = ort.InferenceSession(result.serialize()).run(None, {"X": x})
    base = x.astype(np.float64).clip(float(np.float16(1e-3)))
    wanted = np.mean(base**3, axis=(2, 3), keepdims=True) ** (1 / 3)
    np.testing.assert_allclose(found, wanted, rtol=2**-11 * 1.01)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (
            lambda: gem(2.8743),
            "it is not a generalised mean: its root is 2.8743, of powers 1",
        ),
        (
            lambda: model(*_split(rows("ReduceMean", DOUBLE, FLOAT, each=True), FLOAT)),
            "it is not adaptive average pooling: a Cast to double, which rounds as the op does not",
        ),
    ],
)
def test_what_rounds_otherwise_is_left_with_the_reason(build: Any, reason: str) -> None:
    before = build().SerializeToString()
    result = onnxpool.rewrite(before)
    assert reason in {f.detail for f in result.report.findings}
    assert result.report.rewritten == 0
    assert result.serialize() == before


def _split(
    parts: tuple[Nodes, dict[str, Array]], dtype: int
) -> tuple[Nodes, int, int, dict[str, Array]]:
    return parts[0], dtype, dtype, parts[1]


def test_a_cast_that_rounds_the_input_stays() -> None:
    nodes, stored = rows("ReduceMean", HALF, FLOAT, each=False)
    result = onnxpool.rewrite(model(nodes, FLOAT, FLOAT, stored), strategy="pool")
    assert [(f.op, f.action) for f in result.report.findings] == [
        ("AdaptiveAveragePool", "rewritten")
    ]
    first, *_, last = result.model.graph.node
    assert (first, last) == (nodes[0], nodes[-1])


def test_one_node_in_another_type_is_one_node() -> None:
    nodes = [
        cast("X", FLOAT, "x"),
        helper.make_node("GlobalAveragePool", ["x"], ["y"]),
        cast("y", HALF, "Y"),
    ]
    (finding,) = onnxpool.inspect(model(nodes, HALF, HALF, {})).findings
    assert (finding.tensors, finding.detail) == (("y",), "one GlobalAveragePool already")


def copy(op: str, source: str, result: str) -> onnx.NodeProto:
    if op == "Cast":
        return cast(source, FLOAT, result)
    # As Keras and old exporters write it, with a mask that nobody reads.
    results = [result, f"{result}_mask"] if op == "Dropout" else [result]
    return helper.make_node(op, [source], results)


@pytest.mark.parametrize("op", ["Identity", "Cast", "Dropout"])
def test_copies_between_the_nodes_of_a_generalised_mean(op: str) -> None:
    stored = {"low": np.float32(1e-6), "p": np.float32(3), "q": np.float32(1 / 3)}
    steps = [
        helper.make_node("Max", ["X", "low"], ["a"]),
        helper.make_node("Pow", ["a_c", "p"], ["b"]),
        helper.make_node("ReduceMean", ["b_c"], ["m"], axes=[3], keepdims=0),
        helper.make_node("ReduceMean", ["m_c"], ["n"], axes=[2], keepdims=0),
        helper.make_node("Pow", ["n_c", "q"], ["y"]),
    ]
    nodes = [n for s in steps for n in (s, copy(op, s.output[0], f"{s.output[0]}_c"))]
    nodes[-1].output[0] = "Y"
    result = onnxpool.rewrite(
        model(nodes, FLOAT, FLOAT, {k: np.asarray(v) for k, v in stored.items()})
    )
    assert [(f.op, f.action) for f in result.report.findings] == [("GeMPool", "rewritten")]
    x = np.random.default_rng(0).uniform(-1, 4, (2, 4, 13, 11)).astype(np.float32)
    (found,) = ort.InferenceSession(result.serialize()).run(None, {"X": x})
    wanted = np.mean(np.maximum(x.astype(np.float64), 1e-6) ** 3, axis=(2, 3)) ** (1 / 3)
    # X is read once, so nothing but a copy of the result may be left.
    assert [n.op_type for n in result.model.graph.node].count(op) <= 1
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("op", ["Identity", "Cast", "Dropout"])
@pytest.mark.parametrize("axes", [[1], [3], [2, 3]])
def test_copies_around_one_node_change_nothing(op: str, axes: list[int]) -> None:
    """Whether it is named or not, as it is without them."""
    mean = helper.make_node("ReduceMean", ["x"], ["y"], axes=axes)
    alone = helper.make_node("ReduceMean", ["X"], ["Y"], axes=axes)
    between = model([copy(op, "X", "x"), mean, copy(op, "y", "Y")], FLOAT, FLOAT, {})
    result = onnxpool.rewrite(between)
    wanted = onnxpool.inspect(model([alone], FLOAT, FLOAT, {})).findings
    assert [(f.op, f.detail) for f in result.report.findings] == [(f.op, f.detail) for f in wanted]
    assert result.serialize() == between.SerializeToString()


def test_a_dropout_in_training_is_no_copy() -> None:
    stored = {"ratio": np.array(0.5, np.float32), "train": np.array(True)}
    nodes, bounds = rows("ReduceMean", FLOAT, FLOAT, each=False)
    nodes = [n for n in nodes if n.op_type != "Cast"]
    for node in nodes:
        node.input[:] = ["dropped" if name == "x" else name for name in node.input]
    nodes[-1].output[0] = "Y"
    first = helper.make_node("Dropout", ["X", "ratio", "train"], ["dropped"])
    result = onnxpool.rewrite(model([first, *nodes], FLOAT, FLOAT, {**stored, **bounds}))
    assert result.model.graph.node[0] == first


def quantized(name: str) -> Nodes:
    return [
        helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [f"{name}_d"]),
    ]


QUANTIZED: dict[str, Array] = {"scale": np.array(0.1, np.float32), "zero": np.array(3, np.uint8)}


def test_pooling_between_quantized_tensors_is_found() -> None:
    nodes, stored = rows("ReduceMean", FLOAT, FLOAT, each=False)
    inner = [n for n in nodes if n.op_type != "Cast"]
    for node in inner:
        names = {"x": "X_d", "y": "out"}
        for container in (node.input, node.output):
            container[:] = [names.get(name, name) for name in container]
    last = helper.make_node("Identity", ["out_d"], ["Y"])
    nodes = [*quantized("X"), *inner, *quantized("out"), last]
    result = onnxpool.rewrite(model(nodes, FLOAT, FLOAT, {**stored, **QUANTIZED}), strategy="pool")
    assert [(f.op, f.action) for f in result.report.findings] == [
        ("AdaptiveAveragePool", "rewritten")
    ]


def test_quantization_between_its_nodes_is_the_reason_why_it_is_left() -> None:
    nodes = [
        helper.make_node("Max", ["X", "low"], ["a"]),
        *quantized("a"),
        helper.make_node("Pow", ["a_d", "p"], ["b"]),
        *quantized("b"),
        helper.make_node("GlobalAveragePool", ["b_d"], ["m"]),
        *quantized("m"),
        helper.make_node("Pow", ["m_d", "q"], ["Y"]),
    ]
    values = {"low": np.float32(0.1), "p": np.float32(3), "q": np.float32(1 / 3)}
    stored = {name: np.asarray(value) for name, value in values.items()}
    findings = onnxpool.inspect(model(nodes, FLOAT, FLOAT, {**stored, **QUANTIZED})).findings
    reasons = {f.detail for f in findings}
    assert any("it is quantized between its nodes" in reason for reason in reasons), reasons
