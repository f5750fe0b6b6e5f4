"""Run a region whose windows the graph computes, at many sizes of its X.

Sizes of the inputs are chosen so that X has a wanted plane; what the graph computes of shapes is
then constant, and X is random.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import KEEP, Array
from onnxpool.ops.windows import windows
from onnxpool.rewrites.graph.cut import cut
from onnxpool.rewrites.graph.run import RunError, Runner
from onnxpool.rewrites.graph.tensors import shape_of
from onnxpool.rewrites.region.proof import run_type
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.size import SWEEP, Plane
from onnxpool.rewrites.region.trials import Trials

_LONG = 160
"""No window of a map that was traced smaller than this is cut short on an axis of this length."""
_MOST_ELEMENTS = 1 << 24
"""Of X. Volumes of many channels are not tried at every size."""
_SAME = 1e-4
"""Of the greatest value. A wrong window shows far above; only the proof decides."""


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One trial: `y` is None where the region fails."""

    plane: Plane
    x: Array
    y: Array | None


class Sweep:
    """A region, run at many sizes."""

    def __init__(self, region: Region, trials: Trials, opset: int) -> None:
        """Make it ready to run.

        Raises:
            RunError: it cannot be cut out, or no op pools an X of its rank.
        """
        self.region = region
        self._trials = trials
        self._operands = size_operands(region, trials)
        self._runner = Runner(cut((region.x, *self._operands), (region.y,), opset, promote=True))
        self._rank = len(shape_of(region.x) or ())
        if not 2 <= self._rank <= 5:
            raise RunError(f"X has rank {self._rank}")
        self.k = self._pooled_axes()
        self._rng = np.random.default_rng(0)

    def _pooled_axes(self) -> int:
        unbatched = self._rank in (2, 3, 4) and self._trials.is_open(self.region.x, 1)
        return self._rank - (1 if unbatched else 2)

    @functools.cached_property
    def runs(self) -> list[Run]:
        """All of `each_run`, and what is found to be worth a place among them later."""
        return list(self.each_run())

    def each_run(self) -> Iterator[Run]:
        """On random X, at the sizes of `SWEEP` that some size of the inputs gives X."""
        for length in SWEEP:
            plane = self.plane(length)
            shape = self.shape(plane)
            if shape is not None and math.prod(shape) > _MOST_ELEMENTS:
                return
            if run := self._random_run(plane):
                yield run

    def plane(self, length: int) -> Plane:
        shape = shape_of(self.region.x) or ()
        return tuple(
            length if self._trials.is_open(self.region.x, axis) or not isinstance(dim, int) else dim
            for axis, dim in enumerate(shape)
        )[-self.k :]

    def _random_run(self, plane: Plane) -> Run | None:
        shape = self.shape(plane)
        if shape is None:
            return None
        x = self._rng.uniform(0.1, 1.0, shape).astype(run_type(self.region))
        return Run(plane, x, self(plane, x))

    def shape(self, plane: Plane) -> tuple[int, ...] | None:
        sizes = self._trials.sizes_for(self.region.x, plane)
        return self._trials.shape(self.region.x, sizes) if sizes else None

    def __call__(self, plane: Plane, x: Array) -> Array | None:
        sizes = self._trials.sizes_for(self.region.x, plane)
        if sizes is None:
            return None
        try:
            values = self._trials.values(self._operands, sizes)
            given = zip((self.region.x, *self._operands), (x, *values), strict=True)
            (y,) = self._runner({tensor.name: value for tensor, value in given})
        except RunError:
            return None
        return y

    def whole_region(self) -> Region:
        """The region with the nodes that compute of shapes what it reads."""
        arithmetic = self._trials.producers(self._operands)
        nodes = {id(node): node for node in (*arithmetic, *self.region.nodes)}
        return dataclasses.replace(self.region, nodes=tuple(nodes.values()))

    @contextlib.contextmanager
    def specialised(self, run: Run) -> Iterator[Region]:
        """The region as an export at one size would have it: what depends on shapes is constant."""
        sizes = self._trials.sizes_for(self.region.x, run.plane)
        values = self._trials.values(self._operands, sizes or {})
        tensors: dict[str, gs.Tensor] = {
            t.name: gs.Constant(t.name, value)
            for t, value in zip(self._operands, values, strict=True)
        }
        region = self.region
        inner = [region.x, *(t for node in region.nodes for t in node.outputs)]
        tensors |= {t.name: gs.Variable(t.name, t.dtype) for t in inner if t.name}
        nodes = [_copy(node, tensors) for node in region.nodes]
        x, y = tensors[region.x.name], tensors[region.y.name]
        x.shape = list(run.x.shape)
        y.shape = [] if run.y is None else list(run.y.shape)
        try:
            yield Region(x, y, tuple(nodes), region.roles)
        finally:
            for node in nodes:
                node.inputs.clear()
                node.outputs.clear()

    def further_runs(self, size: tuple[int, ...], most: int) -> Iterator[Run]:
        """Larger planes and such that are not square, if the axes are right there one by one."""
        around = self._long_plane()
        if around is None:
            return
        known = {run.plane for run in self.runs}
        lengths = [list(self._lengths_to_try(around, *axis)) for axis in enumerate(size)]
        for plane in itertools.islice(itertools.product(*lengths), most):
            if plane not in known and (run := self._random_run(plane)):
                yield run

    def _lengths_to_try(self, around: Plane, axis: int, bins: int) -> Iterator[int]:
        """Lengths of an axis at which its windows are right, the other axes being long."""
        if not self._is_open(axis):
            yield around[axis]
        elif bins != KEEP:
            lengths = range(1, _LONG)
            yield from (n for n in lengths if self.is_right_along(around, axis, n, bins))

    def is_right_along(self, around: Plane, axis: int, length: int, bins: int) -> bool:
        """Whether the windows of an axis are right at a length, whatever the other axes do.

        Sums that were unrolled for short windows leave a part of long ones out. Where X is the
        same along the other axes, that is a factor, and a run on ones says which.
        """
        plane = (*around[:axis], length, *around[axis + 1 :])
        shape = self.shape(plane)
        if shape is None:
            return False
        values = np.random.default_rng(length).uniform(0.1, 1.0, length)
        along = np.moveaxis(values.reshape(length, *(1,) * (self.k - 1)), 0, axis)
        x = np.broadcast_to(along, shape).astype(run_type(self.region))
        found, ones = self(plane, x), self(plane, np.ones_like(x))
        if found is None or ones is None:
            return False
        means = [values[w.start : w.end].mean() for w in windows(length, bins)]
        return bool(np.allclose(np.moveaxis(found / ones, axis - self.k, -1), means, rtol=_SAME))

    def _long_plane(self) -> Plane | None:
        """A plane with long axes at which the region runs: odd windows fail at even lengths."""
        planes = (self.plane(length) for length in range(_LONG, SWEEP.stop, -1))
        return next((p for p in planes if (run := self._random_run(p)) and run.y is not None), None)

    def _is_open(self, axis: int) -> bool:
        return self.plane(1)[axis] != self.plane(2)[axis]

    def starts(self, plane: Plane, axis: int, size: tuple[int, ...]) -> list[int] | None:
        """The first position on `axis` that each window reads; None where the region fails."""
        shape = self.shape(plane)
        if shape is None:
            return None
        level = np.full(shape, 0.5, run_type(self.region))
        without = self(plane, level)
        if without is None:
            return None
        planes, length = math.prod(shape[: -self.k]), plane[axis]
        bins = [n if b == KEEP else b for n, b in zip(plane, size, strict=True)]
        read = np.zeros((length, bins[axis]), bool)
        for first in range(0, length, planes):
            x = level.reshape(planes, *plane).copy()
            positions = range(first, min(first + planes, length))
            for number, position in enumerate(positions):
                np.moveaxis(x[number], axis, 0)[position] = 1.0
            y = self(plane, x.reshape(shape))
            if y is None:
                return None
            changed = (np.abs(y - without) > _SAME / length).reshape(planes, *bins)
            others = tuple(a + 1 for a in range(self.k) if a != axis)
            read[first : first + len(positions)] = changed.any(axis=others)[: len(positions)]
        return [int(column.argmax()) if column.any() else -1 for column in read.T]


