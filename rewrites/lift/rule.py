"""A rule: how one op of the dialect is recognised from what the elements of Y are.

`judge` applies a rule to a region at every size that decides what the region computes; a region
whose windows the graph computes of shapes is `dynamic`'s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np

from onnxpool.ops.op import KEEP, Array, Op, Shape
from onnxpool.rewrites.graph.contents import Contents
from onnxpool.rewrites.graph.run import RunError
from onnxpool.rewrites.graph.tensors import is_integer, onnx_type, shape_of
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.lift.single_node import is_pool
from onnxpool.rewrites.region.casts import rounding
from onnxpool.rewrites.region.computation import Constants, Dims, NeedsSize, compute
from onnxpool.rewrites.region.layout import readings
from onnxpool.rewrites.region.lengths import integers_of, lengths, squares_and_strips
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.size import in_words
from onnxpool.rewrites.region.terms import NotUnderstood, Value

Size = tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Meaning:
    """What a region is.

    Attributes:
        p: the exponents of a GeMPool.
    """

    op: Op
    p: Array | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Meaning) or self.op != other.op:
            return False
        if self.p is None or other.p is None:
            return self.p is other.p
        return np.array_equal(self.p, other.p)


@dataclasses.dataclass(frozen=True)
class Rule:
    """Attributes:
    title: what the op is, in words.
    applies: whether the roles of a region and the type of Y let it be that.
    output_size: the output size that the shapes of X and Y suggest.
    explain: what Y is, of X of these sizes and to this output size; or why it is not the op.
    construct: the region and its meaning as a construct.
    """

    title: str
    applies: Callable[[Region], bool]
    output_size: Callable[[Region], Size | None]
    explain: Callable[[Region, Value, Dims, Size], Meaning | str]
    construct: Callable[[Region, Meaning, Constants], Construct]


class Meanings:
    """What regions are, each that is like no other one followed once."""

    def __init__(self, constants: Constants, contents: Contents) -> None:
        self.constants = constants
        self._contents = contents
        self._known: dict[Hashable, Meaning | str] = {}

    def of(self, rule: Rule, region: Region, shape: Shape, size: Size) -> Meaning | str:
        """What a region is at every size; or why it is not what a rule knows.

        Raises:
            RunError: ONNX Runtime does not run what it reads.
        """
        key = self._key(rule, region, shape, size)
        if key in self._known:
            return self._known[key]
        try:
            found = _meaning(rule, region, shape, size, self.constants)
        except NotUnderstood as reason:
            found = str(reason)
        if key is not None:
            self._known[key] = found
        return found

    def _key(self, rule: Rule, region: Region, shape: Shape, size: Size) -> Hashable | None:
        """All that `_meaning` reads of its arguments, but for names."""
        content = self._contents.key(region.nodes, [region.x], [region.y])
        if content is None:
            return None
        lengths = tuple(dim if isinstance(dim, int) else None for dim in shape)
        types = onnx_type(region.x.dtype), onnx_type(region.y.dtype)
        pool = region.pool and (region.nodes.index(region.pool.node), region.pool.op)
        return rule.title, content, lengths, size, types, pool, region.layout


def judge(rule: Rule, region: Region, meanings: Meanings) -> Construct | Declined | None:
    """The verdict of a rule on a region that reads nothing but X and constants."""
    if not rule.applies(region):
        return None
    declined: Construct | Declined | None = None
    for reading, size in _readings(rule, region):
        verdict = _judge(rule, reading, size, meanings)
        if isinstance(verdict, Construct):
            return verdict
        declined = declined or verdict
    return None if _is_one_reduction(region) else declined


def _is_one_reduction(region: Region) -> bool:
    """Whether it is a mean or a maximum over one axis, wherever that stands: of channels, maybe."""
    others = [node for node in region.nodes if node.op != "Transpose"]
    return len(others) == 1 and is_pool(others[0]) and others[0].op.startswith("Reduce")


def _readings(rule: Rule, region: Region) -> Iterator[tuple[Region, Size]]:
    """The region with its axes as the op has them, then in other layouts."""
    x = shape_of(region.x)
    if x is not None and (size := rule.output_size(region)) is not None:
        yield region, size
    for layout, size in readings(x, shape_of(region.y)):
        yield dataclasses.replace(region, layout=layout), size


def _judge(
    rule: Rule, region: Region, size: Size, meanings: Meanings
) -> Construct | Declined | None:
    shape = region.op_x(shape_of(region.x) or ())
    try:
        found = rounding(region) or meanings.of(rule, region, shape, size)
    except RunError as error:
        found = f"onnxruntime does not run it: {error}"
    if isinstance(found, str):
        return Declined(region, f"it is not {rule.title}: {found}") if found else None
    return rule.construct(region, found, meanings.constants)


def _meaning(
    rule: Rule, region: Region, shape: Shape, size: Size, constants: Constants
) -> Meaning | str:
    """What the region is at every size; the sizes of open leading axes are tried if they count."""
    pooled = _not_carried(region, shape, size)
    chosen = {axis for axis in pooled if not isinstance(shape[axis], int)}
    while True:
        try:
            return _at_every_size(rule, region, shape, size, chosen, pooled | chosen, constants)
        except NeedsSize as reason:
            chosen.add(reason.axis)


def _at_every_size(
    rule: Rule,
    region: Region,
    shape: Shape,
    size: Size,
    chosen: set[int],
    pooled: set[int],
    constants: Constants,
) -> Meaning | str:
    found: Meaning | None = None
    for dims in _dims_to_try(region, shape, size, chosen, constants):
        value = compute(region, dims, pooled, constants)
        meaning = rule.explain(region, value, dims, size)
        if isinstance(meaning, Meaning) and found not in (None, meaning):
            meaning = "it is another one at other sizes"
        if isinstance(meaning, str):
            at = in_words([n for n in dims if n is not None])
            return f"{meaning}, at {at}" if chosen and meaning else meaning
        found = meaning
    assert found is not None
    return found


def _dims_to_try(
    region: Region, shape: Shape, size: Size, chosen: set[int], constants: Constants
) -> Iterator[Dims]:
    fixed = [dim if isinstance(dim, int) else None for dim in shape]
    axes = sorted(chosen)
    numbers = integers_of(region.nodes, region.x, constants) if axes else set()
    first = len(shape) - len(size)
    tried = [lengths(numbers, [size[axis - first]] if axis >= first else []) for axis in axes]
    for sizes in squares_and_strips(tried):
        chosen_sizes = dict(zip(axes, sizes, strict=True))
        yield [chosen_sizes.get(axis, dim) for axis, dim in enumerate(fixed)]


def _not_carried(region: Region, shape: Shape, size: Sequence[int]) -> set[int]:
    """The axes of X that are pooled; for indices, which count positions, those of the plane."""
    first = len(shape) - len(size)
    everything = is_integer(region.y.dtype)
    return {first + i for i, bins in enumerate(size) if bins != KEEP or everything}


def one_region(region: Region, meaning: Meaning, constants: Constants) -> Construct:
    """The construct of an op of one output and no parameters."""
    return Construct(meaning.op, (region,))
