"""What is said of a repair: that the model runs at other sizes, with the shapes of its source.

The repaired graph is walked at sizes around the traced one and far from it, node by node, without
its weights. At each of them every node has to run, and every tensor behind the repair has to have
the shape that the source gives it, as far as the graph before the repair tells:

    where no frozen plane differs from that of the traced size     the shape it had
    a size that follows a frozen plane and nothing else            what it was at the traced size
    a size that does not change                                    that size

A node that failed before the repair at the same size for the same reason is the source's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.constants import constant_names
from onnxpool.rewrites.lift.construct import Construct
from onnxpool.rewrites.region.trials import Trials
from onnxpool.rewrites.region.walk import Concrete
from onnxpool.rewrites.repair.retarget import (
    Sizes,
    around,
    behind,
    frozen_planes,
    traced_sizes,
)

_NEAR, _MOST = 6, 18
FEWEST = 6
"""Sizes at which a graph has to run before anything is said of every size."""

_Key = tuple[int, ...] | None


@dataclasses.dataclass(frozen=True)
class Tried:
    """Attributes:
    sizes: at how many sizes the repaired graph runs with the source's shapes.
    trouble: what is wrong at another one, in words; empty where nothing is.
    own: what fails at another one in the source as well; empty where nothing does.
    """

    sizes: int
    trouble: str = ""
    own: str = ""

    def in_words(self, certain: bool) -> str:
        """What may be said of a repair.

        Args:
            certain: whether the source's op is proven, or said by the user.
        """
        if self.trouble:
            return f"but it is not right at every size: {self.trouble}"
        if self.sizes < FEWEST:
            beyond = f"; at others the model does not run anyway ({self.own})" if self.own else ""
            return f"it is right at the {self.sizes} sizes tried, as far as shapes tell{beyond}"
        if certain:
            return "it is right at every size now"
        return f"it is right at the {self.sizes} sizes tried, as far as shapes tell"


class Before:
    """A graph before its repair: what it says of the shapes of its source."""

    def __init__(self, graph: gs.Graph, constructs: Sequence[Construct], opset: int) -> None:
        """Walk the graph, which may change afterwards.

        Args:
            constructs: those that are to be repaired.
        """
        trials = Trials(graph, opset, constant_names(graph))
        planes = [plane for c in constructs for plane in frozen_planes(c) if plane.axes]
        traced = traced_sizes(planes, trials) if planes else _right_sizes(constructs, trials)
        self.sizes = _spread(around(traced, planes, trials)) if traced else []
        self._frozen = [[plane.at(trials, s) for s in self.sizes] for plane in planes]
        self._planes = planes
        tensors = {r.y.name: r.y for c in constructs for r in c.found}
        self._names = _names_behind(tensors.values(), graph)
        walked = [trials.walk(graph.nodes, sizes) for sizes in self.sizes]
        self._shapes = [{n: state.shapes.get(n) for n in self._names} for state in walked]
        self._failed = [dict(state.failed) for state in walked]
        replaced = {t.name for c in constructs for node in c.nodes for t in node.outputs}
        aside = {t.name for n in graph.nodes for t in n.outputs}
        aside -= {*self._names, *replaced, *trials.sizes}
        self._others = {
            lengths
            for name in aside
            for lengths in zip(*(state.shapes.get(name) or () for state in walked), strict=False)
        }

    def compare(self, graph: gs.Graph, opset: int) -> Tried:
        """Walk the repaired graph."""
        trials = Trials(graph, opset, constant_names(graph))
        fine, own = 0, ""
        for index, sizes in enumerate(self.sizes):
            if set(sizes) != set(trials.symbols):
                return Tried(fine)
            state = trials.walk(graph.nodes, sizes)
            shown = self._in_words(trials, sizes)
            failing = next((n for n in graph.nodes if _fails(n, state.failed)), None)
            if failing is not None:
                name = failing.outputs[0].name
                reason = f"at {shown} {failing.op} of {name!r} fails ({state.failed[name]})"
                if name not in self._failed[index]:
                    return Tried(fine, reason)
                own = own or reason
                continue
            unknown = [t.name for t in graph.outputs if state.shapes.get(t.name) is None]
            if unknown:
                return Tried(fine, f"the shape of {unknown[0]!r} cannot be inferred")
            if wrong := self._wrong(index, state.shapes):
                return Tried(fine, f"at {shown} {wrong}")
            fine += 1
        return Tried(fine, own=own)

    def _wrong(self, index: int, shapes: dict[str, Concrete | None]) -> str:
        """A tensor whose shape is not that of the source, in words; empty where there is none."""
        for name in self._names:
            found, traced = shapes.get(name), self._shapes[0].get(name)
            if found is None or traced is None:
                continue
            wanted = self._wanted(name, index, traced)
            pairs = zip(found, wanted, strict=False)
            if len(found) != len(wanted) or any(w not in (None, n) for n, w in pairs):
                shown = "x".join("?" if n is None else str(n) for n in wanted)
                return f"{name!r} is {'x'.join(map(str, found))} and not {shown}"
        return ""

    def _wanted(self, name: str, index: int, traced: Concrete) -> list[int | None]:
        """The sizes that the source gives a tensor; None where that is not known."""
        seen = [shapes.get(name) for shapes in self._shapes]
        known = [(i, s) for i, s in enumerate(seen) if s is not None and len(s) == len(traced)]
        wanted: list[int | None] = []
        for axis, length in enumerate(traced):
            values = [(i, shape[axis]) for i, shape in known]
            # Beside the frozen plane another may be as long as it at every size.
            alone = tuple(n for _, n in values) not in self._others
            now = dict(values).get(index)
            if len({n for _, n in values}) > 1:
                stays = alone and not self._is_doubtful and self._follows(values)
            else:
                stays = not all(self._is_as_traced(i) for i, _ in values)
            wanted.append(now if self._is_as_traced(index) else length if stays else None)
        return wanted

    def _follows(self, values: Sequence[tuple[int, int]]) -> bool:
        """Whether a size depends on one of the frozen planes alone."""
        return any(_depends_on_group_alone(values, frozen) for frozen in self._frozen)

    def _is_as_traced(self, index: int) -> bool:
        return all(frozen[index] == frozen[0] for frozen in self._frozen) and bool(self._frozen)

    @property
    def _is_doubtful(self) -> bool:
        """Whether a frozen plane is as long as the one that it was made of."""
        return any(kernel == 1 for plane in self._planes for _, kernel, _ in plane.axes)

    def _in_words(self, trials: Trials, sizes: Sizes) -> str:
        shapes = ((n, [sizes.get(str(d), d) for d in dims]) for n, dims in trials.inputs.items())
        return ", ".join(f"{name}={'x'.join(map(str, shape))}" for name, shape in shapes)


def _right_sizes(constructs: Sequence[Construct], trials: Trials) -> Sizes | None:
    """Sizes of the inputs at which a graph that computes its windows was right."""
    right = ((c.found[0], c.repair.right[0]) for c in constructs if c.repair and c.repair.right)
    planes = ((region.x, region.lengths(plane)) for region, plane in right)
    return next((s for x, lengths in planes if (s := trials.sizes_for(x, lengths))), None)


def _spread(sizes: Sequence[Sizes]) -> list[Sizes]:
    """The first few, which are near the traced size, and some of the others."""
    step = max(1, (len(sizes) - _NEAR) // (_MOST - _NEAR))
    return [*sizes[:_NEAR], *sizes[_NEAR::step]]


def _names_behind(tensors: Iterable[gs.Variable], graph: gs.Graph) -> list[str]:
    ids = behind(tensors, graph)
    return [t.name for node in graph.nodes if id(node) in ids for t in node.outputs if t.name]


def _fails(node: gs.Node, failed: dict[str, str]) -> bool:
    return any(tensor.name in failed for tensor in node.outputs)


def _depends_on_group_alone(values: Sequence[tuple[int, int]], groups: Sequence[_Key]) -> bool:
    seen: dict[_Key, int] = {}
    return all(seen.setdefault(groups[i], value) == value for i, value in values)
