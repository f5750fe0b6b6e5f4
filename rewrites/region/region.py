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
_ROLES = (~Role(0)).value
_REDUCING = (Role.SUM | Role.MAX | Role.INDEX).value
_GATHERS, _SLIDES, _READS = 1 << 16, 1 << 17, 1 << 18
"""Beside the roles of a node: it is a GatherND; a pool; it reads what the finder was told."""
_MARKS = {"GatherND": _GATHERS, "AveragePool": _SLIDES, "MaxPool": _SLIDES}
_TELLING = _REDUCING | _GATHERS
_MOST_BETWEEN = 24
"""Nodes that may stand between the end of a region, or a reduction in it, and the next one, besides
some for each branch and for each node behind them. It bounds the search for what is not there."""


class _Stretch:
    """The nodes between a tensor and the next one before it that all of it comes from.

    It is walked as far as someone asks for, and by nobody twice.

    Attributes:
        nodes: as they were met, the last one of the graph first.
        x: the tensor that all comes from; None as long as it is not met.
        has_ended: whether there is no such tensor.
        marks: the roles of the nodes, `_GATHERS`, `_SLIDES` and `_READS`.
        reduced_at: how many nodes there are up to the last that reduces; 0: none does.
        widest: how many tensors the frontier had at the most.
    """

    def __init__(self, frontier: list[tuple[int, str]], tensors: dict[str, gs.Variable]) -> None:
        self.nodes: list[gs.Node] = []
        self.x: gs.Variable | None = None
        self.has_ended = False
        self.marks = self.reduced_at = 0
        self.widest = 1
        self.pool: NamedPool | None = None
        self.frontier = frontier
        self.tensors = tensors


