"""Graphs that do not quite compute the op that they are believed to compute, by families.

Offsets, scales, clamps, crops, masks, weights, orders, ties, exponents, divisors, sizes: each is a
kind of fault that a recogniser may overlook. `believe` puts one that overlooks all of them in the
place of the rules that find pooling.
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

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool, GeMPool, Op
from onnxpool.ops.windows import windows
from onnxpool.pipeline import survey
from onnxpool.rewrites.graph.cut import producers
from onnxpool.rewrites.lift.construct import Construct
from onnxpool.rewrites.lift.needed_repair import Repair
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
    shape: of X.
    build: writes the graph; returns its outputs.
    p: the exponents of a GeMPool.
    repair: where the graph is believed to be wrong as it is.
    """

    op: Op
    shape: Shape
    build: Build
    p: tuple[float, ...] = ()
    dtype: Any = np.float32
    repair: Repair | None = None

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
        found = [Region(x, y, tuple(producers([y], {"X"})), Role(0)) for y in ys]
        regions: tuple[Region | None, ...] = tuple(found)
        if isinstance(fault.op, AdaptiveMaxPool) and ys[0].dtype == np.int64:
            regions = (None, *regions)
        p = (gs.Constant("p", np.array(fault.p, fault.dtype)),) if fault.p else ()
        return [Construct(fault.op, regions, p, repair=fault.repair)], []

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


def per_window(op: str, *, longer: int = 0, order: int = 1) -> Build:
    """The four windows of a `ROW`, longer than they are, or in another order."""

    def build(g: Graph) -> str:
        parts = []
        for start, end in windows(14, 4)[::order]:
            part = g("Slice", "X", [start], [min(end + longer, 14)], [2])
            parts.append(g(op, part, axes=[2], keepdims=1))
        return g("Concat", *parts, axis=2)

    return build


def positions(g: Graph, axes: Sequence[int] = (2, 3)) -> str:
    """The number of positions of a plane, int64."""
    return g("ReduceProd", g("Gather", g("Shape", "X"), list(axes)), keepdims=0)


def total(g: Graph) -> str:
    return g("ReduceSum", "X", [2, 3], keepdims=1)


def divided_by(number: Callable[[Graph, str], str]) -> Build:
    """The sum of a plane by a number that is made of the number of its positions."""

    def build(g: Graph) -> str:
        return g("Div", total(g), g("Cast", number(g, positions(g)), to=TensorProto.FLOAT))

    return build


def crop(op: str, end: int) -> Build:
    return lambda g: g(op, g("Slice", "X", [0], [end], [2]), axes=[2], keepdims=1)


def from_running_sums(g: Graph) -> str:
    """The mean of a `ROW`: the last of its running sums, by 14."""
    return g("Div", g("Slice", g("CumSum", "X", 2), [13], [14], [2]), 14.0)


def index(g: Graph, x: str = "X", **attributes: int) -> str:
    flat = g("Reshape", x, [0, 0, -1])
    found = g("ArgMax", flat, axis=2, keepdims=1, **attributes)
    return g("Reshape", found, [1, 2, 1, 1])


AVERAGE, MAX = AdaptiveAveragePool((1, 1)), AdaptiveMaxPool((1, 1))
AVERAGE_OF_4, MAX_OF_4 = AdaptiveAveragePool((4,)), AdaptiveMaxPool((4,))
AVERAGE_1D, MAX_1D = AdaptiveAveragePool((1,)), AdaptiveMaxPool((1,))
GEM = GeMPool((1, 1), float(np.float32(1e-6)))
MAP: Shape = (1, 2, 8, 8)
CHANNELS: Shape = (1, 8, 8, 8)
LARGE: Shape = (1, 1, 100, 100)
OPEN: Shape = ("N", 2, "H", "W")
ROW: Shape = (1, 2, 14)
SEQUENCE: Shape = (1, 2, "L")
EXPONENTS = np.linspace(2, 4, 8)
ONE_OF_8 = (np.arange(8) == 5).reshape(8, 1, 1)


