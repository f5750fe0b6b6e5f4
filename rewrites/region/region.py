"""Regions: the nodes between a tensor X and a later tensor Y that depends on nothing else.

From Y backwards, the latest tensor of the frontier is replaced by what its node reads, constants
left out. Whenever one tensor remains, everything of Y that is not constant comes from it.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import onnx_graphsurgeon as gs

from onnxpool.ops import AdaptiveAveragePool
from onnxpool.rewrites.graph.constants import constant_names, is_constant
from onnxpool.rewrites.graph.tensors import shape_of
from onnxpool.rewrites.region.layout import D, Layout
from onnxpool.rewrites.region.roles import Role, role

_MOST_NODES = 20_000
"""The exporter unrolls a window of 23x23 positions to 1,100 nodes."""
_STEPS, _STEPS_PER_NODE = 400_000, 40
"""Of all walks through a graph; real ones take 10 or less for each node."""
_MOST_NODES_THEN = 64
"""When these are taken: only what is small is still found."""
_NO_PRODUCER = -1
_REDUCING = (Role.SUM | Role.MAX | Role.INDEX).value
_MOST_BETWEEN = 24
"""Nodes that may stand between the end of a region, or a reduction in it, and the next one, besides
some for each branch and for each node behind them. It bounds the search for what is not there."""


class _Walked(Sequence[gs.Node]):
    """The nodes of a walk so far, which goes on, in graph order: the last one comes first."""

    def __init__(self, walk: list[gs.Node]) -> None:
        self._walk = walk
        self._count = len(walk)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        return self._walk[: self._count][::-1][index]

    def __iter__(self) -> Iterator[gs.Node]:
        yield from reversed(self._walk[: self._count])


@dataclasses.dataclass(frozen=True, eq=False)
class Region:
    """What computes `y` from `x`: nodes in graph order, without those that compute constants.

    Attributes:
        pool: the node among them that says by itself what it computes, if there is one.
        layout: where the axes of the op that it is stand in X and Y; None: as an op has them, but
            that pooled axes may be gone from the end of Y.
    """

    x: gs.Variable
    y: gs.Variable
    nodes: Sequence[gs.Node]
    roles: Role
    pool: NamedPool | None = None
    layout: Layout | None = None

    def op_x(self, shape: Sequence[D]) -> tuple[D, ...]:
        """The shape of the op's X, for an X of this shape."""
        return tuple(shape) if self.layout is None else self.layout.of_x(shape)

    def axis_of_x(self, axis: int) -> int | None:
        """Where an axis of the op's X stands in X; None for one that X lacks."""
        return axis if self.layout is None else self.layout.x[axis]

    def lengths(self, plane: Sequence[int]) -> dict[int, int]:
        """Per axis of X its length, where the last axes of the op's X are `plane`."""
        rank = len(self.op_x(shape_of(self.x) or ()))
        own = map(self.axis_of_x, range(rank - len(plane), rank))
        return {axis: n for axis, n in zip(own, plane, strict=True) if axis is not None}


@dataclasses.dataclass(frozen=True)
class NamedPool:
    """A node that averages as its name says; no runtime need take it."""

    node: gs.Node
    op: AdaptiveAveragePool


def ops_in_words(nodes: Iterable[gs.Node]) -> str:
    """The op types in graph order with their counts, as a person would say them."""
    counts = Counter(node.op for node in nodes)
    return ", ".join(op if n == 1 else f"{n} {op}" for op, n in counts.items())


class RegionFinder:
    """Bounds the regions of one graph, which must not change meanwhile."""

    def __init__(
        self,
        graph: gs.Graph,
        constants: frozenset[str] | None = None,
        pools: Mapping[int, AdaptiveAveragePool] | None = None,
    ) -> None:
        """Take `constants` for constant: by default, what depends on no input of the graph.

        Args:
            pools: per `id` of a node that averages its first input, as its name says, its op.
        """
        self.constants = constant_names(graph) if constants is None else constants
        self._position = {
            tensor.name: index for index, node in enumerate(graph.nodes) for tensor in node.outputs
        }
        self._nodes = list(graph.nodes)
        self._steps_left = _STEPS + _STEPS_PER_NODE * len(self._nodes)
        self._pools = pools or {}
        self._roles: dict[int, int | None] = {}

    def regions(self, y: gs.Variable) -> Iterator[Region]:
        """The regions that end in `y`, the smallest first; each contains the one before."""
        frontier = [(-self.position(y), y.name)]
        tensors = {y.name: y}
        nodes: list[gs.Node] = []
        roles = 0
        pool: NamedPool | None = None
        widest, reduced_at = 1, 0
        while frontier and len(nodes) < (_MOST_NODES if self._steps_left > 0 else _MOST_NODES_THEN):
            self._steps_left -= 1
            latest = -frontier[0][0]
            if latest == _NO_PRODUCER or (found := self._role(latest)) is None:
                return
            while frontier and -frontier[0][0] == latest:
                heapq.heappop(frontier)
            node = self._nodes[latest]
            if (op := self._pools.get(id(node))) is not None:
                if pool is not None:
                    return
                pool = NamedPool(node, op)
            nodes.append(node)
            roles |= found
            self._expand(node, tensors, frontier)
            widest = max(widest, len(frontier))
            if found & _REDUCING:
                reduced_at = len(nodes)
            if len(nodes) - reduced_at > _MOST_BETWEEN + 2 * widest + 3 * reduced_at:
                return
            if len(frontier) == 1:
                x = tensors[frontier[0][1]]
                yield Region(x, y, _Walked(nodes), Role(roles), pool)

    def position(self, tensor: gs.Tensor) -> int:
        """The place in the graph of the node that computes a tensor."""
        return self._position.get(tensor.name, _NO_PRODUCER)

    def _expand(
        self, node: gs.Node, tensors: dict[str, gs.Variable], frontier: list[tuple[int, str]]
    ) -> None:
        for tensor in node.inputs[:1] if id(node) in self._pools else node.inputs:
            if self._varies(tensor) and tensor.name not in tensors:
                tensors[tensor.name] = tensor
                heapq.heappush(frontier, (-self.position(tensor), tensor.name))

    def _role(self, index: int) -> int | None:
        """The value of a node's role: a Flag adds up slowly."""
        if index not in self._roles:
            node = self._nodes[index]
            named = Role.LINEAR | Role.SUM if id(node) in self._pools else None
            found = named or role(node, self._varies)
            self._roles[index] = None if found is None else found.value
        return self._roles[index]

    def _varies(self, tensor: gs.Tensor) -> bool:
        return not is_constant(tensor, self.constants)
