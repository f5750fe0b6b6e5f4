"""Emit standard ONNX nodes into a graph, in the form that the model's opset wants."""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import DTypeLike, NDArray

from onnxpool.ops.op import Array, Dim, Shape, is_confirmed
from onnxpool.rewrites.graph.tensors import onnx_type
from onnxpool.rewrites.graph.unread import output_names, remove_unread, used_outputs

SHARED = "onnxpool/"
"""Constants carry names that say their content, so equal ones are one initializer of a graph."""

AXES_ARE_AN_INPUT = {
    "ReduceL1": 18,
    "ReduceL2": 18,
    "ReduceLogSum": 18,
    "ReduceLogSumExp": 18,
    "ReduceMax": 18,
    "ReduceMean": 18,
    "ReduceMin": 18,
    "ReduceProd": 18,
    "ReduceSum": 13,
    "ReduceSumSquare": 18,
    "Squeeze": 13,
    "Unsqueeze": 13,
}
"""The opset from which the axes of an op are an input; an attribute before."""


class Builder:
    """Collects the nodes that replace one node of `graph`.

    Every method adds a node and returns its output, a Variable with its dtype and its shape, as
    far as they are known. Axes are counted from the front.
    """

    def __init__(self, graph: gs.Graph, node: gs.Node, opset: int) -> None:
        self.opset = opset
        self._graph = graph
        self._node = node
        self._nodes: list[gs.Node] = []
        self._shared: list[gs.Node] = []
        self._tensors: dict[str, gs.Tensor] = graph.tensors()
        self._names = set(self._tensors) | {n.name for n in graph.nodes}
        self._prefix = node.name or node.outputs[0].name

    def node(
        self,
        op: str,
        inputs: Sequence[gs.Tensor],
        shape: Shape | None,
        dtype: Any = None,
        **attributes: Any,
    ) -> gs.Variable:
        """Add a node; its output has the dtype of the first input unless `dtype` is given."""
        node = self._new(op, inputs, shape, dtype, attributes)
        self._nodes.append(node)
        return node.outputs[0]

    def outputs(
        self, op: str, inputs: Sequence[gs.Tensor], like: Sequence[gs.Tensor], **attributes: Any
    ) -> list[gs.Variable]:
        """Add a node with an output per tensor of `like`, of its dtype and shape."""
        inputs = _without_trailing_empty(inputs)
        first = next(t for t in like if t.name)
        node = self._new(op, inputs, first.shape, first.dtype, attributes)
        node.outputs = [
            gs.Variable(self._unique(f"{node.name}_{i}"), t.dtype, t.shape)
            if t.name
            else gs.Variable.empty()
            for i, t in enumerate(like)
        ]
        self._nodes.append(node)
        return list(node.outputs)

    def shared(
        self,
        op: str,
        inputs: Sequence[gs.Tensor],
        shape: Shape | None,
        dtype: Any = None,
        **attributes: Any,
    ) -> gs.Variable:
        """As `node`, or the output of an equal node of the graph that comes early enough.

        A new one stands right behind what it reads, so that further nodes of the graph share it.
        """
        for consumer in inputs[0].outputs:
            if _is_equal(consumer, op, inputs, attributes) and self._comes_before(consumer):
                return consumer.outputs[0]
        node = self._new(op, inputs, shape, dtype, attributes)
        self._shared.append(node)
        return node.outputs[0]

    def length(self, axis: int) -> gs.Tensor:
        """The size of an axis of the X of the node: an int64 scalar, constant where it is known.

        A size of a confirmed name is read from the first tensor of the graph that has it too.
        """
        return self._length(axis, self.integer)

    def length_vector(self, axis: int) -> gs.Tensor:
        """As `length`, a vector of one element. TVM multiplies no vector by an element of Shape."""
        return self._length(axis, lambda value: self.integers([value]))

    def output_length(self, index: int) -> gs.Tensor:
        """Element `index` of the input `size` of the node: an int64 scalar."""
        return self.element(self._node.inputs[1], index)

    def element(self, vector: gs.Tensor, index: int) -> gs.Variable:
        return self.shared("Gather", [vector, self.integer(index)], (), axis=0)

    def element_vector(self, vector: gs.Tensor, index: int) -> gs.Variable:
        """As `element`, a vector of one element, for the reason of `length_vector`."""
        return self.shared("Gather", [vector, self.integers([index])], (1,), axis=0)

    def range(self, end: gs.Tensor) -> gs.Tensor:
        """0, …, end - 1 as an int64 vector."""
        if isinstance(end, gs.Constant):
            return self.constant(f"range_{end.values}", np.arange(end.values, dtype=np.int64))
        return self.shared("Range", [self.integer(0), end, self.integer(1)], (None,))

    def replace(self, results: Sequence[gs.Tensor]) -> list[gs.Node]:
        """Put the collected nodes where the node stood; `results` become its outputs.

        Where only some of the outputs are read, what the others alone need is left out.

        Returns:
            The new nodes.
        """
        outputs, used = list(self._node.outputs), self._used
        self._node.inputs.clear()
        self._node.outputs.clear()
        # A trailing output that nobody wants may have no result.
        pairs = [pair for pair in zip(outputs, results, strict=False) if id(pair[0]) in used]
        for count, (output, result) in enumerate(pairs):
            again = [o for o, r in pairs[:count] if r is result]
            if again or not _is_output_of(result, self._nodes):
                result = self.node("Identity", [*again, result][:1], result.shape)
            _substitute(result, output)
        nodes = list(self._with_shared())
        index = next(i for i, node in enumerate(nodes) if node is self._node)
        nodes[index : index + 1] = self._nodes
        self._graph.nodes[:] = nodes
        new = [*self._shared, *self._nodes]
        ends = {id(node) for node in new for tensor in node.outputs if id(tensor) in used}
        remove_unread(self._graph, [node for node in new if id(node) not in ends])
        return [node for node in new if node.outputs]

    def wanted_outputs(self) -> int:
        """How many outputs of the node are to be computed: up to the last one that is read."""
        return 1 + max(i for i, y in enumerate(self._node.outputs) if id(y) in self._used)

    def repeats(self, node: gs.Node) -> bool:
        """Whether what was collected is one node that says what `node` says."""
        if len(self._nodes) != 1 or self._shared:
            return False
        (new,) = self._nodes
        return _is_equal(node, new.op, new.inputs, dict(new.attrs))

    def discard(self) -> None:
        """Leave the graph as it was: the collected nodes let go of its tensors."""
        for node in (*self._nodes, *self._shared):
            node.inputs.clear()
            node.outputs.clear()

    def constant(self, name: str, values: Array) -> gs.Constant:
        """A new constant, or the one of the graph that has this name and these values."""
        name = f"{SHARED}{name}_{values.dtype}"
        known = self._tensors.get(name)
        if isinstance(known, gs.Constant) and _same(known.values, values):
            return known
        constant = gs.Constant(self._unique(name), values)
        self._tensors[name] = constant
        return constant

    def scalar(self, value: float, dtype: DTypeLike) -> gs.Constant:
        return self.constant(f"{value:g}", np.asarray(value, dtype))

    def integer(self, value: int) -> gs.Constant:
        """An int64 scalar."""
        return self.constant(f"scalar_{value}", np.asarray(value, np.int64))

    def integers(self, values: Sequence[int]) -> gs.Constant:
        """An int64 vector."""
        return self.constant("_".join(map(str, values)), np.asarray(values, np.int64))

    def cast(self, x: gs.Tensor, dtype: Any) -> gs.Tensor:
        """`x` itself where it has that type."""
        to = onnx_type(dtype)
        if onnx_type(x.dtype) == to:
            return x
        return self.node("Cast", [x], x.shape, dtype, to=to)

    def slice(self, x: gs.Tensor, axis: int, start: int, end: int) -> gs.Tensor:
        """`x` itself where the range is the whole axis."""
        if (start, end) == (0, x.shape[axis]):
            return x
        bounds = [self.integers([value]) for value in (start, end, axis)]
        return self.node("Slice", [x, *bounds], resized(x.shape, {axis: end - start}))

    def block(self, x: gs.Tensor, starts: dict[int, int], ends: dict[int, int]) -> gs.Variable:
        """The part of `x` from `starts` to `ends`, both by axis."""
        bounds = [self.integers(list(v)) for v in (starts.values(), ends.values(), starts)]
        sizes = {axis: ends[axis] - start for axis, start in starts.items()}
        return self.node("Slice", [x, *bounds], resized(x.shape, sizes))

    def concat(self, parts: Sequence[gs.Tensor], axis: int) -> gs.Tensor:
        """The part itself where there is only one."""
        if len(parts) == 1:
            return parts[0]
        total = sum(part.shape[axis] for part in parts)
        return self.node("Concat", parts, resized(parts[0].shape, {axis: total}), axis=axis)

    def gather(self, x: gs.Tensor, axis: int, positions: Sequence[int]) -> gs.Variable:
        shape = resized(x.shape, {axis: len(positions)})
        return self.node("Gather", [x, self.integers(positions)], shape, axis=axis)

    def reduce(self, op: str, x: gs.Tensor, axes: Sequence[int]) -> gs.Tensor:
        """Reduce and keep the axes; `x` itself where they have one element."""
        if all(x.shape[axis] == 1 for axis in axes):
            return x
        return self._with_axes(op, x, axes, resized(x.shape, dict.fromkeys(axes, 1)), keepdims=1)

    def reduce_away(self, op: str, x: gs.Tensor, axes: Sequence[int]) -> gs.Variable:
        """Reduce; the axes are gone."""
        shape = tuple(dim for axis, dim in enumerate(x.shape) if axis not in axes)
        return self._with_axes(op, x, axes, shape, keepdims=0)

    def swap(self, x: gs.Tensor, axis: int, other: int) -> gs.Variable:
        order = list(range(len(x.shape)))
        order[axis], order[other] = other, axis
        return self.node("Transpose", [x], tuple(x.shape[i] for i in order), perm=order)

    def unsqueeze(self, x: gs.Tensor, axis: int) -> gs.Variable:
        return self._with_axes("Unsqueeze", x, [axis], (*x.shape[:axis], 1, *x.shape[axis:]))

    def squeeze(self, x: gs.Tensor, axis: int) -> gs.Variable:
        return self._with_axes("Squeeze", x, [axis], (*x.shape[:axis], *x.shape[axis + 1 :]))

    def reshape(self, x: gs.Tensor, shape: Sequence[Dim], leading: int) -> gs.Variable:
        """Reshape all but the `leading` axes, which may be symbolic; so may one of the others."""
        sizes = [size if isinstance(size, int) else -1 for size in shape[leading:]]
        return self.node("Reshape", [x, self.integers([0] * leading + sizes)], tuple(shape))

    def matmul(self, a: gs.Tensor, b: gs.Tensor) -> gs.Variable:
        """The product, where one of the two is a matrix."""
        shape = (*(a.shape[:-2] or b.shape[:-2]), a.shape[-2], b.shape[-1])
        return self.node("MatMul", [a, b], shape, b.dtype)

    def pool(
        self, op: str, x: gs.Tensor, kernel: Sequence[int], strides: Sequence[int]
    ) -> gs.Variable:
        """AveragePool or MaxPool of ``(N, C, D1, …, Dk)``, no padding."""
        spatial = [
            (dim - k) // s + 1 if isinstance(dim, int) else dim
            for dim, k, s in zip(x.shape[2:], kernel, strides, strict=True)
        ]
        shape = (*x.shape[:2], *spatial)
        return self.node(op, [x], shape, kernel_shape=list(kernel), strides=list(strides))

    def arg_max(self, x: gs.Tensor, axis: int) -> gs.Variable:
        """The position of the first maximum, int64; the axis is kept."""
        return self.node(
            "ArgMax", [x], resized(x.shape, {axis: 1}), np.dtype(np.int64), axis=axis, keepdims=1
        )

    def elementwise(self, op: str, *inputs: gs.Tensor) -> gs.Variable:
        """A node whose output has the first input's shape; the others are broadcast to it."""
        return self.node(op, inputs, inputs[0].shape)

    def at_least(self, x: gs.Tensor, minimum: float) -> gs.Variable:
        # ONNX Runtime has no kernel for Clip-11 in float64.
        op = "Max" if self.opset < 12 and x.dtype == np.float64 else "Clip"
        return self.elementwise(op, x, self.scalar(minimum, x.dtype))

    def _with_axes(
        self, op: str, x: gs.Tensor, axes: Sequence[int], shape: Shape, **attributes: Any
    ) -> gs.Variable:
        if self.opset >= AXES_ARE_AN_INPUT[op]:
            return self.node(op, [x, self.integers(axes)], shape, **attributes)
        return self.node(op, [x], shape, axes=list(axes), **attributes)

    def _new(
        self,
        op: str,
        inputs: Sequence[gs.Tensor],
        shape: Shape | None,
        dtype: Any,
        attributes: dict[str, Any],
    ) -> gs.Node:
        name = self._unique(f"{self._prefix}/{op}")
        output = gs.Variable(name, dtype=inputs[0].dtype if dtype is None else dtype, shape=shape)
        return gs.Node(op, name, attributes, list(inputs), [output])

    def _comes_before(self, node: gs.Node) -> bool:
        """Whether `node` is in this graph, not in a body of it, and before the one to replace."""
        return id(node) in self._before or any(node is new for new in self._shared)

    @functools.cached_property
    def _used(self) -> set[int]:
        """The `id`s of the outputs of the node that are used."""
        return {id(y) for y in used_outputs(self._node, output_names(self._graph))}

    @functools.cached_property
    def _before(self) -> dict[int, gs.Node]:
        earlier = itertools.takewhile(lambda node: node is not self._node, self._graph.nodes)
        return {id(node): node for node in earlier}

    def _length(self, axis: int, constant: Callable[[int], gs.Constant]) -> gs.Tensor:
        """In the shape that `constant` gives to its value."""
        x = self._node.inputs[0]
        dim = x.shape[axis]
        if isinstance(dim, int):
            return constant(dim)
        index = constant(axis)
        shape = index.values.shape
        if is_confirmed(dim) and (known := self._length_named(dim, shape)) is not None:
            return known
        sizes = self.shared("Shape", [x], (len(x.shape),), np.dtype(np.int64))
        return self.shared("Gather", [sizes, index], shape, axis=0)

    def _length_named(self, symbol: str, shape: tuple[int, ...]) -> gs.Variable | None:
        for node in (*self._before.values(), *self._shared):
            if node.op == "Gather" and _reads_size(node, symbol, shape):
                return node.outputs[0]
        return None

    def _with_shared(self) -> Iterator[gs.Node]:
        """The nodes of the graph, each followed by the shared ones that it makes possible."""
        start = -1
        position = {id(node): i for i, node in enumerate(self._graph.nodes)}
        behind: dict[int, list[gs.Node]] = defaultdict(list)
        for node in self._shared:
            producers = (producer for tensor in node.inputs for producer in tensor.inputs)
            latest = max((position.get(id(p), start) for p in producers), default=start)
            position[id(node)] = latest
            behind[latest].append(node)
        yield from behind[start]
        for i, node in enumerate(self._graph.nodes):
            yield node
            yield from behind[i]

    def _unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate


