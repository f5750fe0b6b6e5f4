"""Compare a node with what takes its place."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.errors import CheckError
from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.cut import cut, needs_constants_alone
from onnxpool.rewrites.graph.run import RunError, Runner
from onnxpool.rewrites.graph.tensors import is_float, numpy_type

_ROUNDINGS = 32


class NodeProbe:
    """A node as it was, ready to be compared with what takes its place."""

    def __init__(self, node: gs.Node, reads: Sequence[gs.Tensor], opset: int) -> None:
        """Take what is needed from the graph before it changes.

        Args:
            reads: what it is computed from; its inputs, or tensors before them.
        """
        read = {t.name: t for t in reads if t.name and not needs_constants_alone(t)}
        self._given = list(read.values())
        self._outputs = [t.name for t in node.outputs if t.name]
        self._title = f"{node.op} node {node.name or self._outputs[0]!r}"
        self._before: _Node | None = None
        known = all(t.dtype is not None for t in (*self._given, *node.outputs) if t.name)
        if known and all(t.shape is not None for t in self._given):
            with contextlib.suppress(RunError):
                before = _Node(self._given, [t for t in node.outputs if t.name], opset)
                self._inputs = self._draw()
                self._wanted = before(self._inputs)
                self._before = before

    def compare(self, graph: gs.Graph, opset: int) -> float | None:
        """The greatest relative difference on random inputs; None if the node could not be run.

        Raises:
            CheckError: what is there now does not run, or differs by more than rounding explains.
        """
        if self._before is None:
            return None
        tensors = {t.name: t for node in graph.nodes for t in (*node.inputs, *node.outputs)}
        try:
            given = [tensors.get(t.name, t) for t in self._given]
            # An output that nobody reads may be gone.
            kept = [name for name in self._outputs if name in tensors]
            after = _Node(given, [tensors[name] for name in kept], opset)
            found = dict(zip(kept, after(self._inputs), strict=True))
        except RunError as error:
            raise CheckError(
                f"what takes the place of {self._title} does not run: {error}; nothing was written"
            ) from error
        pairs = zip(self._outputs, self._wanted, strict=True)
        worst = max((_difference(found[n], w) for n, w in pairs if n in found), default=0.0)
        if not worst <= self._bound():
            raise CheckError(
                f"what takes the place of {self._title} differs by {worst:.2g} of its greatest "
                "output; nothing was written"
            )
        return worst

    def _draw(self) -> list[Array]:
        """Values for the inputs: symbols that are equal get equal sizes."""
        rng = np.random.default_rng(0)
        sizes: dict[str, int] = {}
        drawn = []
        for tensor in self._given:
            dtype = numpy_type(tensor.dtype)
            dims = enumerate(tensor.shape or ())
            shape = [d if isinstance(d, int) else _size_of(d, axis, sizes) for axis, d in dims]
            if is_float(tensor.dtype):
                drawn.append(rng.uniform(-1, 1, shape).astype(dtype))
            else:
                drawn.append(np.asarray(rng.integers(1, 9, shape)).astype(dtype))
        return drawn

    def _bound(self) -> float:
        if not self._given or not is_float(self._given[0].dtype):
            return 0.0
        unit = _unit(self._given[0])
        return (_ROUNDINGS + 4 * math.sqrt(math.prod(self._inputs[0].shape[1:]))) * unit


class _Node:
    """A model of one node or what takes its place; in float32 where kernels are missing."""

    def __init__(
        self, given: Sequence[gs.Tensor], outputs: Sequence[gs.Tensor], opset: int
    ) -> None:
        self._given = given
        self._promote = False
        try:
            self._runner = Runner(cut(given, outputs, opset))
        except RunError:
            self._promote = True
            self._runner = Runner(cut(given, outputs, opset, promote=True))

    def __call__(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        halves = (is_float(t.dtype) and numpy_type(t.dtype).itemsize == 2 for t in self._given)
        values = (
            x.astype(np.float32) if half and self._promote else x
            for x, half in zip(inputs, halves, strict=True)
        )
        return self._runner(dict(zip([t.name for t in self._given], values, strict=True)))


def _size_of(dim: str | None, axis: int, sizes: dict[str, int]) -> int:
    """A number for a size that is not known: of the batch, the channels, or the plane."""
    number = 2 if axis < 2 else 6 + axis
    return number if dim is None else sizes.setdefault(dim, number)


def _difference(found: Array, wanted: Array) -> float:
    """As `_relative_error`; infinite where shapes differ, or NaNs are elsewhere."""
    if found.shape != wanted.shape:
        return math.inf
    if not np.issubdtype(wanted.dtype, np.number):
        return 0.0 if np.array_equal(found, wanted) else math.inf
    numbers = np.isfinite(wanted.astype(np.float64))
    if not np.array_equal(numbers, np.isfinite(found.astype(np.float64))):
        return math.inf
    return _relative_error(np.where(numbers, found, 0), np.where(numbers, wanted, 0))


def _unit(tensor: gs.Tensor) -> float:
    """Half the distance from 1 to the next number of a floating-point type."""
    limits: Any = ml_dtypes.finfo(numpy_type(tensor.dtype))  # type: ignore[no-untyped-call]
    return float(limits.eps) / 2


def _relative_error(found: Array, wanted: Array) -> float:
    """The greatest difference as a share of the greatest value; integers must be equal."""
    wanted = wanted.reshape(found.shape)
    if np.issubdtype(found.dtype, np.integer):
        return 0.0 if np.array_equal(found, wanted) else math.inf
    largest = float(np.max(np.abs(wanted), initial=0.0)) or 1.0
    return float(np.max(np.abs(found.astype(np.float64) - wanted), initial=0.0)) / largest
