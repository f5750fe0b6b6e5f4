"""The check alone: with nothing else between a wrong rewrite and the file, none is written.

In each of FAULTS a graph is believed to compute an op that it does not quite compute. The rules
that find pooling take no part: a `find` that believes it stands in their place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxpool
from onnxpool.errors import CheckError
from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool, GeMPool, Op
from onnxpool.ops.windows import windows
from onnxpool.pipeline import survey
from onnxpool.rewrites.graph.cut import producers
from onnxpool.rewrites.lift.construct import Construct
from onnxpool.rewrites.plan import Plan
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role

Shape = tuple[int | str, ...]


class Graph:
    """A graph of "X" under construction: each call adds a node and returns its first output."""

    def __init__(self, dtype: Any = np.float32) -> None:
        self.dtype = np.dtype(dtype)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, op: str, *inputs: Any, **attributes: Any) -> str:
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, names, [output], output, **attributes))
        return output

    def constant(self, value: Any) -> str:
        array = np.asarray(value)
        if array.dtype.kind == "f":
            array = array.astype(self.dtype)
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def model(self, shape: Shape, *outputs: str) -> onnx.ModelProto:
        float_type = helper.np_dtype_to_tensor_dtype(self.dtype)
        types = [TensorProto.INT64 if self._is_index(name) else float_type for name in outputs]
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "main",
            [info("X", float_type, shape)],
            [info(name, of, None) for name, of in zip(outputs, types, strict=True)],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)

    def _is_index(self, name: str) -> bool:
        (node,) = (node for node in self.nodes if name in node.output)
        return node.op_type == "ArgMax" or (
            node.op_type in ("Reshape", "Add", "Concat", "Mul") and self._is_index(node.input[0])
            if node.input[0] != "X"
            else False
        )


Build = Callable[[Graph], str | Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Fault:
    """Attributes:
    op: what the graph is taken for.
    build: writes the graph; returns its outputs.
    p: the exponents of a GeMPool.
    """

    name: str
    op: Op
    shape: Shape
    build: Build
    p: tuple[float, ...] = ()
    dtype: Any = np.float32

    def model(self) -> tuple[onnx.ModelProto, list[str]]:
        graph = Graph(self.dtype)
        built = self.build(graph)
        outputs = [built] if isinstance(built, str) else list(built)
        return graph.model(self.shape, *outputs), outputs


def believe(monkeypatch: pytest.MonkeyPatch, fault: Fault, outputs: Sequence[str]) -> None:
    """Have `fault.op` found between X and these outputs, and always rewritten."""

    def find(graph: gs.Graph, opset: int, *_: Any, **__: Any) -> tuple[list[Construct], list[Any]]:
        tensors = graph.tensors()
        x = tensors["X"]
        ys = [tensors[name] for name in outputs]
        regions = tuple(Region(x, y, tuple(producers([y], {"X"})), Role(0)) for y in ys)
        if isinstance(fault.op, AdaptiveMaxPool) and ys[0].dtype == np.int64:
            regions = (None, *regions)
        p = (gs.Constant("p", np.array(fault.p, fault.dtype)),) if fault.p else ()
        return [Construct(fault.op, regions, p)], []

    monkeypatch.setattr(survey, "find", find)
    monkeypatch.setattr(survey, "plan", lambda *_, **__: Plan(True, "believed"))


def mean(g: Graph, x: str = "X") -> str:
    return g("ReduceMean", x, axes=[2, 3], keepdims=1)


def maximum(g: Graph, x: str = "X") -> str:
    return g("ReduceMax", x, axes=[2, 3], keepdims=1)


def gem(
    g: Graph,
    x: str | None = None,
    p: Any = 3.0,
    root: Any = 1 / 3,
    between: Callable[[Graph, str], str] = lambda _, m: m,
) -> str:
    x = g("Clip", "X", 1e-6) if x is None else x
    return g("Pow", between(g, mean(g, g("Pow", x, p))), root)


def weighted(weights: Any) -> Build:
    """The sum of a plane with these weights."""
    return lambda g: g("ReduceSum", g("Mul", "X", weights), [2, 3], keepdims=1)


def weights(side: int, *changes: tuple[int, float]) -> Any:
    """Those of a mean; some positions count otherwise, as often as said."""
    counts = np.ones(side * side)
    for position, count in changes:
        counts[position] = count
    return counts.reshape(side, side) / side**2


def hidden(side: int, *positions: int) -> Any:
    mask = np.zeros(side * side, np.float32)
    mask[list(positions)] = -np.inf
    return mask.reshape(side, side)


def per_window(op: str, length: int, bins: int, longer: int = 0, order: int = 1) -> Build:
    """Adaptive windows of the last axis, with more positions than they have, or in another order."""

    def build(g: Graph) -> str:
        parts = []
        for start, end in windows(length, bins)[::order]:
            part = g("Slice", "X", [start], [min(end + longer, length)], [2])
            parts.append(g(op, part, axes=[2], keepdims=1))
        return g("Concat", *parts, axis=2)

    return build


def positions(g: Graph, x: str = "X", axes: Sequence[int] = (2, 3)) -> str:
    """The number of positions of a plane, int64."""
    return g("ReduceProd", g("Gather", g("Shape", x), list(axes)), keepdims=0)


def total(g: Graph) -> str:
    return g("ReduceSum", "X", [2, 3], keepdims=1)


def divided_by(number: Callable[[Graph, str], str]) -> Build:
    """The sum of a plane by a number that is made of the number of its positions."""

    def build(g: Graph) -> str:
        return g("Div", total(g), g("Cast", number(g, positions(g)), to=TensorProto.FLOAT))

    return build


def crop(op: str, end: int, start: int = 0) -> Build:
    return lambda g: g(op, g("Slice", "X", [start], [end], [2]), axes=[2], keepdims=1)


def index(g: Graph, x: str = "X", **attributes: int) -> str:
    flat = g("Reshape", x, [0, 0, -1])
    found = g("ArgMax", flat, axis=2, keepdims=1, **attributes)
    return g("Reshape", found, [1, 2, 1, 1])


AVERAGE, MAX = AdaptiveAveragePool((1, 1)), AdaptiveMaxPool((1, 1))
AVERAGE_1D, MAX_1D = AdaptiveAveragePool((1,)), AdaptiveMaxPool((1,))
GEM = GeMPool((1, 1), float(np.float32(1e-6)))
MAP: Shape = (1, 2, 8, 8)
OPEN: Shape = ("N", 2, "H", "W")
SEQUENCE: Shape = (1, 2, "L")


def after(op: str, of: Callable[[Graph], str], *operands: Any) -> Build:
    return lambda g: g(op, of(g), *operands)


def before(of: Callable[[Graph, str], str], op: str, *operands: Any) -> Build:
    return lambda g: of(g, g(op, "X", *operands))


SUMS = (
    Fault("offset 1e-6", AVERAGE, MAP, after("Add", mean, 1e-6)),
    Fault("offset 1e-30", AVERAGE, MAP, after("Add", mean, 1e-30)),
    Fault("offset 1e-30 of a large plane", AVERAGE, (1, 1, 64, 64), after("Add", mean, 1e-30)),
    Fault("offset -1e-30 in front", AVERAGE, MAP, before(mean, "Add", -1e-30)),
    Fault("offset 1e5, hidden by nothing", AVERAGE, MAP, after("Add", mean, 1e5)),
    Fault("offset 1e-6, open sizes", AVERAGE, OPEN, after("Add", mean, 1e-6)),
    Fault("scale 1 + 2^-18", AVERAGE, MAP, after("Mul", mean, 1 + 2.0**-18)),
    Fault("scale 1 - 2^-18 in front", AVERAGE, MAP, before(mean, "Mul", 1 - 2.0**-18)),
    Fault("scale 1 + 2^-18 of 10,000", AVERAGE, (1, 1, 100, 100), after("Mul", mean, 1 + 2.0**-18)),
    Fault("at most 1000", AVERAGE, MAP, after("Min", mean, 1000.0)),
    Fault("at least -1e30", AVERAGE, MAP, after("Max", mean, -1e29)),
    Fault("clamped to 1000 in front", AVERAGE, MAP, before(mean, "Clip", -1000.0, 1000.0)),
    Fault("no negative values", AVERAGE, MAP, before(mean, "Relu")),
    Fault("magnitudes", AVERAGE, MAP, before(mean, "Abs")),
    Fault("crop of a row", AVERAGE, MAP, before(mean, "Slice", [1], [8], [2])),
    Fault("crop of a column", AVERAGE, (1, 1, 100, 100), before(mean, "Slice", [0], [99], [3])),
    Fault("a border of zeros", AVERAGE, MAP, before(mean, "Pad", [0, 0, 0, 0, 0, 0, 0, 1])),
    *(
        Fault(f"without position {at} of 10,000", AVERAGE, (1, 1, 100, 100), build)
        for at in (0, 9999, 4711, 50)
        for build in [weighted(weights(100, (at, 0)))]
    ),
    Fault(
        "one twice, its neighbour not",
        AVERAGE,
        (1, 1, 100, 100),
        weighted(weights(100, (77, 2), (78, 0))),
    ),
    Fault("one weight off by 1 %", AVERAGE, MAP, weighted(weights(8, (19, 1.01)))),
    Fault(
        "one of 10,000 off by 30 %", AVERAGE, (1, 1, 100, 100), weighted(weights(100, (1234, 1.3)))
    ),
    Fault(
        "one channel scaled",
        AVERAGE,
        (1, 8, 8, 8),
        lambda g: g("Mul", mean(g), np.array([1, 1, 1, 1, 1, 1.001, 1, 1]).reshape(8, 1, 1)),
    ),
    Fault(
        "windows one longer",
        AdaptiveAveragePool((4,)),
        (1, 2, 14),
        per_window("ReduceMean", 14, 4, 1),
    ),
    Fault(
        "windows in reverse",
        AdaptiveAveragePool((4,)),
        (1, 2, 14),
        per_window("ReduceMean", 14, 4, 0, -1),
    ),
    Fault("a maximum", AVERAGE, MAP, maximum),
    Fault("float16, offset", AVERAGE, MAP, after("Add", mean, 1e-3), dtype=np.float16),
    Fault("float16, scale", AVERAGE, MAP, after("Mul", mean, 1.02), dtype=np.float16),
    Fault("float16, clamp", AVERAGE, MAP, after("Min", mean, 3000.0), dtype=np.float16),
    Fault("float64, offset 1e-200", AVERAGE, MAP, after("Add", mean, 1e-200), dtype=np.float64),
    Fault(
        "float64, scale 1 + 2^-42", AVERAGE, MAP, after("Mul", mean, 1 + 2.0**-42), dtype=np.float64
    ),
)

MAXIMA = (
    Fault("offset 1e-30", MAX, MAP, after("Add", maximum, 1e-30)),
    Fault(
        "scale by one rounding",
        MAX,
        MAP,
        after("Mul", maximum, np.float32(1) + np.finfo(np.float32).eps),
    ),
    Fault("at least 0", MAX, MAP, after("Relu", maximum)),
    Fault("at least -1e30", MAX, MAP, after("Max", maximum, -1e30)),
    Fault("at most 1000", MAX, MAP, after("Min", maximum, 1000.0)),
    Fault("finite", MAX, MAP, after("Clip", maximum, -3e38, 3e38)),
    Fault("a border of zeros", MAX, MAP, before(maximum, "Pad", [0, 0, 0, 0, 0, 0, 0, 1])),
    Fault("crop of a row", MAX, MAP, before(maximum, "Slice", [1], [8], [2])),
    *(
        Fault(
            f"without position {at}",
            MAX,
            (1, 4, 14, 14),
            lambda g, at=at: maximum(g, g("Add", "X", hidden(14, at))),
        )
        for at in (0, 195, 100)
    ),
    Fault(
        "windows one longer", AdaptiveMaxPool((4,)), (1, 2, 14), per_window("ReduceMax", 14, 4, 1)
    ),
    Fault(
        "windows one shorter", AdaptiveMaxPool((4,)), (1, 2, 14), per_window("ReduceMax", 14, 4, -1)
    ),
    Fault(
        "windows in reverse",
        AdaptiveMaxPool((4,)),
        (1, 2, 14),
        per_window("ReduceMax", 14, 4, 0, -1),
    ),
    Fault("a minimum", MAX, MAP, lambda g: g("ReduceMin", "X", axes=[2, 3], keepdims=1)),
    Fault("a mean", MAX, MAP, mean),
    Fault(
        "a smooth maximum",
        MAX,
        MAP,
        lambda g: g(
            "Mul", g("ReduceLogSumExp", g("Mul", "X", 100.0), axes=[2, 3], keepdims=1), 0.01
        ),
    ),
)

INDICES = (
    Fault("the last of equal maxima", MAX, MAP, lambda g: index(g, select_last_index=1)),
    Fault("by columns", MAX, MAP, lambda g: index(g, g("Transpose", "X", perm=[0, 1, 3, 2]))),
    Fault("of the minimum", MAX, MAP, lambda g: index(g, g("Neg", "X"))),
    Fault("of what is at most 1000", MAX, MAP, lambda g: index(g, g("Min", "X", 1000.0))),
    Fault("of the magnitude", MAX, MAP, lambda g: index(g, g("Abs", "X"))),
)

POWERS = (
    Fault(
        "epsilon inside of the root",
        GEM,
        MAP,
        lambda g: gem(g, between=lambda g, m: g("Add", m, 1e-6)),
        (3.0,),
    ),
    Fault(
        "root of at least 1e-12",
        GEM,
        MAP,
        lambda g: gem(g, between=lambda g, m: g("Max", m, 1e-12)),
        (3.0,),
    ),
    Fault(
        "root of at most 1e6",
        GEM,
        MAP,
        lambda g: gem(g, between=lambda g, m: g("Min", m, 1e6)),
        (3.0,),
    ),
    Fault(
        "at most 1000 in front", GEM, MAP, lambda g: gem(g, g("Clip", "X", 1e-6, 1000.0)), (3.0,)
    ),
    Fault("at most 1000 behind", GEM, MAP, lambda g: g("Min", gem(g), 1000.0), (3.0,)),
    Fault("a root of 0.3334", GEM, MAP, lambda g: gem(g, root=0.3334), (3.0,)),
    Fault("a power of 3.0005", GEM, MAP, lambda g: gem(g, p=3.0005, root=1 / 3.0005), (3.0,)),
    Fault("scale 1.00001", GEM, MAP, lambda g: g("Mul", gem(g), 1.0001), (3.0,)),
    Fault("offset 1e-7", GEM, MAP, lambda g: g("Add", gem(g), 1e-7), (3.0,)),
    Fault("no clamp", GEM, MAP, lambda g: gem(g, "X"), (3.0,)),
    Fault("a clamp that the op has not", GeMPool((1, 1)), MAP, gem, (3.0,)),
    Fault("another clamp", GEM, MAP, lambda g: gem(g, g("Clip", "X", 1e-5)), (3.0,)),
    Fault("a magnitude", GEM, MAP, lambda g: gem(g, g("Add", g("Abs", "X"), 1e-6)), (3.0,)),
    Fault(
        "without a position",
        GEM,
        (1, 1, 32, 32),
        lambda g: g(
            "Pow",
            g(
                "ReduceSum",
                g("Mul", g("Pow", g("Clip", "X", 1e-6), 3.0), weights(32, (777, 0))),
                [2, 3],
                keepdims=1,
            ),
            1 / 3,
        ),
        (3.0,),
    ),
    Fault(
        "one exponent of many",
        GEM,
        (1, 8, 8, 8),
        lambda g: gem(
            g,
            p=np.array([3, 3, 3, 3, 3, 3.01, 3, 3]).reshape(8, 1, 1),
            root=1 / np.array([3, 3, 3, 3, 3, 3.01, 3, 3]).reshape(8, 1, 1),
        ),
        (3.0,),
    ),
    Fault(
        "learned exponents, one root",
        GEM,
        (1, 8, 8, 8),
        lambda g: gem(
            g,
            p=np.linspace(2, 4, 8).reshape(8, 1, 1),
            root=1 / (np.linspace(2, 4, 8) + 0.01 * (np.arange(8) == 5)).reshape(8, 1, 1),
        ),
        tuple(np.linspace(2, 4, 8)),
    ),
    Fault(
        "root mean square with 1e-6",
        GeMPool((1, 1)),
        MAP,
        lambda g: g("Sqrt", g("Add", mean(g, g("Mul", "X", "X")), 1e-6)),
        (2.0,),
    ),
)

SIZES = (
    Fault("the first 100, mean", AVERAGE_1D, SEQUENCE, crop("ReduceMean", 100)),
    Fault("the first 100, maximum", MAX_1D, SEQUENCE, crop("ReduceMax", 100)),
    Fault("all but the last, mean", AVERAGE_1D, SEQUENCE, crop("ReduceMean", -1)),
    Fault("the first 5000, maximum", MAX_1D, SEQUENCE, crop("ReduceMax", 5000)),
    Fault("the first 37 columns", AVERAGE, OPEN, before(mean, "Slice", [0], [37], [3])),
    Fault("divided by at most 200", AVERAGE, OPEN, divided_by(lambda g, n: g("Min", n, 200))),
    Fault("divided by at least 5", AVERAGE, OPEN, divided_by(lambda g, n: g("Max", n, 5))),
    Fault("divided by at most 30000", AVERAGE, OPEN, divided_by(lambda g, n: g("Min", n, 30000))),
    Fault(
        "divided by another at 225",
        AVERAGE,
        OPEN,
        divided_by(lambda g, n: g("Where", g("Equal", n, 225), 224, n)),
    ),
    Fault("divided by 169", AVERAGE, OPEN, after("Div", total, 169.0)),
    Fault(
        "divided by at most 200 in floats",
        AVERAGE,
        OPEN,
        lambda g: g("Div", total(g), g("Min", g("Cast", positions(g), to=1), 200.0)),
    ),
    Fault(
        "divided by the square of the height",
        AVERAGE,
        OPEN,
        lambda g: g(
            "Div",
            total(g),
            g("Cast", g("Mul", positions(g, axes=[2]), positions(g, axes=[2])), to=1),
        ),
    ),
    Fault(
        "divided by the batch too",
        AVERAGE,
        OPEN,
        lambda g: g("Div", total(g), g("Cast", positions(g, axes=[0, 2, 3]), to=1)),
    ),
)

FAULTS = {
    f"{family}: {fault.name}": fault
    for family, faults in (
        ("sum", SUMS),
        ("maximum", MAXIMA),
        ("index", INDICES),
        ("power", POWERS),
        ("size", SIZES),
    )
    for fault in faults
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_belief_is_not_written(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    fault = FAULTS[name]
    model, outputs = fault.model()
    believe(monkeypatch, fault, outputs)
    with pytest.raises(
        CheckError, match="was taken for .* but it is off: .*; nothing was written"
    ):
        onnxpool.rewrite(model)
