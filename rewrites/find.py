"""Find pooling by what it computes: the search through one graph, which drives lift and repair.

A node of the dialect is what it says (dialect_node), and so is a pool that an exporter left as an
op of its own (exporters_node); such an average may be part of a generalised mean. A region of one
pooling node is judged from its attributes and left alone (single_node). Products that upsample
the levels of a pyramid are none (pyramid_upsample). On every other region (see region/region.py)
these rules are tried in order:

    adaptive_average_pool   weighted sums
    adaptive_max_pool       maxima, and where they stood
    gem_pool                powers around a sum
    dynamic                 all of these, where the graph computes its windows of shapes
    unknown_size            looks like pooling, sizes not fixed: declined
Then `frozen.settle` judges the pools that an exporter froze (repair/frozen.py),
`adaptive_max_pool.pair` joins values with indices and `pyramid_pool.join` pools of one tensor,
`imitation.explain` says which strided pools stand in the place of adaptive ones, and `restore`
makes these of them where the user says so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import onnx_graphsurgeon as gs

from onnxpool import steps
from onnxpool.ops import AdaptiveAveragePool
from onnxpool.rewrites.graph.constants import is_constant
from onnxpool.rewrites.graph.contents import Contents
from onnxpool.rewrites.graph.tensors import is_byte, is_float, is_integer, shape_of
from onnxpool.rewrites.graph.unread import output_names
from onnxpool.rewrites.lift import (
    adaptive_average_pool,
    adaptive_max_pool,
    dialect_node,
    dynamic,
    exporters_node,
    gem_pool,
    imitation,
    onnxruntime_pool,
    pyramid_pool,
    pyramid_upsample,
    single_node,
    unknown_size,
)
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.lift.rule import Meanings, judge
from onnxpool.rewrites.region import casts
from onnxpool.rewrites.region.computation import Constants
from onnxpool.rewrites.region.region import Region, RegionFinder
from onnxpool.rewrites.region.roles import Role
from onnxpool.rewrites.region.trials import Trials
from onnxpool.rewrites.repair import frozen
from onnxpool.rewrites.repair.hints import Hints
from onnxpool.rewrites.repair.restore import restore

RULES = (adaptive_average_pool.RULE, adaptive_max_pool.RULE, gem_pool.RULE)

_MOST_FOLLOWED, _MOST_FOLLOWED_SIZED = 5_000, 2_500
"""Nodes of all regions of one Y that are no pooling; those that read sizes are followed at many.
An unrolled window of 1,100 nodes is reached before."""
_FOLLOWED, _FOLLOWED_PER_NODE = 100_000, 10
"""Nodes of all regions of a graph that are no pooling."""
_MOST_NESTED_FAILURES = 50
"""A sum unrolled over a thousand nodes that is no mean has a thousand sums in it that are none."""


def find(
    graph: gs.Graph, opset: int, hints: Hints | None = None, *, for_kernel: bool = False
) -> tuple[list[Construct], list[Declined]]:
    """Find the pooling of one graph, without its bodies, in graph order; changes nothing.

    Args:
        graph: with the shapes and dtypes of its Variables filled in.
        opset: the version of the default domain.
        hints: what is known of the graph besides.
        for_kernel: whether a kernel will compute them (see `pyramid_pool.join`).

    Returns:
        The constructs, and the regions that look like pooling but are not, with the reason.

    Raises:
        WrongHint: what the user said does not fit the graph.
    """
    hints = hints or Hints()
    return _Search(graph, opset, hints, for_kernel).run()


@dataclasses.dataclass
class _Search:
    graph: gs.Graph
    opset: int
    hints: Hints
    for_kernel: bool

    def __post_init__(self) -> None:
        self.outputs = output_names(self.graph)
        contents = Contents()
        self.constants = Constants(self.opset)
        self.meanings = Meanings(self.constants, contents)
        self.named = {id(n): self._judge_named(n) for n in self.graph.nodes if _is_named(n)}
        self.finder = RegionFinder(self.graph, pools=dict(self._named_averages()))
        self.trials = Trials(self.graph, self.opset, self.finder.constants, contents)
        sizes = self.trials.sizes
        known = self.finder.constants | sizes
        self.sized_finder = RegionFinder(self.graph, known, reading=sizes) if sizes else None
        self.upsampling = {*map(id, pyramid_upsample.products(self.graph, self.opset))}
        self.lifted: set[int] = set()
        self.judged: set[int] = set()
        self.nested_failures = 0
        self.left_to_follow = _FOLLOWED + _FOLLOWED_PER_NODE * len(self.graph.nodes)

    def run(self) -> tuple[list[Construct], list[Declined]]:
        constructs: list[Construct] = []
        declined: list[Declined] = []
        for done, node in enumerate(reversed(self.graph.nodes)):
            steps.at("looking for pooling", done, len(self.graph.nodes))
            for y in node.outputs:
                if not self._is_candidate(y):
                    continue
                nested = self._is_inside(y, self.judged)
                if nested and self.nested_failures == _MOST_NESTED_FAILURES:
                    continue
                verdict = self._judge(y, nested)
                if isinstance(verdict, Construct):
                    constructs.append(verdict)
                    self.lifted.update(map(id, verdict.nodes))
                elif nested:
                    self.nested_failures += verdict is not None
                elif verdict is not None:
                    declined.append(verdict)
                    self.judged.update(map(id, verdict.region.nodes))
        constructs, declined = frozen.settle(
            self.graph, constructs, declined, self.trials, self.hints, self.opset
        )
        declined = [d for d in declined if not _is_explained(d, constructs)]
        hints = self.hints
        declined = imitation.explain(
            declined[::-1], constructs[::-1], hints.origins, hints.producer, self.graph.nodes
        )
        constructs, declined = restore(self.graph, constructs, declined, self.hints)
        paired = adaptive_max_pool.pair(constructs)
        joined = pyramid_pool.join(paired, for_kernel=self.for_kernel)
        return sorted(joined, key=lambda c: self.finder.position(c.found[0].y)), declined

    def _judge(self, y: gs.Variable, nested: bool) -> Construct | Declined | None:
        """The verdict on the largest region that ends in `y` and pools no axis twice."""
        (node,) = y.inputs
        if id(node) in self.named:
            first = next(tensor for tensor in node.outputs if tensor.name)
            return self.named[id(node)] if y is first else None
        best, declined = self._largest(
            self.finder.regions(y), lambda region, _: self._verdict(region), _MOST_FOLLOWED
        )
        sized = best or self._judge_sized(y, nested)
        return sized or declined or unknown_size.judge_gather(y, self.finder.constants)

    def _judge_named(self, node: gs.Node) -> Construct | Declined:
        if dialect_node.applies(node):
            return dialect_node.judge(node, self.opset, self.outputs)
        if onnxruntime_pool.applies(node):
            return onnxruntime_pool.judge(node)
        return exporters_node.judge(node, self.opset, self.outputs)

    def _named_averages(self) -> Iterator[tuple[int, AdaptiveAveragePool]]:
        """Those of sizes that the graph does not compute: GeMPool takes no others."""
        found = ((k, c) for k, c in self.named.items() if isinstance(c, Construct))
        for key, construct in found:
            if isinstance(construct.op, AdaptiveAveragePool) and not construct.parameters:
                yield key, construct.op

    def _judge_sized(self, y: gs.Variable, nested: bool) -> Construct | Declined | None:
        """As `_judge`, of regions that read what the graph computes of shapes."""
        if self.sized_finder is None or y.name in self.trials.sizes:
            return None
        best, declined = self._largest(
            self.sized_finder.regions(y),
            lambda region, has_best: dynamic.judge(
                region, self.trials, RULES, self.constants, thorough=not (nested or has_best)
            ),
            _MOST_FOLLOWED_SIZED,
        )
        return best or declined

    def _largest(
        self,
        regions: Iterable[Region],
        judged: Callable[[Region, bool], Construct | Declined | None],
        most: int,
    ) -> tuple[Construct | None, Declined | None]:
        """The largest construct among regions, and why the first of the others is none.

        Args:
            regions: from small to large.
            judged: the verdict on one; it is told whether a smaller one is a construct.
            most: nodes to follow of regions that are no pooling.
        """
        best: Construct | None = None
        declined: Declined | None = None
        followed = 0
        for region in regions:
            # A kernel reads X once for a level and for what is pooled from it.
            if best is not None and not self.for_kernel and _pools_again(best.found[0], region):
                break
            if casts.changes_type(region) or casts.is_one_node(region):
                continue
            verdict = judged(region, best is not None)
            if isinstance(verdict, Construct):
                best = verdict
            elif verdict is not None:
                declined = declined or verdict
                followed += len(region.nodes)
            if followed > min(most, self.left_to_follow):
                break
        self.left_to_follow -= followed
        return best, declined

    def _verdict(self, region: Region) -> Construct | Declined | None:
        if single_node.applies(region):
            return single_node.judge(region)
        for rule in RULES:
            if verdict := judge(rule, region, self.meanings):
                return verdict
        return unknown_size.judge(region)

    def _is_candidate(self, y: gs.Variable) -> bool:
        read = bool(y.outputs) or y.name in self.outputs
        pooled = read and any(is_kind(y.dtype) for is_kind in (is_float, is_integer, is_byte))
        return (
            (pooled or any(map(_is_named, y.inputs)))
            and not is_constant(y, self.finder.constants)
            and not self._is_inside(y, self.lifted)
            and not any(id(node) in self.upsampling for node in y.inputs)
            and not _is_copy(y)
        )

    def _is_inside(self, y: gs.Variable, nodes: set[int]) -> bool:
        """Whether `y` is computed by `nodes` for them alone."""
        inside = bool(y.outputs) and all(id(node) in nodes for node in (*y.inputs, *y.outputs))
        return inside and y.name not in self.outputs


def _is_copy(y: gs.Variable) -> bool:
    """Whether `y` copies another tensor: pooling ends in that one."""
    return any(map(casts.is_copy, y.inputs))


def _is_named(node: gs.Node) -> bool:
    """Whether a node says by itself what it computes, with no region to look at."""
    kinds = (dialect_node, exporters_node, onnxruntime_pool)
    return any(kind.applies(node) for kind in kinds) and any(tensor.name for tensor in node.outputs)


def _is_explained(declined: Declined, constructs: list[Construct]) -> bool:
    """Whether a region is a construct with more around it, which need not be pooling.

    The power mean around a single node that is pooling in itself is worth a word all the same.
    """
    nodes = set(map(id, declined.region.nodes))
    powers = Role.POWER in declined.region.roles
    inner = (c for c in constructs if not (powers and c.best))
    return any(id(node) in nodes for construct in inner for node in construct.nodes)


def _pools_again(inner: Region, outer: Region) -> bool:
    """Whether what `outer` adds in front of `inner` pools an axis that `inner` pools."""
    known = set(map(id, inner.nodes))
    if all(node.op == "Transpose" for node in outer.nodes if id(node) not in known):
        return False
    first, second, last = shape_of(outer.x), shape_of(inner.x), shape_of(inner.y)
    if first is None or second is None or last is None:
        return False
    if not len(first) == len(second) == len(last):
        return False
    return any(a != b and b != c for a, b, c in zip(first, second, last, strict=True))
