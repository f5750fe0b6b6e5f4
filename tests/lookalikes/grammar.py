"""Look-alikes that nobody thought of: for hypothesis.

Half of them are honest graphs of the families with one edit at random: a constant, an attribute, an
order of inputs, an op on an edge, an output more. The others are chains of ops that pooling is made
of, with constants at random.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from tests.lookalikes.lookalike import Lookalike, lookalike
from tests.lookalikes.pieces import adaptive, bins
from tests.lookalikes.registry import FAMILIES

Draw = Callable[[Any], Any]
_NUMBERS = (
    0.0,
    1e-6,
    1e-12,
    1e-30,
    1e-3,
    0.25,
    0.999,
    1.0,
    1 + 2**-20,
    1.5,
    2.0,
    3.0,
    1e3,
    65504.0,
)
_SIGNED = (*_NUMBERS, *(-n for n in _NUMBERS))


@functools.cache
def _honest() -> tuple[Lookalike, ...]:
    graphs = (graph for family in FAMILIES.values() for graph in family())
    return tuple(g for g in graphs if g.found and g.plain is None)


# Edits ------------------------------------------------------------------------------------------


@st.composite
def edited(draw: Draw) -> Lookalike:
    """An honest graph with one edit."""
    graph = draw(st.sampled_from(_honest()))
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    edit = draw(st.sampled_from((_constant, _attribute, _inserted, _swapped, _output)))
    what = edit(draw, model)
    return Lookalike(f"{graph.name}, {what}", model)


def _constant(draw: Draw, model: onnx.ModelProto) -> str:
    if not model.graph.initializer:
        return _inserted(draw, model)
    tensor = draw(st.sampled_from(list(model.graph.initializer)))
    values = numpy_helper.to_array(tensor).copy()
    flat = values.reshape(-1)
    if not flat.size:
        return "nothing"
    place = draw(st.integers(0, flat.size - 1))
    if values.dtype.kind == "i":
        flat[place] += draw(st.sampled_from((-2, -1, 1, 2, 100)))
    elif values.dtype.kind == "f":
        factor = draw(st.sampled_from((0.0, -1.0, 0.5, 0.999, 1 + 2**-16, 1.01, 2.0)))
        step = draw(st.sampled_from((0.0, 0.0, 1e-6, 1e-30)))
        flat[place] = flat[place] * factor + step
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return f"{tensor.name}[{place}] = {flat[place]}"


def _attribute(draw: Draw, model: onnx.ModelProto) -> str:
    found = [
        (node, a)
        for node in model.graph.node
        for a in node.attribute
        if a.type in (onnx.AttributeProto.INT, onnx.AttributeProto.INTS)
    ]
    if not found:
        return _inserted(draw, model)
    node, attribute = draw(st.sampled_from(found))
    step = draw(st.sampled_from((-1, 1)))
    if attribute.type == onnx.AttributeProto.INT:
        attribute.i += step
    elif attribute.ints:
        attribute.ints[draw(st.integers(0, len(attribute.ints) - 1))] += step
    return f"{attribute.name} of {node.output[0]}"


def _inserted(draw: Draw, model: onnx.ModelProto) -> str:
    """An op of one element on what a node reads."""
    position = draw(st.integers(0, len(model.graph.node) - 1))
    node = model.graph.node[position]
    dtype = model.graph.input[0].type.tensor_type.elem_type
    op = draw(
        st.sampled_from(("Add", "Sub", "Mul", "Div", "Max", "Min", "Clip", "Relu", "Abs", "Neg"))
    )
    inputs = [node.input[0]]
    if op not in ("Relu", "Abs", "Neg"):
        number = draw(st.sampled_from(_SIGNED))
        value = np.array(number, helper.tensor_dtype_to_np_dtype(dtype))
        model.graph.initializer.append(numpy_helper.from_array(value, "edit_c"))
        inputs.append("edit_c")
    made = helper.make_node(op, inputs, ["edit_y"])
    node.input[0] = "edit_y"
    model.graph.node.insert(position, made)
    return f"{op} before {node.output[0]}"


def _swapped(draw: Draw, model: onnx.ModelProto) -> str:
    nodes = [n for n in model.graph.node if len(n.input) > 1 and n.op_type in ("Concat", "Slice")]
    if not nodes:
        return _inserted(draw, model)
    node = draw(st.sampled_from(nodes))
    i = draw(st.integers(0, len(node.input) - 1))
    j = draw(st.integers(0, len(node.input) - 1))
    if node.op_type == "Slice":
        other = draw(st.sampled_from(nodes))
        k = draw(st.sampled_from((1, 2)))
        if len(other.input) > k and other.op_type == "Slice":
            node.input[k] = other.input[k]
    else:
        node.input[i], node.input[j] = node.input[j], node.input[i]
    return f"inputs of {node.output[0]}"


def _output(draw: Draw, model: onnx.ModelProto) -> str:
    outputs = {v.name for v in model.graph.output}
    names = [n for node in model.graph.node for n in node.output if n and n not in outputs]
    if not names:
        return _inserted(draw, model)
    name = draw(st.sampled_from(names))
    inferred = onnx.shape_inference.infer_shapes(model)
    value = next((v for v in inferred.graph.value_info if v.name == name), None)
    if value is None:
        return "nothing"
    model.graph.output.append(value)
    return f"{name} as an output"


# Chains -----------------------------------------------------------------------------------------


class _Chain:
    """Nodes in a row; `dims` is the shape of the last tensor, None where it is not followed."""

    def __init__(self, draw: Draw, dims: list[int]) -> None:
        self.draw, self.dims, self.x = draw, dims, "X"
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}

    def number(self) -> float:
        return float(self.draw(st.sampled_from(_SIGNED)))

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def add(self, text: str) -> None:
        y = f"t{len(self.lines)}_"
        self.lines.append(text.format(y=y, x=self.x))
        self.x = y

    def axis(self) -> int:
        return int(self.draw(st.integers(min(1, len(self.dims) - 1), len(self.dims) - 1)))


def _elementwise(chain: _Chain) -> None:
    op = chain.draw(st.sampled_from(("Add", "Mul", "Sub", "Div", "Max", "Min")))
    chain.add(f"{{y}} = {op}({{x}}, {chain.constant(chain.number())})")


def _clamped(chain: _Chain) -> None:
    low, high = sorted((chain.number(), chain.number()))
    text = chain.draw(st.sampled_from(("{x}, {lo}, {hi}", "{x}, {lo}", "{x}, , {hi}")))
    names = {"lo": chain.constant(low), "hi": chain.constant(high)}
    chain.add("{y} = Clip(" + text.replace("{lo}", names["lo"]).replace("{hi}", names["hi"]) + ")")


def _power(chain: _Chain) -> None:
    p = chain.draw(st.sampled_from((2.0, 3.0, 0.5, 2.5, 1 / 3, 0.4)))
    chain.add("{y} = Abs({x})")
    chain.add(f"{{y}} = Pow({{x}}, {chain.constant(p)})")


def _masked(chain: _Chain) -> None:
    mask = chain.draw(st.lists(st.booleans(), min_size=chain.dims[-1], max_size=chain.dims[-1]))
    if chain.draw(st.booleans()):
        zero = chain.constant(0.0)
        chain.add(f"{{y}} = Where({chain.constant(np.array(mask))}, {{x}}, {zero})")
    else:
        chain.add(f"{{y}} = Mul({{x}}, {chain.constant(np.array(mask, np.float32))})")


def _cropped(chain: _Chain) -> None:
    axis = chain.axis()
    length = chain.dims[axis]
    start = chain.draw(st.integers(0, length - 1))
    end = chain.draw(st.integers(start + 1, length))
    step = chain.draw(st.sampled_from((1, 1, 2)))
    s, e, a, d = (chain.constant([v]) for v in (start, end, axis, step))
    chain.add(f"{{y}} = Slice({{x}}, {s}, {e}, {a}, {d})")
    chain.dims[axis] = len(range(start, end, step))


def _windows(chain: _Chain) -> None:
    """Adaptive bins, or such with one bound moved."""
    axis = chain.axis()
    length = chain.dims[axis]
    count = chain.draw(st.integers(1, min(length, 5)))
    spans = adaptive(length, count)
    if chain.draw(st.booleans()):
        i = chain.draw(st.integers(0, count - 1))
        start = chain.draw(st.integers(0, spans[i][1] - 1))
        spans[i] = (start, chain.draw(st.integers(start + 1, length)))
    op = chain.draw(st.sampled_from(("ReduceMean", "ReduceMax")))
    name = f"b{len(chain.lines)}"
    text, constants = bins(spans, axis, op, chain.x, name)
    chain.lines += text.splitlines()
    chain.constants |= constants
    chain.x, chain.dims[axis] = name, count


def _reduced(chain: _Chain) -> None:
    axes = sorted({chain.axis(), chain.axis()})
    op = chain.draw(st.sampled_from(("ReduceMean", "ReduceMax", "ReduceSum", "ReduceL2")))
    if op == "ReduceSum":
        chain.add(f"{{y}} = ReduceSum({{x}}, {chain.constant(axes)})")
        n = math.prod(chain.dims[a] for a in axes) + chain.draw(
            st.sampled_from((0, 0, 0, 1, -0.001))
        )
        chain.add(f"{{y}} = Div({{x}}, {chain.constant(float(n))})")
    else:
        chain.add(f"{{y}} = {op}<axes={axes}>({{x}})")
    for axis in axes:
        chain.dims[axis] = 1


def _pooled(chain: _Chain) -> None:
    spatial = len(chain.dims) - 2
    if spatial < 1:
        return
    kernel = [chain.draw(st.integers(1, d)) for d in chain.dims[2:]]
    strides = [chain.draw(st.integers(1, k)) for k in kernel]
    op = chain.draw(st.sampled_from(("AveragePool", "MaxPool")))
    ceil = chain.draw(st.sampled_from((0, 0, 1)))
    chain.add(f"{{y}} = {op}<kernel_shape={kernel}, strides={strides}, ceil_mode={ceil}>({{x}})")
    for i, (k, s) in enumerate(zip(kernel, strides, strict=True), 2):
        left = chain.dims[i] - k
        chain.dims[i] = (-(-left // s) if ceil else left // s) + 1
        if ceil and (chain.dims[i] - 1) * s >= left + k:
            chain.dims[i] -= 1


def _transposed(chain: _Chain) -> None:
    perm = chain.draw(st.permutations(range(len(chain.dims))))
    chain.add(f"{{y}} = Transpose<perm={list(perm)}>({{x}})")
    chain.dims = [chain.dims[i] for i in perm]


def _reshaped(chain: _Chain) -> None:
    """One axis as two, a mean of one of them."""
    axis = chain.axis()
    divisors = [d for d in range(2, chain.dims[axis]) if chain.dims[axis] % d == 0]
    if not divisors:
        return
    d = chain.draw(st.sampled_from(divisors))
    shape = [*chain.dims[:axis], chain.dims[axis] // d, d, *chain.dims[axis + 1 :]]
    chain.add(f"{{y}} = Reshape({{x}}, {chain.constant(shape)})")
    kept = chain.draw(st.sampled_from((axis, axis + 1)))
    op = chain.draw(st.sampled_from(("ReduceMean", "ReduceMax")))
    chain.add(f"{{y}} = {op}<axes=[{kept}], keepdims=0>({{x}})")
    chain.dims = [n for i, n in enumerate(shape) if i != kept]


_STEPS = (
    *(_elementwise, _clamped, _power, _masked, _cropped, _windows, _reduced, _pooled),
    *(_transposed, _reshaped),
)


@st.composite
def chains(draw: Draw) -> Lookalike:
    """Two to five steps from an X of rank 3 or 4."""
    dims = draw(st.sampled_from(((1, 2, 7), (2, 3, 12), (1, 2, 6, 8), (2, 2, 5, 4))))
    chain = _Chain(draw, list(dims))
    for step in draw(st.lists(st.sampled_from(_STEPS), min_size=2, max_size=5)):
        step(chain)
    chain.lines.append(f"Y = Identity({chain.x})")
    return lookalike("; ".join(chain.lines), "\n".join(chain.lines), dims, **chain.constants)


def graphs() -> Any:
    return st.one_of(edited(), chains())
