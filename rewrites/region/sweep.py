"""A region whose windows the graph computes of shapes, followed at many sizes of its X.

Sizes of the inputs are chosen so that X has a wanted plane; what the graph computes of shapes is
constant then, and the elements of Y are what `computation` says.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import KEEP, Array
from onnxpool.ops.windows import windows
from onnxpool.rewrites.graph.run import RunError
from onnxpool.rewrites.graph.tensors import is_float, is_integer, numpy_type, shape_of
from onnxpool.rewrites.region.computation import Constants, NeedsSize, compute
from onnxpool.rewrites.region.lengths import integers_of, lengths, squares_and_strips
from onnxpool.rewrites.region.proof import unit
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.size import SWEEP, Plane
from onnxpool.rewrites.region.terms import NOTHING, Impossible, NotUnderstood, Sums, Value
from onnxpool.rewrites.region.trials import Trials

_MOST_LENGTH = 160
"""Of an axis for which a right length is looked for."""
_ROUNDINGS = 64
"""Of a marginal weight, which is a sum of weights."""


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """Y at one size: `value` is None where the graph fails.

    Attributes:
        plane: the last axes of the op's X.
        dims: the shape of the op's X.
    """

    plane: Plane
    dims: tuple[int, ...]
    value: Value | None


class Sweep:
    """A region, at many sizes."""

    def __init__(
        self,
        region: Region,
        trials: Trials,
        constants: Constants,
        k: int | None = None,
        pooled: Sequence[int] | None = None,
    ) -> None:
        """Make it ready.

        Args:
            k: how many axes the plane has; by default that follows from which ones are open.
            pooled: the axes of the op's X that may be pooled; by default those of the plane.

        Raises:
            NotUnderstood: no op pools an X of its rank.
        """
        self.region = region
        self._trials = trials
        self._constants = constants
        self._operands = size_operands(region, trials)
        self._shape = region.op_x(shape_of(region.x) or ())
        self._rank = len(self._shape)
        if not 2 <= self._rank <= 5:
            raise NotUnderstood(f"X has rank {self._rank}")
        self.k = k or self._pooled_axes()
        self._pooled = range(self._rank - self.k, self._rank) if pooled is None else pooled
        self._known: dict[Plane, Run | None] = {}

    def _pooled_axes(self) -> int:
        unbatched = self._rank in (2, 3, 4) and self._follows_inputs(1)
        return self._rank - (1 if unbatched else 2)

    @functools.cached_property
    def runs(self) -> list[Run]:
        """Squares of every length of `SWEEP`, and what is found to be worth a place later.

        Raises:
            NotUnderstood: what a node does is not known.
        """
        return list(self.each_run())

    def each_run(self) -> Iterator[Run]:
        """At the squares of `SWEEP` that some size of the inputs gives X."""
        planes = dict.fromkeys(map(self.plane, SWEEP))
        yield from filter(None, map(self.at, planes))

    def deciding_runs(self, size: Sequence[int]) -> Iterator[Run]:
        """At the sizes at which the graph could change its mind; see `lengths`."""
        nodes = [*self.region.nodes, *self._trials.producers(self._operands)]
        numbers = integers_of(nodes, self.region.x, self._constants)
        axes = [
            lengths(numbers, [bins]) if self._is_open(axis) else [self.plane(1)[axis]]
            for axis, bins in enumerate(size)
        ]
        yield from filter(None, map(self.at, squares_and_strips(axes)))

    def _followed(self, run: Run) -> Plane:
        """The plane of a run, with one slice of the axes that are carried."""
        assert run.value is not None
        first = self._rank - self.k
        axes = enumerate(run.plane, start=first)
        return tuple(1 if axis in run.value.sizes else length for axis, length in axes)

    def plane(self, length: int) -> Plane:
        """The last axes of the op's X where all open ones are so long."""
        return tuple(
            length if self._follows_inputs(axis) or not isinstance(dim, int) else dim
            for axis, dim in enumerate(self._shape)
        )[-self.k :]

    def _follows_inputs(self, axis: int) -> bool:
        own = self.region.axis_of_x(axis)
        return own is not None and self._trials.is_open(self.region.x, own)

    def sizes_for(self, plane: Plane) -> Mapping[str, int] | None:
        """Sizes of the inputs at which the last axes of the op's X are `plane`."""
        return self._trials.sizes_for(self.region.x, self.region.lengths(plane))

    def at(self, plane: Plane) -> Run | None:
        """Y where the last axes of X are `plane`; None where no size of the inputs makes them so.

        Raises:
            NotUnderstood: what a node does is not known.
        """
        if plane not in self._known:
            self._known[plane] = self._run(plane)
        return self._known[plane]

    def _run(self, plane: Plane) -> Run | None:
        sizes = self.sizes_for(plane)
        own = None if sizes is None else self._trials.shape(self.region.x, sizes)
        if sizes is None or own is None:
            return None
        dims = self.region.op_x(own)
        try:
            values = self._trials.values(self._operands, sizes)
        except RunError:
            return Run(plane, dims, None)
        known = {t.name: value for t, value in zip(self._operands, values, strict=True)}
        lead = {axis for axis in range(self._rank - self.k) if self._follows_inputs(axis)}
        try:
            value = compute(
                self.region, dims, self._pooled, self._constants, known, must_carry=lead
            )
        except Impossible:
            return Run(plane, dims, None)
        except NeedsSize:
            raise NotUnderstood("it treats the parts of a batch of open size differently") from None
        return Run(plane, dims, value)

    def whole_region(self) -> Region:
        """The region with the nodes that compute of shapes what it reads."""
        arithmetic = self._trials.producers(self._operands)
        nodes = {id(node): node for node in (*arithmetic, *self.region.nodes)}
        return dataclasses.replace(self.region, nodes=tuple(nodes.values()))

    def further_runs(self, size: tuple[int, ...], most: int) -> Iterator[Run]:
        """Planes that are not square, if the axes are right there one by one."""
        around = next((run.plane for run in self.runs if run.value is not None), None)
        if around is None:
            return
        tried = [list(self._lengths_to_try(around, *axis)) for axis in enumerate(size)]
        for plane in itertools.islice(itertools.product(*tried), most):
            if run := self.at(plane):
                yield run

    def _lengths_to_try(self, around: Plane, axis: int, bins: int) -> Iterator[int]:
        """Lengths of an axis at which its windows are right, whatever the others do."""
        if not self._is_open(axis):
            yield around[axis]
        elif bins != KEEP:
            tried = range(1, _MOST_LENGTH)
            yield from (n for n in tried if self.is_right_along(around, axis, n, bins))

    def is_right_along(self, around: Plane, axis: int, length: int, bins: int) -> bool:
        """Whether the windows of an axis are right at a length, whatever the other axes do.

        Sums that were unrolled for short windows leave a part of long ones out. Along the other
        axes that is a factor of all weights.
        """
        # One size of an input may decide several axes: then they are as long as one another.
        planes = ((*around[:axis], length, *around[axis + 1 :]), self.plane(length))
        run = next(filter(None, map(self.at, planes)), None)
        if run is None or run.value is None or not isinstance(run.value.rows, Sums):
            return False
        rows, shape = run.value.each(), run.value.ids.shape
        if len(shape) != self._rank or shape[axis - self.k] != bins or not rows.is_linear.all():
            return False
        weights = _marginal(rows, self._followed(run), axis).reshape(*shape, length)
        wanted = np.zeros((bins, length))
        for row, window in zip(wanted, windows(length, bins), strict=True):
            row[window.start : window.end] = 1 / window.length
        totals = weights.sum(axis=-1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.moveaxis(weights / totals, axis - self.k - 1, -2)
        return bool(np.allclose(found, wanted, rtol=_ROUNDINGS * unit(self.region), atol=0))

    def _is_open(self, axis: int) -> bool:
        return self.plane(1)[axis] != self.plane(2)[axis]

    def starts(self, run: Run, axis: int, size: Sequence[int]) -> bool:
        """Whether each window of a run reads its first position on `axis` where it should."""
        assert run.value is not None
        rows, shape = run.value.rows.take(run.value.ids.reshape(-1)), run.value.ids.shape
        terms, plane = getattr(rows, "terms", None), self._followed(run)
        planes = [n if b == KEEP else b for n, b in zip(plane, size, strict=True)]
        length, bins = plane[axis], planes[axis]
        if terms is None or math.prod(shape[-self.k :]) != math.prod(planes):
            return False
        positions = np.where(terms == NOTHING, length, _along(terms, plane, axis))
        first = np.moveaxis(positions.min(axis=1).reshape(-1, *planes), axis + 1, -1)
        wanted = [window.start for window in windows(length, bins)]
        return bool((first == wanted).all())

    def is_even(self, run: Run, axis: int) -> bool:
        """Whether each window of a run is one stretch of an axis that weighs the same throughout.

        Windows of windows are not, though they may start where one window would.
        """
        assert run.value is not None
        rows = run.value.rows
        if not isinstance(rows, Sums):
            return True
        weights = _marginal(rows, self._followed(run), axis)
        there = weights != 0
        first, count = there.argmax(axis=1), there.sum(axis=1)
        last = weights.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
        whole = last - first + 1 == count
        mean = weights.sum(axis=1) / np.maximum(count, 1)
        off = np.where(there, np.abs(weights - mean[:, None]), 0).max(axis=1)
        alike = off <= _ROUNDINGS * unit(self.region) * np.abs(mean)
        return bool((whole & alike)[count > 0].all())


def _along(terms: Array, plane: Plane, axis: int) -> Array:
    """The position of terms on one axis of their plane."""
    return np.asarray(terms // math.prod(plane[axis + 1 :]) % plane[axis])


def _marginal(rows: Sums, plane: Plane, axis: int) -> Array:
    """``(n, L)``: per row, how much each position of an axis weighs."""
    length = plane[axis]
    there = rows.terms != NOTHING
    positions = np.where(there, _along(rows.terms, plane, axis), 0)
    keys = np.arange(len(rows))[:, None] * length + positions
    total = np.bincount(keys.reshape(-1), rows.weights.reshape(-1), len(rows) * length)
    return total.reshape(len(rows), length)


class Along:
    """At which lengths of its axes a region that averages is right, one axis at a time."""

    def __init__(
        self, region: Region, trials: Trials, output_size: tuple[int, ...], constants: Constants
    ) -> None:
        """Find a small plane at which it runs.

        Raises:
            NotUnderstood: it runs at none.
        """
        # The nodes that compute of shapes are no part of what a sweep follows.
        nodes = tuple(n for n in region.nodes if n.outputs[0].name not in trials.sizes)
        k, pooled = None, None
        if region.layout is not None:
            k, lead = len(output_size), len(region.layout.x) - len(output_size)
            pooled = [axis for axis, bins in enumerate(output_size, start=lead) if bins != KEEP]
        self._sweep = Sweep(dataclasses.replace(region, nodes=nodes), trials, constants, k, pooled)
        self._output_size = output_size
        self.k = self._sweep.k
        planes = (run.plane for run in self._sweep.each_run() if run.value is not None)
        around = next(planes, None)
        if around is None:
            raise NotUnderstood("it runs at no size")
        self._around = around
        self._known: dict[tuple[int, int], bool] = {}

    def is_right(self, axis: int, length: int) -> bool:
        bins = self._output_size[axis]
        if (axis, length) not in self._known:
            self._known[axis, length] = bins == KEEP or self._sweep.is_right_along(
                self._around, axis, length, bins
            )
        return self._known[axis, length]


def size_operands(region: Region, trials: Trials) -> tuple[gs.Tensor, ...]:
    """What the nodes of a region read that depends on shapes alone."""
    read = {t.name: t for node in region.nodes for t in node.inputs if t.name in trials.sizes}
    return tuple(read.values())


_DECIDING = frozenset(
    ["Ceil", "Equal", "Floor", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Range", "Round"]
)


def check_arithmetic(nodes: Iterable[gs.Node]) -> None:
    """Refuse size arithmetic whose rounding could decide what is right at sizes not tried.

    Raises:
        NotUnderstood: it is in half precision, or makes whole numbers of floating-point ones.
    """
    for node in nodes:
        read = [tensor for tensor in node.inputs if is_float(tensor.dtype)]
        made = [tensor for tensor in node.outputs if is_float(tensor.dtype)]
        if any(numpy_type(tensor.dtype).itemsize == 2 for tensor in (*read, *made)):
            raise NotUnderstood("its sizes are computed in half precision")
        decides = is_integer(node.outputs[0].dtype) or node.op in _DECIDING
        if read and decides and node.op not in ("Shape", "Size"):
            raise NotUnderstood("its sizes are rounded from floating-point numbers")


def shapes_of(runs: Iterable[Run]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The shapes of X and Y, where the graph runs."""
    return [(run.dims, run.value.shape) for run in runs if run.value is not None]
