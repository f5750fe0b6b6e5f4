"""Which pool of a PyTorch source each frozen pool of a graph is, and so what it pools to.

Of the pools of the source that windows of this length can come from, there are left

    the module path  those that the module calls which the node's metadata names
    the values       those that pool what the node pools, where both run on the same inputs
    the order        of several nodes, those that are called in the order of the nodes
    one tensor       of nodes that pool one tensor, those for which it has one size when traced;
                     a pool for which that size divides is a node, too
    the traced size  those that stand for a size at which the graph is right

An exporter makes one node of two calls that compute the same where it is traced; such a node is
left open as well.

Where what is left agrees, the source has settled it. Where it does not, the node stays as it is,
and the reason is told. A source of which neither modules nor values are found is not the model's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import onnx_graphsurgeon as gs

from onnxpool.errors import SourceError
from onnxpool.inputs.values import model_inputs
from onnxpool.model.file import ModelFile
from onnxpool.model.provenance import module_path
from onnxpool.ops.op import KEEP, Array
from onnxpool.rewrites.graph.run import RunError
from onnxpool.rewrites.graph.tensors import shape_of
from onnxpool.rewrites.region.size import OutputSize, Plane, Share, in_words
from onnxpool.rewrites.repair.frozen import has_side_by_side_windows
from onnxpool.rewrites.repair.hints import Known
from onnxpool.validation.pools_of_source import SourcePool, SourcePools, pools_of
from onnxpool.validation.runnable import TorchSource, is_same, values_of
from onnxpool.validation.source import Source
from onnxpool.validation.traced_where_right import is_right_where

_MOST_STEPS = 100_000
"""Of a search for assignments."""


@dataclasses.dataclass(frozen=True)
class Settled:
    """Attributes:
    known: per name of a node, what the source showed of it.
    notes: which nodes it leaves open, and why.
    """

    known: Mapping[str, Known] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Node:
    """Attributes:
    module: the path of the module it comes from; None: not noted.
    first: whether no other one of these nodes is in front of it.
    """

    name: str
    mode: str
    kernel: Plane
    x: str
    module: str | None
    first: bool


Assignment = tuple[SourcePool, ...]


def settle(file: ModelFile, source: Source, seed: int = 0) -> Settled:
    """What the source of a model shows of its pools that an exporter may have frozen.

    Args:
        file: with shapes inferred.
        seed: of the inputs.

    Raises:
        ArgumentError: a size or rank is neither in the model nor in the examples.
        SourceError: the source does not run, or is not that of the model.
    """
    nodes = _frozen_nodes(file)
    if not nodes:
        return Settled()
    inputs = model_inputs(file.proto)
    pools = pools_of(TorchSource(source, inputs), inputs, seed)
    candidates = _candidates(file, nodes, pools)
    chosen: dict[str, SourcePool] = {}
    open_: dict[str, str] = {}
    for group in _groups(nodes, candidates):
        assignments = list(_assignments(group, candidates, pools.pools))
        if len(_outcomes(group, assignments)) > 1:
            right = [a for a in assignments if _is_traced_so(file, group, a, pools, seed)]
            assignments = right or assignments
        for index, node in enumerate(group):
            found = [assignment[index] for assignment in assignments]
            open_[node.name] = _why_open(found, len(node.kernel))
            if found:
                chosen[node.name] = found[0]
    known = {n.name: _known(chosen[n.name], len(n.kernel)) for n in nodes if not open_[n.name]}
    for node in (n for n in nodes if n.name in known):
        if why := _merged(file, node, chosen, pools, seed):
            open_[node.name] = why
            # Its metadata is that of one of the calls, and would settle it for that one.
            known[node.name] = Known(None, why)
    notes = [f"{source.name} leaves node {n!r} open: {why}" for n, why in open_.items() if why]
    return Settled(known, tuple(notes))


def _frozen_nodes(file: ModelFile) -> list[_Node]:
    """The pools of the main graph that an exporter may have frozen, in its order."""
    scope = file.main
    pools = [n for n in scope.graph.nodes if has_side_by_side_windows(n) and _may_be_open(n)]
    found = []
    behind: set[int] = set()
    for node in scope.graph.nodes:
        in_front = [id(producer) for tensor in node.inputs for producer in tensor.inputs]
        is_behind = any(key in behind for key in in_front)
        if is_pool := any(node is pool for pool in pools):
            found.append(_node(node, file, first=not is_behind))
        if is_pool or is_behind:
            behind.add(id(node))
    names = [node.name for node in found]
    return [node for node in found if names.count(node.name) == 1]


def _node(node: gs.Node, file: ModelFile, *, first: bool) -> _Node:
    _, proto = file.main.imported.get(id(node), (None, None))
    return _Node(
        str(node.name or node.outputs[0].name),
        "avg" if node.op == "AveragePool" else "max",
        tuple(node.attrs["kernel_shape"]),
        node.inputs[0].name,
        None if proto is None else module_path(proto),
        first,
    )


def _may_be_open(node: gs.Node) -> bool:
    plane = (shape_of(node.inputs[0]) or (None,))[-len(node.attrs["kernel_shape"]) :]
    return any(not isinstance(dim, int) for dim in plane)


def _candidates(
    file: ModelFile, nodes: Sequence[_Node], pools: SourcePools
) -> dict[str, list[SourcePool]]:
    """Per node the pools that it may be, by what is known of each alone.

    Raises:
        SourceError: the source is not that of the model.
    """
    modules = {pool.module for pool in pools.pools}
    values = _values(file, nodes, pools.inputs)
    found = {}
    strangers = []
    evidence = False
    for node in nodes:
        fitting = [pool for pool in pools.pools if _fits(node, pool)]
        named = node.module in modules
        if named:
            fitting = [pool for pool in fitting if pool.module == node.module]
        equal = [pool for pool in fitting if is_same(values.get(node.x), pool.x)]
        evidence = evidence or named or bool(equal)
        if node.first and not named and not equal and node.x in values:
            strangers.append(node)
        found[node.name] = equal or ([] if node in strangers else fitting)
    if strangers and not evidence:
        raise SourceError(
            f"{pools.source.name} is not the source of the model, or its weights are others: "
            f"nothing that it pools is what node {strangers[0].name!r} pools; trained weights are "
            "loaded with --weights"
        )
    return found


def _fits(node: _Node, pool: SourcePool) -> bool:
    """Whether windows of this length can come from the pool."""
    k = len(node.kernel)
    if pool.mode != node.mode or not _has_axes(pool, k):
        return False
    if pool.open_because:
        return True
    if pool.size is None:
        return pool.kernel[-k:] == node.kernel
    pairs = zip(pool.size[-k:], node.kernel, strict=True)
    return all(_makes_windows(size, length) for size, length in pairs)


def _has_axes(pool: SourcePool, k: int) -> bool:
    """Whether it pools k axes, or more of which the first ones have one element.

    torch pools one axis as two.
    """
    if not pool.planes:
        return True
    extra = len(pool.planes[0]) - k
    return extra >= 0 and all(set(plane[:extra]) <= {1} for plane in pool.planes)


def _makes_windows(size: int | Share, length: int) -> bool:
    if isinstance(size, Share):
        return size.makes(length)
    return size != KEEP or length == 1


def _values(file: ModelFile, nodes: Sequence[_Node], inputs: Sequence[Array]) -> dict[str, Array]:
    """What the nodes pool; of those behind another one only where all of them run."""
    for tried in (nodes, [node for node in nodes if node.first]):
        names = list(dict.fromkeys(node.x for node in tried))
        try:
            return values_of(file, names, inputs)
        except RunError:
            continue
    return {}


def _groups(
    nodes: Sequence[_Node], candidates: Mapping[str, Sequence[SourcePool]]
) -> list[list[_Node]]:
    """Nodes that have to be judged together: they share candidates, or what they pool."""
    groups: list[list[_Node]] = []
    for node in nodes:
        near = [g for g in groups if any(_is_near(node, other, candidates) for other in g)]
        groups = [g for g in groups if not any(g is other for other in near)]
        merged = [other for group in near for other in group]
        groups.append(sorted([*merged, node], key=nodes.index))
    return groups


def _is_near(a: _Node, b: _Node, candidates: Mapping[str, Sequence[SourcePool]]) -> bool:
    numbers = {pool.number for pool in candidates[a.name]}
    return a.x == b.x or any(pool.number in numbers for pool in candidates[b.name])


def _assignments(
    group: Sequence[_Node],
    candidates: Mapping[str, Sequence[SourcePool]],
    pools: Sequence[SourcePool],
) -> Iterator[Assignment]:
    """The ways to give each node a pool of its own, in order, that contradict nothing.

    There are none where the search takes too long.
    """
    found: list[Assignment] = []
    pending: list[Assignment] = [()]
    for _ in range(_MOST_STEPS):
        if not pending:
            yield from found
            return
        chosen = pending.pop()
        if len(chosen) == len(group):
            if not _leaves_one_out(group, chosen, pools):
                found.append(chosen)
            continue
        for pool in candidates[group[len(chosen)].name]:
            later = not chosen or pool.number > chosen[-1].number
            longer = (*chosen, pool)
            if later and _has_one_plane_each(group, longer):
                pending.append(longer)


def _has_one_plane_each(group: Sequence[_Node], chosen: Assignment) -> bool:
    """Whether each tensor that is pooled has one size when it is traced."""
    planes: dict[tuple[str, int], int] = {}
    for node, axis, length in _traced_lengths(group, chosen):
        if planes.setdefault((node.x, axis), length) != length:
            return False
    return True


def _outcomes(group: Sequence[_Node], assignments: Sequence[Assignment]) -> set[object]:
    """The answers that they give."""
    lengths = [len(node.kernel) for node in group]
    return {
        tuple((p.open_because, p.size and p.size[-k:]) for p, k in zip(a, lengths, strict=True))
        for a in assignments
    }


def _is_traced_so(
    file: ModelFile, group: Sequence[_Node], chosen: Assignment, pools: SourcePools, seed: int
) -> bool:
    lengths: dict[str, dict[int, int]] = {}
    for node, axis, length in _traced_lengths(group, chosen):
        lengths.setdefault(node.x, {})[axis] = length
    planes = [
        (pool, tuple(lengths[node.x][axis] for axis in range(len(node.kernel))))
        for node, pool in zip(group, chosen, strict=True)
        if len(lengths.get(node.x, ())) == len(node.kernel)
    ]
    return bool(planes) and is_right_where(file, pools, planes, seed)


def _traced_lengths(group: Sequence[_Node], chosen: Assignment) -> Iterator[tuple[_Node, int, int]]:
    for node, pool in zip(group, chosen, strict=False):
        size = (pool.size or ())[-len(node.kernel) :]
        for axis, (part, length) in enumerate(zip(size, node.kernel, strict=False)):
            if isinstance(part, int) and part != KEEP:
                yield node, axis, part * length


def _leaves_one_out(
    group: Sequence[_Node], chosen: Assignment, pools: Sequence[SourcePool]
) -> bool:
    """Whether another pool of the same tensor would be a node, too, had it been traced so."""
    lengths = {(node.x, axis): length for node, axis, length in _traced_lengths(group, chosen)}
    for node, pool in zip(group, chosen, strict=True):
        plane = [lengths.get((node.x, axis)) for axis in range(len(node.kernel))]
        done = [p.size for p in chosen if p.mode == node.mode]
        others = (p for p in pools if p.mode == pool.mode and p.size not in done)
        if any(is_same(p.x, pool.x) and _divides(p.size, plane) for p in others):
            return True
    return False


def _divides(size: OutputSize | None, plane: Sequence[int | None]) -> bool:
    if size is None or len(size) < len(plane):
        return False
    pairs = list(zip(size[len(size) - len(plane) :], plane, strict=True))
    return all(
        isinstance(part, int) and part != KEEP and length is not None and length % part == 0
        for part, length in pairs
    )


def _merged(
    file: ModelFile,
    node: _Node,
    chosen: Mapping[str, SourcePool],
    pools: SourcePools,
    seed: int,
) -> str:
    """Why a node stands for another call, too, which computed the same when it was traced."""
    k = len(node.kernel)
    pool = chosen[node.name]
    taken = {each.number for each in chosen.values()}
    for other in pools.pools:
        alike = other.number not in taken and other.size != pool.size and _fits(node, other)
        if not alike or not is_same(other.x, pool.x):
            continue
        size = other.size and other.size[-k:]
        plane = _traced_plane(size, node.kernel)
        fixed = bool(pool.size) and all(isinstance(part, int) for part in pool.size or ())
        if plane is not None and (fixed or not is_right_where(file, pools, [(other, plane)], seed)):
            continue
        both = " and ".join(_known(each, k).because for each in (pool, other))
        return f"torch's exporter made one node of two calls, which differ at other sizes: {both}"
    return ""


def _traced_plane(size: OutputSize | None, kernel: Plane) -> Plane | None:
    """What was pooled when it was traced, to this size with these windows; None: any plane."""
    parts = list(zip(size or (), kernel, strict=False))
    lengths = tuple(s * k for s, k in parts if isinstance(s, int) and s != KEEP)
    return lengths if parts and len(lengths) == len(parts) else None


def _why_open(found: Sequence[SourcePool], k: int) -> str:
    if not found:
        return "none of its pools fits the windows, the module and the order of the node"
    for pool in found:
        if pool.open_because:
            return f"{_place(pool)}: {pool.open_because}"
    kinds = dict.fromkeys(_known(pool, k).because for pool in found)
    return f"several of its pools fit: {'; '.join(kinds)}" if len(kinds) > 1 else ""


def _place(pool: SourcePool) -> str:
    return f"module {pool.module!r}" if pool.module else "the source itself"


def _known(pool: SourcePool, k: int) -> Known:
    if pool.size is None:
        return Known(None, f"the reference pools it in windows of {in_words(pool.kernel[-k:])}")
    size = pool.size[-k:]
    return Known(size, f"the reference pools it to {in_words(size)}")
