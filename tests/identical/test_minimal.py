"""What is minimal is not touched: one node, or one node beside one that does nothing.

A rewrite whose only effect is to drop an Add, a Slice or a clamp is not made, however equal.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.exports.graph import Graph
from tests.exports.spellings import cut, ints
from tests.identical.unchanged import what_changed

Attributes = dict[str, Any]
Shape = tuple[int | str, ...]

SHAPES: dict[int, tuple[Shape, ...]] = {
    1: ((2, 3, 12), (2, 3, 7), ("N", 3, "L")),
    2: ((2, 3, 12, 6), (2, 3, 7, 9), (1, 1, 4, 4), ("N", 3, "H", "W")),
    3: ((1, 3, 6, 4, 8), ("N", 3, "D", "H", "W")),
}
"""N, C and one to three axes: divisible by the kernels below, not divisible, open."""


def one_node(
    op: str,
    attributes: Attributes,
    shape: Shape,
    opset: int,
    *,
    axes: tuple[int, ...] | None = None,
    dtype: int = TensorProto.FLOAT,
    outputs: int = 1,
) -> onnx.ModelProto:
    """A model of one node that reads X; `axes` are an initializer."""
    inputs, initializers = ["X"], []
    if axes is not None:
        inputs.append("axes")
        initializers.append(onnx.numpy_helper.from_array(np.array(axes, np.int64), "axes"))
    types = [TensorProto.INT64 if op.startswith("Arg") else dtype, TensorProto.INT64]
    names = [f"Y{i}" for i in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(op, inputs, names, "node", **attributes)],
        "main",
        [helper.make_tensor_value_info("X", dtype, shape)],
        [helper.make_tensor_value_info(name, types[i], None) for i, name in enumerate(names)],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def products(**choices: tuple[Any, ...]) -> Iterator[Attributes]:
    """Every combination; None leaves an attribute out."""
    for values in itertools.product(*choices.values()):
        pairs = zip(choices, values, strict=True)
        yield {name: value for name, value in pairs if value is not None}


def windows(rank: int, *, dilations: bool) -> Iterator[Attributes]:
    """Every way to slide a kernel over `rank` axes."""
    kernels: tuple[Any, ...] = ([3, 2, 2][:rank], [2] * rank)
    strides: tuple[Any, ...] = (None, *kernels)
    yield from products(
        kernel_shape=kernels,
        strides=strides,
        pads=(None, [0] * rank + [1] * rank),
        ceil_mode=(None, 1),
        dilations=(None, [2] * rank) if dilations else (None,),
    )
    yield from products(
        kernel_shape=kernels, strides=strides, auto_pad=("VALID", "SAME_UPPER", "SAME_LOWER")
    )


def average_pools(rank: int) -> Iterator[onnx.ModelProto]:
    for opset, shape in itertools.product((17, 22), SHAPES[rank]):
        for attributes in windows(rank, dilations=opset >= 19):
            for counted in (None, 1):
                more = {} if counted is None else {"count_include_pad": counted}
                yield one_node("AveragePool", attributes | more, shape, opset)


def max_pools(rank: int) -> Iterator[onnx.ModelProto]:
    for shape, attributes in itertools.product(SHAPES[rank], windows(rank, dilations=True)):
        yield one_node("MaxPool", attributes, shape, 17)
        for order in (0, 1):
            with_order = attributes | {"storage_order": order}
            yield one_node("MaxPool", with_order, shape, 17, outputs=2)


def whole_planes(op: str) -> Iterator[onnx.ModelProto]:
    return (one_node(op, {}, shape, 17) for shapes in SHAPES.values() for shape in shapes)


def reductions(op: str) -> Iterator[onnx.ModelProto]:
    """Over any of the axes, or none; they are an attribute up to an opset, then an input."""
    dtypes = (TensorProto.FLOAT, TensorProto.INT64) if op == "ReduceMax" else (TensorProto.FLOAT,)
    named_until = 11 if op == "ReduceSum" else 13
    for shape, dtype, keepdims, count in itertools.product(SHAPES[2], dtypes, (0, 1), range(5)):
        for axes in itertools.combinations((0, 1, -2, 3), count):
            attributes: Attributes = {"keepdims": keepdims}
            named = attributes | ({"axes": axes} if axes else {})
            yield one_node(op, named, shape, named_until, dtype=dtype)
            for noop in (0, 1):
                attributes["noop_with_empty_axes"] = noop
                yield one_node(op, attributes, shape, 18, axes=axes, dtype=dtype)


def positions(op: str) -> Iterator[onnx.ModelProto]:
    dtypes = (TensorProto.FLOAT, TensorProto.INT32)
    for shape, dtype in itertools.product((*SHAPES[1], *SHAPES[2]), dtypes):
        for attributes in products(
            axis=(*range(-len(shape), len(shape)), None),
            keepdims=(0, 1),
            select_last_index=(None, 0, 1),
        ):
            yield one_node(op, attributes, shape, 13, dtype=dtype)


NODES: dict[str, Callable[[], Iterator[onnx.ModelProto]]] = {
    **{f"AveragePool-{rank}d": functools.partial(average_pools, rank) for rank in SHAPES},
    **{f"MaxPool-{rank}d": functools.partial(max_pools, rank) for rank in SHAPES},
    **{op: functools.partial(whole_planes, op) for op in ("GlobalAveragePool", "GlobalMaxPool")},
    **{op: functools.partial(reductions, op) for op in ("ReduceMean", "ReduceMax", "ReduceSum")},
    **{op: functools.partial(positions, op) for op in ("ArgMax", "ArgMin")},
}


@pytest.mark.parametrize("models", NODES.values(), ids=NODES)
def test_a_node_alone_is_untouched(
    models: Callable[[], Iterator[onnx.ModelProto]], tmp_path: Path
) -> None:
    tried, changes = 0, {}
    for model in models():
        tried += 1
        if change := what_changed(model, tmp_path):
            changes[onnx.printer.to_text(model)] = change
    assert tried
    assert not changes, f"{len(changes)} of {tried}"


def number(value: float) -> NDArray[np.float32]:
    return np.array(value, np.float32)


def mean(g: Graph, x: str) -> str:
    return g("ReduceMean", x, axes=[2, 3], keepdims=1)


def pool(g: Graph, x: str) -> str:
    return g("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])


def largest(g: Graph, x: str) -> str:
    return g("GlobalMaxPool", x)


IDLE: dict[str, Callable[[Graph, str], str]] = {
    "add zero": lambda g, x: g("Add", x, number(0)),
    "add to zero": lambda g, x: g("Add", number(0), x),
    "subtract zero": lambda g, x: g("Sub", x, number(0)),
    "times one": lambda g, x: g("Mul", x, number(1)),
    "over one": lambda g, x: g("Div", x, number(1)),
    "to the first": lambda g, x: g("Pow", x, number(1)),
    "all of it": lambda g, x: cut(g, x, 2, 0, np.iinfo(np.int64).max),
    "clip without bounds": lambda g, x: g("Clip", x),
    "at least the least": lambda g, x: g("Max", x, number(float(np.finfo(np.float32).min))),
    "at least -inf": lambda g, x: g("Max", x, number(-np.inf)),
    "at most inf": lambda g, x: g("Min", x, number(np.inf)),
    "identity": lambda g, x: g("Identity", x),
    "same type": lambda g, x: g("Cast", x, to=TensorProto.FLOAT),
    "pad by nothing": lambda g, x: g("Pad", x, ints(*[0] * 8)),
}
"""Nodes that change no value and cost next to nothing, for tensors ``(N, C, H, W)``. A Transpose or
a Concat of one part is a copy, which is worth leaving out."""

POOLS = {"mean": mean, "pool": pool, "largest": largest}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("reduce", POOLS.values(), ids=POOLS)
@pytest.mark.parametrize("idle", IDLE.values(), ids=IDLE)
def test_a_node_that_does_nothing_is_no_reason(
    idle: Callable[[Graph, str], str],
    reduce: Callable[[Graph, str], str],
    after: bool,
    tmp_path: Path,
) -> None:
    g = Graph()
    y = idle(g, reduce(g, "X")) if after else reduce(g, idle(g, "X"))
    change = what_changed(g.model((2, 3, 6, 6), y), tmp_path)
    assert change is None
