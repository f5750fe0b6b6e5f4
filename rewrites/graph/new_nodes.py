"""Nodes in the place of a node: collected, named, shared with the rest of the graph, put in."""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import NDArray

from onnxpool.ops.op import Array, Shape, is_confirmed
from onnxpool.rewrites.graph.unread import output_names, remove_unread, used_outputs

SHARED = "onnxpool/"
"""Constants carry names that say their content, so equal ones are one initializer of a graph."""


class NewNodes:
    """Collects the nodes that replace one node of `graph`, and puts them in its place."""

    def __init__(self, graph: gs.Graph, node: gs.Node) -> None:
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
        """Add a node and return its output; its dtype is the first input's unless it is given."""
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

    def constant(self, name: str, values: Array) -> gs.Constant:
        """A new constant, or the one of the graph that has this name and these values."""
        name = f"{SHARED}{name}_{values.dtype}"
        known = self._tensors.get(name)
        if isinstance(known, gs.Constant) and _same(known.values, values):
            return known
        constant = gs.Constant(self._unique(name), values)
        self._tensors[name] = constant
        return constant

    def size_named(self, symbol: str, shape: tuple[int, ...]) -> gs.Variable | None:
        """What reads the size of this confirmed name, in this shape; None where nothing does."""
        for node in (*self._before.values(), *self._shared):
            if node.op == "Gather" and _reads_size(node, symbol, shape):
                return node.outputs[0]
        return None

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