def after(op: str, of: Callable[[Graph], str], *operands: Any) -> Build:
    return lambda g: g(op, of(g), *operands)


def before(of: Callable[[Graph, str], str], op: str, *operands: Any) -> Build:
    return lambda g: of(g, g(op, "X", *operands))


def around_sum(op: str, operand: float) -> Build:
    """A generalised mean with a node between its sum and its root."""
    return lambda g: gem(g, between=lambda g, m: g(op, m, operand))


def column(values: Any) -> Any:
    """One number per channel."""
    return np.asarray(values).reshape(-1, 1, 1)


def smooth_maximum(g: Graph) -> str:
    scaled = g("ReduceLogSumExp", g("Mul", "X", 100.0), axes=[2, 3], keepdims=1)
    return g("Mul", scaled, 0.01)


def gem_without_a_position(g: Graph) -> str:
    powers = g("Mul", g("Pow", g("Clip", "X", 1e-6), 3.0), weights(32, (777, 0)))
    return g("Pow", g("ReduceSum", powers, [2, 3], keepdims=1), 1 / 3)


def root_mean_square(epsilon: float) -> Build:
    return lambda g: g("Sqrt", g("Add", mean(g, g("Mul", "X", "X")), epsilon))


def divided_in_floats(g: Graph) -> str:
    count = g("Cast", positions(g), to=TensorProto.FLOAT)
    return g("Div", total(g), g("Min", count, 200.0))


def of_float(dtype: Any, op: str, operand: float) -> Fault:
    return Fault(AVERAGE, MAP, after(op, mean, operand), dtype=dtype)


SUMS = {
    "offset 1e-6": Fault(AVERAGE, MAP, after("Add", mean, 1e-6)),
    "offset 1e-30": Fault(AVERAGE, MAP, after("Add", mean, 1e-30)),
    "offset 1e-30 of a large plane": Fault(AVERAGE, LARGE, after("Add", mean, 1e-30)),
    "offset -1e-30 in front": Fault(AVERAGE, MAP, before(mean, "Add", -1e-30)),
    "offset 1e5": Fault(AVERAGE, MAP, after("Add", mean, 1e5)),
    "offset 1e-6 at open sizes": Fault(AVERAGE, OPEN, after("Add", mean, 1e-6)),
    "scale 1 + 2^-18": Fault(AVERAGE, MAP, after("Mul", mean, 1 + 2.0**-18)),
    "scale 1 - 2^-18 in front": Fault(AVERAGE, MAP, before(mean, "Mul", 1 - 2.0**-18)),
    "scale 1 + 2^-18 of 10,000": Fault(AVERAGE, LARGE, after("Mul", mean, 1 + 2.0**-18)),
    "one channel scaled": Fault(AVERAGE, CHANNELS, after("Mul", mean, 1 + ONE_OF_8 * 1e-3)),
    "at most 1000": Fault(AVERAGE, MAP, after("Min", mean, 1000.0)),
    "at least -1e29": Fault(AVERAGE, MAP, after("Max", mean, -1e29)),
    "clamped to 1000 in front": Fault(AVERAGE, MAP, before(mean, "Clip", -1000.0, 1000.0)),
    "no negative values": Fault(AVERAGE, MAP, before(mean, "Relu")),
    "magnitudes": Fault(AVERAGE, MAP, before(mean, "Abs")),
    "without a row": Fault(AVERAGE, MAP, before(mean, "Slice", [1], [8], [2])),
    "without a column of 100": Fault(AVERAGE, LARGE, before(mean, "Slice", [0], [99], [3])),
    "a border of zeros": Fault(AVERAGE, MAP, before(mean, "Pad", [0, 0, 0, 0, 0, 0, 0, 1])),
    "without the first of 10,000": Fault(AVERAGE, LARGE, weighted(weights(100, (0, 0)))),
    "without the last of 10,000": Fault(AVERAGE, LARGE, weighted(weights(100, (9999, 0)))),
    "without one of 10,000": Fault(AVERAGE, LARGE, weighted(weights(100, (4711, 0)))),
    "one twice, the next not": Fault(AVERAGE, LARGE, weighted(weights(100, (77, 2), (78, 0)))),
    "a weight off by 1 %": Fault(AVERAGE, MAP, weighted(weights(8, (19, 1.01)))),
    "one of 10,000 off by 30 %": Fault(AVERAGE, LARGE, weighted(weights(100, (1234, 1.3)))),
    "windows one longer": Fault(AVERAGE_OF_4, ROW, per_window("ReduceMean", longer=1)),
    "windows one shorter": Fault(AVERAGE_OF_4, ROW, per_window("ReduceMean", longer=-1)),
    "windows in reverse": Fault(AVERAGE_OF_4, ROW, per_window("ReduceMean", order=-1)),
    "a maximum": Fault(AVERAGE, MAP, maximum),
    "float16, offset": of_float(np.float16, "Add", 1e-3),
    "float16, scale": of_float(np.float16, "Mul", 1.02),
    "float16, clamp": of_float(np.float16, "Min", 3000.0),
    "float64, offset 1e-200": of_float(np.float64, "Add", 1e-200),
    "float64, scale 1 + 2^-42": of_float(np.float64, "Mul", 1 + 2.0**-42),
}