class _Walked(Sequence[gs.Node]):
    """The nodes of stretches behind one another, in graph order: the last one comes first."""

    def __init__(self, stretches: list[_Stretch], count: int) -> None:
        self._stretches = stretches
        self._behind = len(stretches)
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        return list(self)[index]

    def __iter__(self) -> Iterator[gs.Node]:
        for stretch in reversed(self._stretches[: self._behind]):
            yield from reversed(stretch.nodes)


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
        *,
        reading: frozenset[str] | None = None,
    ) -> None:
        """Take `constants` for constant: by default, what depends on no input of the graph.

        Args:
            pools: per `id` of a node that averages its first input, as its name says, its op.
            reading: names of tensors; only regions that read one of them are wanted.
        """
        self.constants = constant_names(graph) if constants is None else constants
        self._position = {
            tensor.name: index for index, node in enumerate(graph.nodes) for tensor in node.outputs
        }
        self._nodes = list(graph.nodes)
        self._steps_left = _STEPS + _STEPS_PER_NODE * len(self._nodes)
        self._pools = pools or {}
        self._marks: dict[int, int | None] = {}
        self._stretches: dict[str, _Stretch] = {}
        self._reading = reading

    def regions(self, y: gs.Variable) -> Iterator[Region]:
        """The regions that end in `y`, the smallest first; each contains the one before.

        Left out are those that no verdict is about: nothing in them reduces or gathers, or the
        shapes of their ends are those of no pooling.
        """
        stretches: list[_Stretch] = []
        count = marks = reduced_at = 0
        widest = 1
        pool: NamedPool | None = None
        x = y
        while True:
            self._steps_left -= 1
            stretch = self._stretch(x)
            while stretch.x is None:
                behind = count + stretch.reduced_at if stretch.reduced_at else reduced_at
                reached = count + len(stretch.nodes)
                too_far = _is_too_far(reached, behind, max(widest, stretch.widest))
                if stretch.has_ended or too_far or reached >= self._most_nodes:
                    return
                self._step(stretch)
            if stretch.pool is not None:
                if pool is not None:
                    return
                pool = stretch.pool
            reduced_at = count + stretch.reduced_at if stretch.reduced_at else reduced_at
            count += len(stretch.nodes)
            marks |= stretch.marks
            widest = max(widest, stretch.widest)
            if _is_too_far(count, reduced_at, widest) or count > self._most_nodes:
                return
            x = stretch.x
            stretches.append(stretch)
            if self._is_wanted(marks) and (pool or not _is_no_pooling(x, y, marks)):
                yield Region(x, y, _Walked(stretches, count), Role(marks & _ROLES), pool)

    def position(self, tensor: gs.Tensor) -> int:
        """The place in the graph of the node that computes a tensor."""
        return self._position.get(tensor.name, _NO_PRODUCER)

    @property
    def _most_nodes(self) -> int:
        return _MOST_NODES if self._steps_left > 0 else _MOST_NODES_THEN

    def _is_wanted(self, marks: int) -> bool:
        return bool(marks & (_TELLING if self._reading is None else _READS))

    def _stretch(self, y: gs.Variable) -> _Stretch:
        if y.name not in self._stretches:
            self._stretches[y.name] = _Stretch([(-self.position(y), y.name)], {y.name: y})
        return self._stretches[y.name]

    def _step(self, stretch: _Stretch) -> None:
        """Replace the latest tensor of the frontier by what its node reads."""
        self._steps_left -= 1
        frontier = stretch.frontier
        latest = -frontier[0][0]
        marks = None if latest == _NO_PRODUCER else self._marks_of(latest)
        if marks is None:
            stretch.has_ended = True
            return
        while frontier and -frontier[0][0] == latest:
            heapq.heappop(frontier)
        node = self._nodes[latest]
        if (op := self._pools.get(id(node))) is not None:
            stretch.has_ended = stretch.pool is not None
            stretch.pool = NamedPool(node, op)
        stretch.nodes.append(node)
        stretch.marks |= marks
        self._expand(node, stretch)
        stretch.widest = max(stretch.widest, len(frontier))
        if marks & _REDUCING:
            stretch.reduced_at = len(stretch.nodes)
        if not frontier:
            stretch.has_ended = True
        elif len(frontier) == 1 and not stretch.has_ended:
            stretch.x = stretch.tensors[frontier[0][1]]
            stretch.frontier, stretch.tensors = [], {}

    def _expand(self, node: gs.Node, stretch: _Stretch) -> None:
        for tensor in node.inputs[:1] if id(node) in self._pools else node.inputs:
            if self._varies(tensor) and tensor.name not in stretch.tensors:
                stretch.tensors[tensor.name] = tensor
                heapq.heappush(stretch.frontier, (-self.position(tensor), tensor.name))

    def _marks_of(self, index: int) -> int | None:
        """The value of a node's role, as a Flag adds up slowly, and what else is to be known."""
        if index not in self._marks:
            node = self._nodes[index]
            named = Role.LINEAR | Role.SUM if id(node) in self._pools else None
            found = named or role(node, self._varies)
            self._marks[index] = None if found is None else found.value | self._more_of(node)
        return self._marks[index]

    def _more_of(self, node: gs.Node) -> int:
        reads = self._reading and any(tensor.name in self._reading for tensor in node.inputs)
        return _MARKS.get(node.op, 0) | (_READS if reads else 0)

    def _varies(self, tensor: gs.Tensor) -> bool:
        return not is_constant(tensor, self.constants)


def _is_too_far(count: int, reduced_at: int, widest: int) -> bool:
    """Whether these are more nodes behind the last reduction than are looked at."""
    return count - reduced_at > _MOST_BETWEEN + 2 * widest + 3 * reduced_at


def _is_no_pooling(x: gs.Variable, y: gs.Variable, marks: int) -> bool:
    """Whether the shapes say that nothing is pooled.

    Windows that an exporter froze, and sliding ones, are worth a word all the same.
    """
    if marks & (_GATHERS | _SLIDES) or x.shape is None or y.shape is None:
        return False
    return len(y.shape) > len(x.shape) or (x.shape == y.shape and all(x.shape))
