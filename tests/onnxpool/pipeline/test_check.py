"""The check by itself: with nothing else between a wrong rewrite and the file, none is written."""

from __future__ import annotations

import contextlib
import dataclasses
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import TensorProto, helper

import onnxpool
from onnxpool.errors import CheckError
from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool
from onnxpool.pipeline.node_check import NodeProbe
from onnxpool.rewrites import lower
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.replace import replace
from onnxpool.rewrites.legalize.computed_resize import COMPUTED_RESIZE
from onnxpool.rewrites.lift import adaptive_average_pool, adaptive_max_pool, gem_pool
from onnxpool.rewrites.lift.needed_repair import Repair
from tests.lookalikes.lookalike import lookalike
from tests.lookalikes.pieces import adaptive, volume_bins
from tests.onnxpool.pipeline.beliefs import (
    FAULTS,
    RIGHT,
    Graph,
    believe,
)


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_belief_is_not_written(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    model, outputs = FAULTS[name].model()
    believe(monkeypatch, FAULTS[name], outputs)
    with pytest.raises(
        CheckError, match=r"was taken for .* but it is off: .*; nothing was written"
    ):
        onnxpool.rewrite(model)


@pytest.mark.parametrize("strategy", lower.STRATEGIES)
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_belief_is_written(
    monkeypatch: pytest.MonkeyPatch, name: str, strategy: str
) -> None:
    model, outputs = RIGHT[name].model()
    believe(monkeypatch, RIGHT[name], outputs)
    (finding,) = onnxpool.rewrite(model, strategy=strategy).report.findings
    assert finding.action == "rewritten"
    assert finding.error_before is not None
    assert finding.error_before < 1e-3
    assert finding.error_after is not None
    assert finding.error_after < 1e-3


PROOFS = ("average_differs", "indices_differ", "maximum_differs", "misplaced")
READ_AS_THEY_ARE = ("power: 3.0005 for 3", "power: one exponent of many")
"""The rules read the exponent from the graph, and so find what it computes."""


@pytest.fixture
def gullible(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules as they are, but for what they hold against a region."""
    switched_off = 0
    for rule in (adaptive_average_pool, adaptive_max_pool, gem_pool):
        for proof in PROOFS:
            switched_off += hasattr(rule, proof)
            monkeypatch.setattr(rule, proof, lambda *_, **__: None, raising=False)
    assert switched_off


@pytest.mark.usefixtures("gullible")
@pytest.mark.parametrize("name", [name for name in FAULTS if name not in READ_AS_THEY_ARE])
def test_without_a_proof_nothing_wrong_is_rewritten(name: str) -> None:
    """What is not left as it is, the check refuses."""
    model, _ = FAULTS[name].model()
    with contextlib.suppress(CheckError):
        assert onnxpool.rewrite(model).model.SerializeToString() == model.SerializeToString()


@pytest.mark.usefixtures("gullible")
def test_without_a_proof_nothing_wrong_is_written(tmp_path: Path) -> None:
    for name in ("sum: without one of 10,000", "index: by columns", "power: without a position"):
        model, _ = FAULTS[name].model()
        with pytest.raises(CheckError, match="was taken for"):
            onnxpool.rewrite(model).save(tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())


WRONG_FORMS = {
    "offset": (("Add", 1e-6),),
    "offset 1e-30": (("Add", 1e-30),),
    "scale": (("Mul", 1 + 2.0**-18),),
    "at most 1000": (("Min", 1000.0),),
    "at least 0": (("Max", 0.0),),
}


@pytest.mark.parametrize("op", [AdaptiveAveragePool((5, 3)), AdaptiveMaxPool((5, 3))], ids=str)
@pytest.mark.parametrize("form", WRONG_FORMS)
@pytest.mark.parametrize("shape", [(1, 2, 13, 7), ("N", 2, "H", "W")], ids=str)
def test_a_wrong_form_is_not_written(
    monkeypatch: pytest.MonkeyPatch, op: Any, form: str, shape: tuple[int | str, ...]
) -> None:
    """What stands in the place of a region is held to the definition as the region itself is."""
    right = lower.lower

    def wrong(graph: gs.Graph, node: gs.Node, opset: int, strategy: str) -> str:
        (y,) = node.outputs
        used = right(graph, node, opset, strategy)
        (end,) = y.inputs
        for number, (kind, operand) in enumerate(WRONG_FORMS[form]):
            inner = gs.Variable(f"inner{number}", y.dtype, y.shape)
            end.outputs[end.outputs.index(y)] = inner
            constant = gs.Constant(f"operand{number}", np.array(operand, np.float32))
            graph.nodes.append(gs.Node(kind, f"wrong{number}", {}, [inner, constant], [y]))
        graph.toposort()
        return used

    model = dialect_model(op, shape)
    onnxpool.rewrite(model)
    monkeypatch.setattr("onnxpool.pipeline.survey.lower.lower", wrong)
    with pytest.raises(CheckError, match=r"^the rewritten region of tensor 'Y' is off: "):
        onnxpool.rewrite(model)


def dialect_model(op: Any, shape: tuple[int | str, ...]) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    node = helper.make_node(op.op_type(), ["X"], ["Y"], domain="onnxpool", **op.attributes())
    graph = helper.make_graph(
        [node],
        "main",
        [info("X", TensorProto.FLOAT, shape)],
        [info("Y", TensorProto.FLOAT, [*shape[:2], *op.output_size])],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("onnxpool", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def test_a_repair_is_held_to_the_definition_and_to_the_sizes_that_are_said_to_be_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault = FAULTS["size: the mean of the first 100"]
    model, outputs = fault.model()

    def repaired(right: tuple[tuple[int, ...], ...]) -> onnxpool.Result:
        repair = Repair(right, wrong=((300,),))
        with monkeypatch.context() as patch:
            believe(patch, dataclasses.replace(fault, repair=repair), outputs)
            return onnxpool.rewrite(model)

    (finding,) = repaired(((7,), (100,))).report.findings
    assert finding.error_before is None
    assert finding.error_after is not None
    with pytest.raises(CheckError, match=r"at 1x2x101, "):
        repaired(((7,), (101,)))


def test_the_reported_errors_are_those_of_ordinary_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the greatest output, 1e30 among the inputs or not."""
    fault = RIGHT["a mean of 10,000"]
    model, outputs = fault.model()
    believe(monkeypatch, fault, outputs)
    (finding,) = onnxpool.rewrite(model).report.findings
    assert finding.error_before is not None
    assert 0 < finding.error_before < 1e-4


def node_model(op: str, *operands: Any, **attributes: Any) -> gs.Graph:
    graph = Graph()
    return gs.import_onnx(graph.model((2, 3, 6, 6), graph(op, "X", *operands, **attributes)))


def number(value: float) -> gs.Constant:
    return gs.Constant(f"number {value}", np.array(value, np.float32))


REPLACED: dict[str, tuple[str, dict[str, Any], Callable[[Builder, gs.Tensor], gs.Tensor]]] = {
    "a sum, offset": (
        "ReduceMean",
        {"axes": [2]},
        lambda b, y: b.elementwise("Add", y, number(1e-30)),
    ),
    "a sum, scale": (
        "ReduceMean",
        {"axes": [2]},
        lambda b, y: b.elementwise("Mul", y, number(1 + 2.0**-18)),
    ),
    "a pool, clamp": (
        "GlobalAveragePool",
        {},
        lambda b, y: b.elementwise("Min", y, number(1000.0)),
    ),
    "a maximum, from 0": ("GlobalMaxPool", {}, lambda b, y: b.elementwise("Max", y, number(0.0))),
    "a maximum, rounded": (
        "ReduceMax",
        {"axes": [2]},
        lambda b, y: b.elementwise("Mul", y, number(1 + 2.0**-23)),
    ),
    "an activation, offset": ("Sigmoid", {}, lambda b, y: b.elementwise("Add", y, number(1e-5))),
    "a norm, scale": ("GlobalLpPool", {}, lambda b, y: b.elementwise("Mul", y, number(1.001))),
    "a square, clamp": ("Identity", {}, lambda b, y: b.elementwise("Max", y, number(-1e25))),
}


@pytest.mark.parametrize("name", REPLACED)
def test_a_node_that_is_not_the_same_is_not_written(name: str) -> None:
    op, attributes, change = REPLACED[name]
    graph = node_model(op, **attributes)
    (node,) = graph.nodes
    kept = [graph.nodes[0].inputs[0]]
    probe = NodeProbe(node, kept, 17)
    replace(graph, node, 17, again)
    assert probe.compare(graph, 17) == 0
    node = next(n for n in graph.nodes if n.op == op)
    probe = NodeProbe(node, kept, 17)
    replace(graph, node, 17, lambda b, n: [change(b, *again(b, n))])
    with pytest.raises(CheckError, match="which no rounding explains"):
        probe.compare(graph, 17)


@pytest.mark.parametrize("channels", [2, 4])
def test_a_vector_of_sizes_says_what_the_graph_declares(channels: int) -> None:
    """Resize runs with other numbers of channels too, but of Y they are known."""
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, [1, channels, 2, 3])
    sizes = helper.make_tensor_value_info("sizes", TensorProto.INT64, [4])
    y = helper.make_tensor_value_info("Y", TensorProto.FLOAT, [1, channels, "H", "W"])
    node = helper.make_node("Resize", ["X", "", "", "sizes"], ["Y"], mode="linear")
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(helper.make_graph([node], "", [x, sizes], [y]), opset_imports=opsets)
    graph = gs.import_onnx(model)
    probe = NodeProbe(graph.nodes[0], graph.inputs, 18)
    replace(graph, graph.nodes[0], 18, COMPUTED_RESIZE.emit)
    error = probe.compare(graph, 18)
    assert error is not None
    assert error < 1e-5


@pytest.mark.parametrize(
    ("dims", "axes"), [(("N", 33, 33, 64), (1, 2)), (("N", 8, 256, 256), (2, 3))]
)
def test_an_open_batch_is_as_large_as_its_planes_leave_room_for(
    dims: tuple[int | str, ...], axes: tuple[int, int]
) -> None:
    lengths = [int(dims[axis]) for axis in axes]
    text, constants = volume_bins([adaptive(length, 3) for length in lengths], axes)
    model = lookalike("", text, dims, **constants).model
    tracemalloc.start()
    try:
        (finding,) = onnxpool.rewrite(model).report.findings
        assert tracemalloc.get_traced_memory()[1] < 512 << 20
    finally:
        tracemalloc.stop()
    assert finding.action == "rewritten"


def _sliced(length: int, end: int) -> gs.Graph:
    """The elements from 5 to `end` of so many."""
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, [1, length])
    y = helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)
    bounds = {"starts": 5, "ends": end, "axes": 1}
    constants = [onnx.numpy_helper.from_array(np.array([v]), n) for n, v in bounds.items()]
    node = helper.make_node("Slice", ["X", *bounds], ["Y"])
    graph = helper.make_graph([node], "", [x], [y], constants)
    opsets = [helper.make_opsetid("", 17)]
    imported = gs.import_onnx(helper.make_model(graph, opset_imports=opsets, ir_version=8))
    imported.outputs[0].dtype = np.float32
    return imported


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax"])
def test_a_node_over_long_axes_is_run_on_a_part_of_them(op: str) -> None:
    x = helper.make_tensor_value_info("X", TensorProto.FLOAT, [100_000, 4, 6, 40])
    y = helper.make_tensor_value_info("Y", TensorProto.FLOAT, [100_000, 4, 1, 40])
    node = helper.make_node("ReduceMean", ["X"], ["Y"], axes=[2])
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(helper.make_graph([node], "", [x], [y]), opset_imports=opsets)
    graph = gs.import_onnx(model)
    probe = NodeProbe(graph.nodes[0], graph.inputs, 17)
    replace(graph, graph.nodes[0], 17, lambda b, n: b.outputs(op, n.inputs, n.outputs, axes=[2]))
    tracemalloc.start()
    try:
        if op == "ReduceMean":
            assert probe.compare(graph, 17) == 0
        else:
            with pytest.raises(CheckError, match="which no rounding explains"):
                probe.compare(graph, 17)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_what_names_a_position_far_along_an_axis_is_not_cropped_before_it() -> None:
    graph, other = _sliced(3_000_000, 2_000_000), _sliced(3_000_000, 2_500_000)
    probe = NodeProbe(graph.nodes[0], graph.inputs, 17)
    with pytest.raises(CheckError, match=r"gives .* instead of"):
        probe.compare(other, 17)


def test_what_is_large_and_runs_on_no_part_is_not_run() -> None:
    graph = _sliced(8_000_000, 5_000_000)
    assert NodeProbe(graph.nodes[0], graph.inputs, 17).compare(graph, 17) is None


def again(b: Builder, node: gs.Node) -> list[gs.Tensor]:
    return list(b.outputs(node.op, node.inputs, node.outputs, **node.attrs))