MAXIMA = {
    "offset 1e-30": Fault(MAX, MAP, after("Add", maximum, 1e-30)),
    "scale by a rounding": Fault(MAX, MAP, after("Mul", maximum, 1 + 2.0**-23)),
    "at least 0": Fault(MAX, MAP, after("Relu", maximum)),
    "at least -1e30": Fault(MAX, MAP, after("Max", maximum, -1e30)),
    "at most 1000": Fault(MAX, MAP, after("Min", maximum, 1000.0)),
    "finite": Fault(MAX, MAP, after("Clip", maximum, -3e38, 3e38)),
    "a border of zeros": Fault(MAX, MAP, before(maximum, "Pad", [0, 0, 0, 0, 0, 0, 0, 1])),
    "without a row": Fault(MAX, MAP, before(maximum, "Slice", [1], [8], [2])),
    "without the first position": Fault(MAX, MAP, before(maximum, "Add", hidden(8, 0))),
    "without the last position": Fault(MAX, MAP, before(maximum, "Add", hidden(8, 63))),
    "without a position": Fault(MAX, (1, 4, 14, 14), before(maximum, "Add", hidden(14, 100))),
    "windows one longer": Fault(MAX_OF_4, ROW, per_window("ReduceMax", longer=1)),
    "windows one shorter": Fault(MAX_OF_4, ROW, per_window("ReduceMax", longer=-1)),
    "windows in reverse": Fault(MAX_OF_4, ROW, per_window("ReduceMax", order=-1)),
    "a minimum": Fault(MAX, MAP, lambda g: g("ReduceMin", "X", axes=[2, 3], keepdims=1)),
    "a mean": Fault(MAX, MAP, mean),
    "a smooth maximum": Fault(MAX, MAP, smooth_maximum),
}

INDICES = {
    "the last of equal maxima": Fault(MAX, MAP, lambda g: index(g, select_last_index=1)),
    "by columns": Fault(MAX, MAP, lambda g: index(g, g("Transpose", "X", perm=[0, 1, 3, 2]))),
    "of the minimum": Fault(MAX, MAP, before(index, "Neg")),
    "of what is at most 1000": Fault(MAX, MAP, before(index, "Min", 1000.0)),
    "of the magnitude": Fault(MAX, MAP, before(index, "Abs")),
}

