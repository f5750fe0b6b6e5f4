"""Sizes that were computed for a frozen plane, behind the plane that takes its place.

torch dynamo computes the sizes behind a frozen pool of the sizes of the input: x.flatten(1) is
Reshape to (N, C·(H // k)·(W // k)), and F.normalize an Expand to that. Behind the restored pool
such a size is at every size of the input what it was at the traced one.

A size was computed for a frozen plane if it stays where the frozen plane stays, however the input
changes, and is the value at the traced size there. The least piece of arithmetic of which that is
true becomes a constant: of N·(H // k), the second factor. Where that leaves it open, because the
frozen plane is as long as another, the graph decides: behind the repair all its nodes have to run
at other sizes, too. Where one fails, another reading is tried of what was read before it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops import AdaptivePool, PyramidPool
from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.constants import constant_names
from onnxpool.rewrites.graph.cut import producers
from onnxpool.rewrites.graph.run import RunError
from onnxpool.rewrites.graph.tensors import shape_of
from onnxpool.rewrites.graph.unread import remove_unread
from onnxpool.rewrites.lift.construct import Construct
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.trials import Trials

_OFFSETS = (0, 1, 2, 3, 5, 8)
_FACTORS = (1, 2, 3)
_LARGEST_CONSTANT = 64
"""Elements. A longer vector, such as a range, is computed of a size that is constant."""
_LARGEST = 1 << 16
"""Elements of what is computed of sizes, to be looked at."""
_MOST_TRIES = 200
_MOST_SIZES = 8
_NEAREST = 6
_LENGTH = 16
"""Of an axis that is kept: any will do."""
_OTHER = 2
"""A size that no frozen plane depends on, such as the batch."""

Sizes = dict[str, int]


@dataclasses.dataclass(frozen=True)
class Plane:
    """The plane that a frozen pool made of that of X.

    Attributes:
        y: what the restored pool makes.
        axes: of X, with the length of the windows and the traced number of them; those that are
            kept, or follow X, are not there.
    """

    x: gs.Variable
    y: gs.Variable
    axes: tuple[tuple[int, int, int], ...]

    def at(self, trials: Trials, sizes: Sizes) -> tuple[int, ...] | None:
        """How many windows the frozen pool had at these sizes of the inputs."""
        shape = trials.shape(self.x, sizes)
        return shape and tuple(shape[axis] // kernel for axis, kernel, _ in self.axes)

    @property
    def traced(self) -> tuple[int, ...]:
        return tuple(number for _, _, number in self.axes)


@dataclasses.dataclass
class _Reader:
    """A node that reads sizes: in the graph stands itself, or a copy that reads others.

    Attributes:
        held: per input that was, or may have been, computed for a frozen plane, what it becomes.
        chosen: the inputs that are changed now.
    """

    node: gs.Node
    inputs: list[gs.Tensor]
    outputs: list[gs.Tensor]
    held: dict[int, gs.Tensor]
    chosen: frozenset[int] = frozenset()
    standing: gs.Node | None = None

    def choose(self, graph: gs.Graph, chosen: Iterable[int]) -> None:
        self.chosen = frozenset(chosen)
        before = self.standing or self.node
        before.inputs.clear()
        before.outputs.clear()
        after = self.node
        if self.chosen:
            after = gs.Node(self.node.op, self.node.name, dict(self.node.attrs))
            after.domain = self.node.domain
        graph.nodes[:] = [after if n is before else n for n in graph.nodes]
        inputs = [self.held[i] if i in self.chosen else t for i, t in enumerate(self.inputs)]
        after.inputs.extend(inputs)
        after.outputs.extend(self.outputs)
        self.standing = after


def retarget(graph: gs.Graph, lifted: Sequence[tuple[Construct, gs.Node]], opset: int) -> None:
    """Correct what reads sizes of frozen planes.

    Args:
        lifted: constructs, with the nodes of the dialect that stand for them in `graph` now.
    """
    planes = [p for construct, _ in lifted for p in frozen_planes(construct) if p.axes]
    if not planes:
        return
    trials = Trials(graph, opset, constant_names(graph))
    traced = traced_sizes(planes, trials)
    if traced is None or not trials.sizes:
        return
    _Retargeting(graph, planes, trials, traced, opset).run()


def frozen_planes(construct: Construct) -> Iterator[Plane]:
    """The planes of the pools of a construct whose windows were frozen."""
    repair = construct.repair
    if repair is None or repair.restored or not repair.evidence:
        return
    for region, size in zip(construct.regions, sizes_of(construct), strict=True):
        if region is not None and (kernel := _frozen_kernel(region)):
            first = len(shape_of(region.x) or ()) - len(kernel)
            axes = zip(itertools.count(first), kernel, size, strict=False)
            yield Plane(region.x, region.y, tuple(a for a in axes if a[2] > 0))


def sizes_of(construct: Construct) -> Sequence[tuple[int, ...]]:
    """To which size each pool of a construct pools; empty where the graph computes it."""
    op = construct.op
    if isinstance(op, PyramidPool):
        return op.sizes()
    size = op.output_size if isinstance(op, AdaptivePool) else ()
    return [size] * len(construct.regions)


def _frozen_kernel(region: Region) -> tuple[int, ...]:
    node = region.nodes[0]
    if len(region.nodes) > 1 or node.op not in ("AveragePool", "MaxPool"):
        return ()
    return tuple(node.attrs["kernel_shape"])


def traced_sizes(planes: Sequence[Plane], trials: Trials) -> Sizes | None:
    """Sizes of the inputs at which all frozen pools were right; None where there are none."""
    found: Sizes = {}
    for plane in planes:
        rank = len(shape_of(plane.x) or ())
        length = {axis: kernel * number for axis, kernel, number in plane.axes}
        first = min(length)
        wanted = {axis: length.get(axis, _LENGTH) for axis in range(first, rank)}
        sizes = trials.sizes_for(plane.x, wanted)
        if sizes is None:
            return None
        for axis in length:
            symbol = trials.symbol(plane.x, axis)
            if symbol is not None:
                found.setdefault(symbol, sizes[symbol])
    others = dict.fromkeys(trials.symbols, _OTHER)
    traced = {**others, **found}
    fits = all(plane.at(trials, traced) == plane.traced for plane in planes)
    return traced if fits else None


def around(traced: Sizes, planes: Sequence[Plane], trials: Trials) -> list[Sizes]:
    """Sizes of the inputs, the traced ones first, at which frozen planes stay and others change."""
    symbols = {s for p in planes for axis, _, _ in p.axes if (s := trials.symbol(p.x, axis))}
    symbols = symbols or {symbol for symbol, n in traced.items() if n != _OTHER}
    ordered = sorted(symbols)
    changes = list(itertools.product(_FACTORS, _OFFSETS))
    found = [traced]
    for change, other in itertools.pairwise((*changes, changes[0])):
        found.append(_changed(traced, ordered, itertools.repeat(change)))
        found.append(_changed(traced, ordered, itertools.cycle((change, other))))
        found += [_changed(traced, [symbol], itertools.repeat(change)) for symbol in ordered]
    found += [{**s, **{k: n + 1 for k, n in traced.items() if k not in symbols}} for s in found[:8]]
    return list({tuple(s.items()): s for s in found}.values())


def _changed(traced: Sizes, symbols: Iterable[str], changes: Iterator[tuple[int, int]]) -> Sizes:
    return {**traced, **{s: traced[s] * f + o for s, (f, o) in zip(symbols, changes, strict=False)}}


class _Retargeting:
    """One graph, with its readers of sizes."""

    def __init__(
        self,
        graph: gs.Graph,
        planes: Sequence[Plane],
        trials: Trials,
        traced: Sizes,
        opset: int,
    ) -> None:
        self._graph, self._planes, self._trials, self._opset = graph, planes, trials, opset
        self._traced = traced
        self._sizes = around(traced, planes, trials)
        self._frozen = [[plane.at(trials, s) for s in self._sizes] for plane in planes]
        self._lengths = [
            [_lengths_of_one(plane, trials, s) for s in self._sizes] for plane in planes
        ]
        self._values: dict[str, list[Array] | None] = {}
        self._held: dict[tuple[str, tuple[int, ...]], tuple[gs.Tensor, bool] | None] = {}
        self._new: list[gs.Node] = []
        self._behind = [behind((plane.y,), graph) for plane in planes]
        self._tries = 0

    def run(self) -> None:
        readers = self._readers()
        if not readers:
            return
        old = [producer for r in readers for t in r.inputs for producer in t.inputs]
        self._settle(readers)
        remove_unread(self._graph, [*self._new, *old])

    def _readers(self) -> list[_Reader]:
        """What reads, behind a plane or beside it, sizes that may have been computed for it."""
        everywhere = set().union(*self._behind)
        beside = {id(n) for n in producers(_read_by(everywhere, self._graph), set())}
        readers = []
        for node in list(self._graph.nodes):
            if (
                not node.outputs
                or node.outputs[0].name in self._trials.sizes | self._trials.constants
            ):
                continue
            planes = [i for i, behind in enumerate(self._behind) if id(node) in behind]
            if (planes or id(node) in beside) and (reader := self._reader(node, planes)):
                readers.append(reader)
        return readers

    def _reader(self, node: gs.Node, planes: list[int]) -> _Reader | None:
        candidates = tuple(planes or range(len(self._planes)))
        new = len(self._new)
        found = {i: self._hold(tensor, candidates) for i, tensor in enumerate(node.inputs)}
        held = {i: h[0] for i, h in found.items() if h is not None}
        if not held:
            return None
        position = next(i for i, n in enumerate(self._graph.nodes) if n is node)
        self._graph.nodes[position:position] = self._new[new:]
        reader = _Reader(node, list(node.inputs), list(node.outputs), held)
        certain = [i for i, h in found.items() if h is not None and not h[1]]
        to_one = all(set(self._planes[i].traced) == {1} for i in candidates)
        if certain and (planes or to_one) and node.op != "Resize":
            reader.choose(self._graph, certain)
        return reader

    def _hold(self, tensor: gs.Tensor, planes: tuple[int, ...]) -> tuple[gs.Tensor, bool] | None:
        """What a size becomes behind the restored planes, and whether that is doubtful.

        None where it was computed for none of them.
        """
        key = (tensor.name, planes)
        if key not in self._held:
            self._held[key] = self._find_hold(tensor, planes)
        return self._held[key]

    def _find_hold(
        self, tensor: gs.Tensor, planes: tuple[int, ...]
    ) -> tuple[gs.Tensor, bool] | None:
        if tensor.name not in self._trials.sizes:
            return None
        if (values := self._seen(tensor)) is not None:
            if _equal_in_groups(values, [()] * len(values)):
                return None
            small = values[0].size <= _LARGEST_CONSTANT
            for plane in planes:
                if small and _equal_in_groups(values, self._frozen[plane]):
                    doubtful = _equal_in_groups(values, self._lengths[plane])
                    name = f"{tensor.name}/onnxpool/restored_{plane}"
                    return gs.Constant(name, np.array(values[0])), doubtful
        (node,) = tensor.inputs
        if node.op in ("Shape", "Size") and node.inputs[0].name not in self._trials.sizes:
            return None
        return self._recompute(node, tensor, planes)

    def _recompute(
        self, node: gs.Node, tensor: gs.Tensor, planes: tuple[int, ...]
    ) -> tuple[gs.Tensor, bool] | None:
        """The same arithmetic on what its operands become."""
        found = [self._hold(operand, planes) for operand in node.inputs]
        if all(operand is None for operand in found):
            return None
        inputs = [t if h is None else h[0] for t, h in zip(node.inputs, found, strict=True)]
        suffix = "/onnxpool/restored" + "".join(f"_{plane}" for plane in planes)
        outputs = [gs.Variable(f"{t.name}{suffix}", t.dtype) for t in node.outputs]
        again = gs.Node(node.op, f"{node.name}{suffix}", dict(node.attrs), inputs, outputs)
        self._new.append(again)
        index = [t.name for t in node.outputs].index(tensor.name)
        return outputs[index], any(h is not None and h[1] for h in found)

    def _seen(self, tensor: gs.Tensor) -> list[Array] | None:
        """What a size is at every one of the sizes that are tried; None where that is not known."""
        if tensor.name not in self._values:
            self._values[tensor.name] = self._see(tensor)
        return self._values[tensor.name]

    def _see(self, tensor: gs.Tensor) -> list[Array] | None:
        shape = self._trials.shape(tensor, self._traced)
        if shape is None or int(np.prod(shape)) > _LARGEST:
            return None
        try:
            return [self._trials.values([tensor], sizes)[0] for sizes in self._sizes]
        except RunError:
            return None

    def _settle(self, readers: list[_Reader]) -> None:
        """Choose other readings before a node that fails, as long as that gets further."""
        failing = self._first_failure()
        while failing is not None and self._tries < _MOST_TRIES:
            node, position = failing
            upstream = {id(n) for n in producers(node.inputs, set())} | {id(node)}
            near = [r for r in reversed(readers) if id(r.standing or r.node) in upstream]
            following = next(self._better(near, position), None)
            if following is None:
                return
            (failing,) = following

    def _better(
        self, readers: Sequence[_Reader], position: int
    ) -> Iterator[tuple[tuple[gs.Node, int] | None]]:
        """Other readings with which no node up to the one at `position` fails."""
        changes = [((r, i),) for r in readers for i in r.held]
        pairs = itertools.combinations([c[0] for c in changes[:_NEAREST]], 2)
        for change in (*changes, *pairs):
            if self._tries == _MOST_TRIES:
                return
            self._tries += 1
            self._toggle(change)
            failing = self._first_failure()
            if failing is None or failing[1] > position:
                yield (failing,)
                return
            self._toggle(change)

    def _toggle(self, change: Iterable[tuple[_Reader, int]]) -> None:
        for reader, index in change:
            reader.choose(self._graph, reader.chosen ^ {index})

    def _first_failure(self) -> tuple[gs.Node, int] | None:
        """The first node behind a plane that fails at a size, and its position."""
        trials = Trials(self._graph, self._opset, constant_names(self._graph))
        after = behind((plane.y for plane in self._planes), self._graph)
        failed: set[str] = set()
        for sizes in self._sizes[:: max(1, len(self._sizes) // _MOST_SIZES)]:
            failed |= trials.walk(self._graph.nodes, sizes).failed.keys()
        numbered = ((n, i) for i, n in enumerate(self._graph.nodes) if id(n) in after)
        return next((p for p in numbered if any(t.name in failed for t in p[0].outputs)), None)


def _lengths_of_one(plane: Plane, trials: Trials, sizes: Sizes) -> tuple[int, ...] | None:
    """The lengths of X on the axes whose windows have one element, which say no more than those."""
    shape = trials.shape(plane.x, sizes)
    return shape and tuple(shape[axis] for axis, kernel, _ in plane.axes if kernel == 1)


def _equal_in_groups(values: Sequence[Array], groups: Sequence[tuple[int, ...] | None]) -> bool:
    """Whether a value depends on the group alone."""
    seen: dict[tuple[int, ...] | None, Array] = {}
    pairs = zip(values, groups, strict=True)
    return all(np.array_equal(seen.setdefault(group, value), value) for value, group in pairs)


def behind(tensors: Iterable[gs.Variable], graph: gs.Graph) -> set[int]:
    """The `id`s of the nodes that are computed from these tensors."""
    names = {tensor.name for tensor in tensors}
    found = set()
    for node in graph.nodes:
        if any(tensor.name in names for tensor in node.inputs):
            names.update(tensor.name for tensor in node.outputs)
            found.add(id(node))
    return found


def _read_by(nodes: set[int], graph: gs.Graph) -> list[gs.Tensor]:
    return [tensor for node in graph.nodes if id(node) in nodes for tensor in node.inputs]