class Along:
    """At which lengths of its axes a region that averages is right, one axis at a time."""

    def __init__(
        self, region: Region, trials: Trials, output_size: tuple[int, ...], opset: int
    ) -> None:
        """Find a small plane at which it runs.

        Raises:
            RunError: it cannot be run.
        """
        # The nodes that compute of shapes are no part of what a sweep runs on.
        nodes = tuple(n for n in region.nodes if n.outputs[0].name not in trials.sizes)
        self._sweep = Sweep(dataclasses.replace(region, nodes=nodes), trials, opset)
        self._output_size = output_size
        self.k = self._sweep.k
        planes = (run.plane for run in self._sweep.each_run() if run.y is not None)
        around = next(planes, None)
        if around is None:
            raise RunError("it runs at no size")
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


def _copy(node: gs.Node, tensors: dict[str, gs.Tensor]) -> gs.Node:
    """A copy that is not equal to the node: graphsurgeon finds a tensor's readers by equality."""
    inputs = [tensors.get(tensor.name, tensor) for tensor in node.inputs]
    outputs = [tensors.get(tensor.name, tensor) for tensor in node.outputs]
    return gs.Node(
        node.op, f"{node.name}/onnxpool/trial", dict(node.attrs), inputs, outputs, node.domain
    )


def is_same(found: Array, wanted: Array) -> bool:
    """Whether they differ by less than a wrong window makes; Y may come without pooled axes."""
    if found.size != wanted.size:
        return False
    bound = _SAME * float(np.max(np.abs(wanted), initial=0.0))
    return bool(np.all(np.abs(found - wanted.reshape(found.shape)) <= bound))