POWERS = {
    "1e-6 inside of the root": Fault(GEM, MAP, around_sum("Add", 1e-6), (3.0,)),
    "root of at least 1e-12": Fault(GEM, MAP, around_sum("Max", 1e-12), (3.0,)),
    "root of at most 1e6": Fault(GEM, MAP, around_sum("Min", 1e6), (3.0,)),
    "at most 1000 in front": Fault(GEM, MAP, before(gem, "Clip", 1e-6, 1000.0), (3.0,)),
    "at most 1000 behind": Fault(GEM, MAP, after("Min", gem, 1000.0), (3.0,)),
    "a root of 0.3334": Fault(GEM, MAP, lambda g: gem(g, root=0.3334), (3.0,)),
    "3.0005 for 3": Fault(GEM, MAP, lambda g: gem(g, p=3.0005, root=1 / 3.0005), (3.0,)),
    "scale 1.0001": Fault(GEM, MAP, after("Mul", gem, 1.0001), (3.0,)),
    "offset 1e-7": Fault(GEM, MAP, after("Add", gem, 1e-7), (3.0,)),
    "no clamp": Fault(GEM, MAP, lambda g: gem(g, "X"), (3.0,)),
    "a clamp that the op has not": Fault(GeMPool((1, 1)), MAP, gem, (3.0,)),
    "another clamp": Fault(GEM, MAP, before(gem, "Clip", 1e-5), (3.0,)),
    "a magnitude": Fault(GEM, MAP, lambda g: gem(g, g("Add", g("Abs", "X"), 1e-6)), (3.0,)),
    "without a position": Fault(GEM, (1, 1, 32, 32), gem_without_a_position, (3.0,)),
    "one exponent of many": Fault(
        GEM, CHANNELS, lambda g: gem(g, p=3 + ONE_OF_8 / 100, root=1 / (3 + ONE_OF_8 / 100)), (3.0,)
    ),
    "one root of many": Fault(
        GEM,
        CHANNELS,
        lambda g: gem(g, p=column(EXPONENTS), root=1 / (column(EXPONENTS) + ONE_OF_8 / 100)),
        tuple(EXPONENTS),
    ),
    "root mean square with 1e-6": Fault(GeMPool((1, 1)), MAP, root_mean_square(1e-6), (2.0,)),
}

SIZES = {
    "the mean of the first 100": Fault(AVERAGE_1D, SEQUENCE, crop("ReduceMean", 100)),
    "the maximum of the first 100": Fault(MAX_1D, SEQUENCE, crop("ReduceMax", 100)),
    "the maximum of the first 5000": Fault(MAX_1D, SEQUENCE, crop("ReduceMax", 5000)),
    "all but the last": Fault(AVERAGE_1D, SEQUENCE, crop("ReduceMean", -1)),
    "the first 37 columns": Fault(AVERAGE, OPEN, before(mean, "Slice", [0], [37], [3])),
    "by at most 200": Fault(AVERAGE, OPEN, divided_by(lambda g, n: g("Min", n, 200))),
    "by at least 5": Fault(AVERAGE, OPEN, divided_by(lambda g, n: g("Max", n, 5))),
    "by at most 30000": Fault(AVERAGE, OPEN, divided_by(lambda g, n: g("Min", n, 30000))),
    "by 224 at 225": Fault(
        AVERAGE, OPEN, divided_by(lambda g, n: g("Where", g("Equal", n, 225), 224, n))
    ),
    "by 169": Fault(AVERAGE, OPEN, after("Div", total, 169.0)),
    "by at most 200 in floats": Fault(AVERAGE, OPEN, divided_in_floats),
    "by the squared height": Fault(
        AVERAGE, OPEN, divided_by(lambda g, _: g("Mul", positions(g, [2]), positions(g, [2])))
    ),
    "by the batch too": Fault(AVERAGE, OPEN, divided_by(lambda g, _: positions(g, [0, 2, 3]))),
}