def _without_trailing_empty(tensors: Sequence[gs.Tensor]) -> list[gs.Tensor]:
    named = max((i for i, tensor in enumerate(tensors) if tensor.name), default=-1)
    return list(tensors[: named + 1])


def resized(shape: Shape, sizes: dict[int, int]) -> Shape:
    """`shape` with other sizes on some axes."""
    return tuple(sizes.get(axis, dim) for axis, dim in enumerate(shape))


def is_half(dtype: Any) -> bool:
    """Whether a type has 16 bits: PyTorch computes pooling in float32 there, and so do we."""
    return onnx_type(dtype) in (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


def _is_equal(
    node: gs.Node, op: str, inputs: Sequence[gs.Tensor], attributes: dict[str, Any]
) -> bool:
    return (
        node.op == op
        and node.domain in (None, "", "ai.onnx")
        and len(node.inputs) == len(inputs)
        and all(a is b or a.name == b.name == "" for a, b in zip(node.inputs, inputs, strict=True))
        and dict(node.attrs) == attributes
    )


def _reads_size(gather: gs.Node, symbol: str, index_shape: tuple[int, ...]) -> bool:
    """Whether a node is Gather(Shape(T), i), where size i of T has the name `symbol`."""
    sizes, index = gather.inputs
    if not isinstance(index, gs.Constant) or len(sizes.inputs) != 1:
        return False
    if tuple(index.shape) != index_shape or index.values.size != 1:
        return False
    (shape,) = sizes.inputs
    if shape.op != "Shape" or shape.attrs:
        return False
    dims = shape.inputs[0].shape or ()
    axis = int(index.values.item())
    if not -len(dims) <= axis < len(dims):
        return False
    return is_confirmed(dims[axis]) and bool(dims[axis] == symbol)


def _is_output_of(tensor: gs.Tensor, nodes: Sequence[gs.Node]) -> bool:
    # By identity: graphsurgeon compares tensors by name and nodes by content.
    return any(output is tensor for node in nodes for output in node.outputs)


def _substitute(tensor: gs.Variable, other: gs.Variable) -> None:
    for producer in list(tensor.inputs):
        producer.outputs = [other if t is tensor else t for t in producer.outputs]
    for consumer in list(tensor.outputs):
        consumer.inputs = [other if t is tensor else t for t in consumer.inputs]


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and bool(np.array_equal(a, b))
