"""A graph at chosen sizes of its inputs: shapes of tensors, and what the graph computes of shapes.

Exporters compute window bounds of `Shape`. Such tensors are constants once sizes are chosen, and
the graph around them is then like one that was exported for these sizes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.constants import is_constant, is_standard
from onnxpool.rewrites.graph.contents import Contents
from onnxpool.rewrites.graph.cut import cut, producers, producers_until
from onnxpool.rewrites.graph.run import RunError, Runner, evaluate
from onnxpool.rewrites.region.walk import State, Walk, small_constant

Sizes = Mapping[str, int]
"""A number for each symbol of the inputs."""


def size_names(graph: gs.Graph, constants: frozenset[str]) -> frozenset[str]:
    """Names of the Variables that are computed of constants and shapes alone."""
    names: set[str] = set()
    for node in graph.nodes:
        if not is_standard(node) or any(node.subgraphs()):
            continue
        known = [is_constant(tensor, constants) for tensor in node.inputs]
        sized = [tensor.name in names for tensor in node.inputs]
        if node.op in ("Shape", "Size") or (
            any(sized) and all(a or b for a, b in zip(known, sized, strict=True))
        ):
            names.update(tensor.name for tensor in node.outputs)
    return frozenset(names - constants)


_MOST_SHAPES, _FEWEST_STATES = 400_000, 32
"""How many shapes are remembered, of how many sizes of the inputs at least."""
_LEADING_SIZE = 2
_BASE, _FAR = 256, 512
"""Sizes at which it is seen how an axis follows an input: of images, far from their least size."""


class Trials:
    """A graph whose inputs can be given sizes.

    Attributes:
        sizes: names of the tensors that depend on constants and shapes alone.
        constants: names of the tensors that depend on constants alone.
        inputs: per name its dims, each a number or a symbol.
        symbols: what stands for an open size of an input, such as "H" or "x[2]".
    """

    def __init__(
        self,
        graph: gs.Graph,
        opset: int,
        constants: frozenset[str],
        contents: Contents | None = None,
    ) -> None:
        self._opset = opset
        self.sizes = size_names(graph, constants)
        self.constants = constants
        self.inputs = {
            tensor.name: tuple(
                dim if isinstance(dim, int) else str(dim or f"{tensor.name}[{axis}]")
                for axis, dim in enumerate(tensor.shape)
            )
            for tensor in graph.inputs
            if tensor.shape is not None
        }
        self.symbols = tuple(
            dict.fromkeys(d for dims in self.inputs.values() for d in dims if isinstance(d, str))
        )
        self._walk = Walk(opset, contents or Contents())
        self._states: dict[tuple[int, ...], State] = {}
        self._most_states = max(_FEWEST_STATES, _MOST_SHAPES // max(1, len(graph.nodes)))
        self._producers: dict[str, list[gs.Node]] = {}
        self._constants: dict[str, Array] = {}
        self._runners: dict[tuple[str, ...], tuple[list[gs.Node], Runner]] = {}
        self._axes: dict[str, dict[str, dict[int, _Line]]] = {}

    def shape(self, tensor: gs.Tensor, sizes: Sizes) -> tuple[int, ...] | None:
        """The shape of a tensor at these sizes of the inputs; None where inference cannot tell."""
        if isinstance(tensor, gs.Constant):
            return tuple(tensor.shape)
        state = self._state(sizes)
        if tensor.name not in state.shapes:
            if tensor.name not in self._producers:
                self._producers[tensor.name] = producers((tensor,), set())
            self._over(self._producers[tensor.name], state)
        return state.shapes.get(tensor.name)

    def walk(self, nodes: Sequence[gs.Node], sizes: Sizes) -> State:
        """The shapes of what these nodes, in graph order, compute at these sizes."""
        state = self._state(sizes)
        self._over(nodes, state)
        return state

    def _state(self, sizes: Sizes) -> State:
        key = tuple(sizes[symbol] for symbol in self.symbols)
        if key not in self._states:
            if len(self._states) >= self._most_states:
                self._states.pop(next(iter(self._states)))
            shapes = {name: self._input_shape(name, sizes) for name in self.inputs}
            self._states[key] = State(dict(sizes), dict(shapes))
        return self._states[key]

    def _over(self, nodes: Sequence[gs.Node], state: State) -> None:
        self._walk.over(nodes, state, lambda tensor: self._operand(tensor, state.sizes))

    def _operand(self, tensor: gs.Tensor, sizes: Sizes) -> Array | None:
        """What a tensor is that a node may take a shape from; None where that is not known."""
        if isinstance(tensor, gs.Constant):
            return small_constant(tensor)
        try:
            if tensor.name in self.constants:
                if tensor.name not in self._constants:
                    self._constants[tensor.name] = evaluate(tensor, self._opset)
                return self._constants[tensor.name]
            if tensor.name in self.sizes:
                (value,) = self.values([tensor], sizes)
                return value
        except RunError:
            pass
        return None

    def is_open(self, tensor: gs.Tensor, axis: int) -> bool:
        """Whether the size of an axis depends on the sizes of the inputs."""
        return self.symbol(tensor, axis) is not None

    def symbol(self, tensor: gs.Tensor, axis: int) -> str | None:
        """The symbol of an input that decides the size of an axis; None where none does."""
        lines = self._lines(tensor).items()
        return next((s for s, of_symbol in lines if axis in of_symbol), None)

    def sizes_for(self, tensor: gs.Tensor, lengths: Mapping[int, int]) -> dict[str, int] | None:
        """Sizes of the inputs at which axes of `tensor` are so long; None: none found.

        Symbols on which only other axes depend become `_LEADING_SIZE`.
        """
        sizes = dict.fromkeys(self.symbols, _LEADING_SIZE)
        for symbol, lines in self._lines(tensor).items():
            for axis, line in lines.items():
                if axis in lengths:
                    sizes[symbol] = line.solve(lengths[axis])
        shape = self.shape(tensor, sizes)
        fits = shape is not None and all(shape[axis] == n for axis, n in lengths.items())
        return sizes if fits and min(sizes.values(), default=1) > 0 else None

    def _lines(self, tensor: gs.Tensor) -> dict[str, dict[int, _Line]]:
        """For each symbol, the axes of `tensor` that depend on it, and how."""
        if tensor.name not in self._axes:
            base = dict.fromkeys(self.symbols, _BASE)
            self._axes[tensor.name] = {
                symbol: _followed(
                    self.shape(tensor, base), self.shape(tensor, {**base, symbol: _FAR})
                )
                for symbol in self.symbols
            }
        return self._axes[tensor.name]

    def values(self, tensors: Sequence[gs.Tensor], sizes: Sizes) -> tuple[Array, ...]:
        """What tensors that depend on shapes alone are at these sizes.

        Raises:
            RunError: they cannot be computed, or a shape that they read is not known.
        """
        if not tensors:
            return ()
        if len(tensors) == 1 and self._is_read(tensors[0]):
            return (self._read(tensors[0].inputs[0], sizes),)
        roots, runner = self._size_runner(tensors)
        given: dict[str, Array] = {}
        for node in roots:
            given[node.outputs[0].name] = self._read(node, sizes)
        return runner(given)

    def _read(self, node: gs.Node, sizes: Sizes) -> Array:
        """What a Shape or Size node gives.

        Raises:
            RunError: the shape that it reads is not known.
        """
        shape = self.shape(node.inputs[0], sizes)
        if shape is None:
            raise RunError(f"the shape of {node.inputs[0].name!r} cannot be inferred")
        return _shape_value(node, shape)

    def producers(self, tensors: Sequence[gs.Tensor]) -> list[gs.Node]:
        """The nodes that compute `tensors` of shapes, without those that compute constants."""
        return [
            node
            for node in producers_until(tensors, lambda tensor: tensor.name not in self.sizes)
            if node.outputs[0].name in self.sizes
        ]

    def _size_runner(self, tensors: Sequence[gs.Tensor]) -> tuple[list[gs.Node], Runner]:
        """What computes `tensors` from the outputs of these nodes: the shapes that they read."""
        names = tuple(tensor.name for tensor in tensors)
        if names not in self._runners:
            self._runners[names] = self._make_size_runner(tensors)
        return self._runners[names]

    def _make_size_runner(self, tensors: Sequence[gs.Tensor]) -> tuple[list[gs.Node], Runner]:
        nodes = producers_until(tensors, self._is_read)
        read = {t.name: t for t in (*tensors, *(t for node in nodes for t in node.inputs))}
        used = [tensor for tensor in read.values() if self._is_read(tensor)]
        runner = Runner(cut(used, tensors, self._opset))
        return [tensor.inputs[0] for tensor in used], runner

    def _is_read(self, tensor: gs.Tensor) -> bool:
        """Whether a node makes it of the shape of a tensor that is no size itself."""
        if tensor.name not in self.sizes:
            return False
        (node,) = tensor.inputs
        return node.op in ("Shape", "Size") and node.inputs[0].name not in self.sizes

    def _input_shape(self, name: str, sizes: Sizes) -> tuple[int, ...]:
        return tuple(dim if isinstance(dim, int) else sizes[dim] for dim in self.inputs[name])


@dataclasses.dataclass(frozen=True)
class _Line:
    """How the size of an axis follows an input: it grows by one when that grows by `slope`."""

    at_base: int
    slope: float

    def solve(self, length: int) -> int:
        return round(_BASE + (length - self.at_base) * self.slope)


def _followed(near: tuple[int, ...] | None, far: tuple[int, ...] | None) -> dict[int, _Line]:
    if near is None or far is None:
        return {}
    return {
        axis: _Line(a, (_FAR - _BASE) / (b - a))
        for axis, (a, b) in enumerate(zip(near, far, strict=True))
        if a < b
    }


def _shape_value(node: gs.Node, shape: tuple[int, ...]) -> Array:
    if node.op == "Size":
        return np.array(np.prod(shape), np.int64)
    start, end = node.attrs.get("start", 0), node.attrs.get("end", len(shape))
    return np.array(shape[slice(start, end)], np.int64)