MANY = (4, 64, 6, 6)
"""Batch and channels of which a part would be enough, if they were all treated alike."""


def last_slots_scaled(axis: int, first: int) -> Build:
    """A mean; from a slot on, which a part of the slots may not reach, it counts for more."""

    def build(g: Graph) -> str:
        parts = [g("Slice", "X", [0], [first], [axis]), g("Slice", "X", [first], [1 << 40], [axis])]
        return mean(g, g("Concat", parts[0], g("Mul", parts[1], 1.01), axis=axis))

    return build


def scaled_where_many(g: Graph) -> str:
    """A mean that counts for more where X has more than 50 channels."""
    channels = g("Gather", g("Shape", "X"), [1])
    factor = g("Where", g("Greater", channels, [50]), 1.01, 1.0)
    return mean(g, g("Mul", "X", factor))


SLOTS = {
    "the last channels scaled": Fault(AVERAGE, MANY, last_slots_scaled(1, 40)),
    "the last of the batch scaled": Fault(AVERAGE, MANY, last_slots_scaled(0, 3)),
    "one channel scaled": Fault(
        AVERAGE,
        MANY,
        lambda g: mean(g, g("Mul", "X", np.where(np.arange(64) == 41, 1.01, 1)[:, None, None])),
    ),
    "scaled where there are many channels": Fault(AVERAGE, MANY, scaled_where_many),
    "channels in another order": Fault(
        AVERAGE, MANY, lambda g: mean(g, g("Gather", "X", np.arange(64)[::-1], axis=1))
    ),
    "channels mixed with the batch": Fault(
        AVERAGE,
        MANY,
        lambda g: mean(g, g("Reshape", g("Transpose", "X", perm=[1, 0, 2, 3]), [4, 64, 6, 6])),
    ),
}

FAMILIES = {
    "sum": SUMS,
    "maximum": MAXIMA,
    "index": INDICES,
    "power": POWERS,
    "size": SIZES,
    "slot": SLOTS,
}
FAULTS = {
    f"{family}: {name}": fault
    for family, faults in FAMILIES.items()
    for name, fault in faults.items()
}

RIGHT = {
    "a mean of many channels": Fault(AVERAGE, MANY, mean),
    "a mean of many channels, none left out": Fault(
        AVERAGE, MANY, lambda g: mean(g, g("Mul", "X", np.ones((64, 1, 1))))
    ),
    "a mean": Fault(AVERAGE, MAP, mean),
    "a mean of open sizes": Fault(AVERAGE, OPEN, divided_by(lambda g, n: n)),
    "a mean of 10,000": Fault(AVERAGE, LARGE, weighted(weights(100))),
    "a mean in float16": Fault(AVERAGE, MAP, mean, dtype=np.float16),
    "a mean in float64": Fault(AVERAGE, MAP, mean, dtype=np.float64),
    "means": Fault(AVERAGE_OF_4, ROW, per_window("ReduceMean")),
    "a running sum": Fault(AVERAGE_1D, ROW, from_running_sums),
    "a maximum": Fault(MAX, MAP, maximum),
    "a maximum of open sizes": Fault(MAX, OPEN, maximum),
    "maxima": Fault(MAX_OF_4, ROW, per_window("ReduceMax")),
    "indices": Fault(MAX, MAP, index),
    "a generalised mean": Fault(GEM, MAP, gem, (3.0,)),
    "a generalised mean per channel": Fault(
        GEM,
        CHANNELS,
        lambda g: gem(g, p=column(EXPONENTS), root=1 / column(EXPONENTS)),
        tuple(EXPONENTS),
    ),
    "a root mean square": Fault(
        GeMPool((1, 1)), MAP, lambda g: g("Sqrt", mean(g, g("Mul", "X", "X"))), (2.0,)
    ),
}
"""What is believed rightly: the check has nothing to say."""
