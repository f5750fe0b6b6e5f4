"""Every changed region is run before and after, and compared with its reference."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxpool.errors import CheckError
from onnxpool.inputs.values import draw, model_inputs
from onnxpool.model.file import ModelFile
from onnxpool.ops import AdaptiveMaxPool, GeMPool, PyramidPool
from onnxpool.ops.op import DOMAIN, Array, Shape
from onnxpool.rewrites.graph.cut import cut, needs_constants_alone, producers
from onnxpool.rewrites.graph.run import RunError, Runner, evaluate, kernels_missing
from onnxpool.rewrites.graph.tensors import is_float, numpy_type, onnx_type, shape_of
from onnxpool.rewrites.lift.construct import Construct
from onnxpool.rewrites.lower.function_body import is_body

Bodies = Sequence[onnx.FunctionProto]

_ROUNDINGS = 32
"""Roundings allowed besides those of the sum over a window, for powers, quotients and weights."""


@dataclasses.dataclass(frozen=True)
class Errors:
    """Greatest errors of a region against the float64 reference, relative to its output.

    `before` is None where nothing runs the region as it was, a node of the dialect without a body,
    or where it was wrong. `after` is the greater one of function body and kernel where a region
    has both.
    """

    before: float | None
    after: float


class Probe:
    """A construct as it was, ready to be compared with what takes its place."""

    def __init__(self, construct: Construct, opset: int, bodies: Bodies = ()) -> None:
        """Take what is needed from the graph before it changes.

        Args:
            bodies: the function bodies of dialect nodes.
        """
        self._construct = construct
        self._shape = shape_of(construct.x) or ()
        self._parameters = [
            evaluate(p, opset) if needs_constants_alone(p) else None for p in construct.parameters
        ]
        self._before: _Region | None = None
        if construct.repair is not None:
            return
        with contextlib.suppress(RunError):
            self._before = _Region(self._given(), [r.y for r in construct.found], opset, bodies)

    def compare(self, graph: gs.Graph, opset: int, bodies: Bodies = ()) -> Errors:
        """Run the region as it was, and as it is in `graph` now, on seeded random inputs.

        A node of the dialect is run by its body and, where the library is there, by its kernel.

        Raises:
            CheckError: the new region does not run, or is less accurate than rounding explains.
        """
        tensors = {t.name: t for node in graph.nodes for t in (*node.inputs, *node.outputs)}
        given = [tensors.get(tensor.name, tensor) for tensor in self._given()]
        outputs = [tensors.get(region.y.name, region.y) for region in self._construct.found]
        nodes = producers(outputs, {tensor.name for tensor in given})
        has_kernel = any(node.domain == DOMAIN for node in nodes) and not kernels_missing()
        errors = [
            self._compare(given, outputs, opset, bodies, kernels=kernels)
            for kernels in ([False, True] if has_kernel else [False])
        ]
        return Errors(errors[0].before, max(each.after for each in errors))

    def _compare(
        self,
        given: Sequence[gs.Tensor],
        outputs: Sequence[gs.Tensor],
        opset: int,
        bodies: Bodies,
        *,
        kernels: bool,
    ) -> Errors:
        title = f"the rewritten region of tensor {outputs[0].name!r}"
        title += " with the custom-op library" * kernels
        try:
            worst = self._worst(_Region(given, outputs, opset, bodies, kernels=kernels))
        except RunError as error:
            raise CheckError(f"{title} does not run: {error}; nothing was written") from error
        if not worst.after <= max(self._bound(), worst.before or 0.0):
            before = "" if worst.before is None else f", the input model by {worst.before:.2g}"
            raise CheckError(
                f"{title} is off by {worst.after:.2g} of its greatest output{before}; "
                "nothing was written"
            )
        return worst

    def _given(self) -> list[gs.Tensor]:
        """X, and the parameters that the graph computes: what the region is run on."""
        parameters = zip(self._construct.parameters, self._parameters, strict=True)
        return [self._construct.x, *(p for p, value in parameters if value is None)]

    def _worst(self, after: _Region) -> Errors:
        errors: list[Errors] = []
        for x, *drawn in self._inputs():
            rest = iter(drawn)
            parameters = [next(rest) if p is None else p for p in self._parameters]
            wanted = self._construct.op.reference(_double(x), *map(_double, parameters))
            regions = self._construct.regions
            used = [w for w, r in zip(wanted, regions, strict=False) if r is not None]
            before = _error(self._before, (x, *drawn), used) if self._before else None
            errors.append(Errors(before, _error(after, (x, *drawn), used)))
        known = [e.before for e in errors if e.before is not None]
        return Errors(max(known, default=None), max(e.after for e in errors))

    def _inputs(self) -> Iterator[tuple[Array, ...]]:
        rng = np.random.default_rng(0)
        op, dtype = self._construct.op, numpy_type(self._construct.x.dtype)
        least = 0.05 if isinstance(op, GeMPool) and op.epsilon is None else -1.0
        for shape in concrete_shapes(self._shape):
            x = rng.uniform(least, 1.0, shape).astype(dtype)
            if isinstance(op, GeMPool):
                (p,) = self._construct.parameters
                sizes = [d if isinstance(d, int) else 1 for d in p.shape or (1,)]
                drawn: Array = rng.uniform(2.0, 4.0, sizes).astype(dtype)
            else:
                drawn = rng.integers(1, 9, len(getattr(op, "output_size", ())))
            yield (x, drawn)[: len(self._given())]

    def _bound(self) -> float:
        op = self._construct.op
        if isinstance(op, AdaptiveMaxPool) or (isinstance(op, PyramidPool) and op.mode == "max"):
            return 0.0
        plane = math.prod(d for d in self._shape[2:] if isinstance(d, int))
        unit = _unit(self._construct.x)
        return (_ROUNDINGS + 4 * math.sqrt(plane)) * unit


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


class _Region:
    """A region that can be run: in its own dtype, or in float32 where kernels are missing."""

    def __init__(
        self,
        given: Sequence[gs.Tensor],
        outputs: Sequence[gs.Tensor],
        opset: int,
        bodies: Bodies = (),
        *,
        kernels: bool = False,
    ) -> None:
        self._given = given
        self._sized = _sized_alike(given, outputs)
        # Python has no way to feed ONNX Runtime a bfloat16.
        self._promote = any(onnx_type(t.dtype) == onnx.TensorProto.BFLOAT16 for t in given)
        inputs = (*given, *self._sized)
        model = cut(inputs, outputs, opset, bodies=bodies, promote=self._promote)
        try:
            self._runner = Runner(model, kernels=kernels)
        except RunError:
            self._promote = True
            self._runner = Runner(cut(inputs, outputs, opset, promote=True))

    def __call__(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Run on values for `given`, X first."""
        x = inputs[0]
        symbols = dict(zip(self._given[0].shape or (), x.shape, strict=False))
        shapes = ([symbols.get(d, d or 1) for d in t.shape or ()] for t in self._sized)
        sized = (np.zeros([d if isinstance(d, int) else 1 for d in shape]) for shape in shapes)
        tensors = (*self._given, *self._sized)
        values = zip(tensors, (*inputs, *sized), strict=True)
        return self._runner({t.name: v.astype(self._type(t)) for t, v in values})

    def _type(self, tensor: gs.Tensor) -> np.dtype[Any]:
        dtype = numpy_type(tensor.dtype)
        half = is_float(tensor.dtype) and dtype.itemsize == 2
        return np.dtype(np.float32) if half and self._promote else dtype


def _sized_alike(given: Sequence[gs.Tensor], outputs: Sequence[gs.Tensor]) -> list[gs.Tensor]:
    """Tensors beside the region of which it reads the shape: it has sizes of the same names."""
    names = {tensor.name for tensor in given}
    shapes = (node for node in producers(outputs, names) if node.op == "Shape")
    read = {node.inputs[0].name: node.inputs[0] for node in shapes}
    return [t for t in read.values() if t.name not in names and not _depends_on(t, names)]


def _depends_on(tensor: gs.Tensor, names: set[str]) -> bool:
    nodes = producers((tensor,), names)
    return any(t.name in names for node in nodes for t in node.inputs)


def _unit(tensor: gs.Tensor) -> float:
    """Half the distance from 1 to the next number of a floating-point type."""
    limits: Any = ml_dtypes.finfo(numpy_type(tensor.dtype))  # type: ignore[no-untyped-call]
    return float(limits.eps) / 2


def _double(values: Array) -> Array:
    return values if np.issubdtype(values.dtype, np.integer) else values.astype(np.float64)


def _error(region: _Region, inputs: Sequence[Array], wanted: Sequence[Array]) -> float:
    return max(_relative_error(y, w) for y, w in zip(region(inputs), wanted, strict=True))


def _relative_error(found: Array, wanted: Array) -> float:
    """The greatest difference as a share of the greatest value; integers must be equal."""
    wanted = wanted.reshape(found.shape)
    if np.issubdtype(found.dtype, np.integer):
        return 0.0 if np.array_equal(found, wanted) else math.inf
    largest = float(np.max(np.abs(wanted), initial=0.0)) or 1.0
    return float(np.max(np.abs(found.astype(np.float64) - wanted), initial=0.0)) / largest


def check_whole_model(before: str | os.PathLike[str] | onnx.ModelProto, after: ModelFile) -> None:
    """Run the whole model as it was and as it is now on seeded random inputs.

    Raises:
        CheckError: an output differs by more than 1e-3 (2e-2 in half precision) of its greatest
            value, or the model does not run, before or after.
    """
    folder = after.folder.model.parent
    source = before if isinstance(before, onnx.ModelProto) else os.fspath(before)
    inputs = _any_inputs(after.proto)
    try:
        old = Runner(source, folder)(inputs)
    except RunError as error:
        raise CheckError(
            "the model as it came does not run, so the whole of it cannot be compared; "
            f"--check regions compares what changed with its definition: {error}"
        ) from error
    has_kernels = any(map(is_body, after.proto.functions)) and not kernels_missing()
    try:
        results = [
            Runner(after.proto, folder, kernels=kernels)(inputs)
            for kernels in ([False, True] if has_kernels else [False])
        ]
    except RunError as error:
        raise CheckError(f"the whole model does not run: {error}; nothing was written") from error
    for new in results:
        _check_outputs([output.name for output in after.proto.graph.output], old, new)


def _check_outputs(names: Sequence[str], old: Sequence[Array], new: Sequence[Array]) -> None:
    for name, x, y in zip(names, old, new, strict=True):
        bound = 2e-2 if x.dtype.itemsize == 2 else 1e-3
        if not x.shape == y.shape or not _relative_error(y, x) <= bound:
            raise CheckError(
                f"output {name!r} of the whole model differs by {_relative_error(y, x):.2g} "
                "of its greatest value after the rewrite; nothing was written"
            )


def _any_inputs(model: onnx.ModelProto) -> dict[str, Array]:
    """Random values for the inputs; symbols stand for 2, and in the last two axes for 64."""
    inputs = model_inputs(model)
    shapes = [
        [
            dim if isinstance(dim, int) else 64 if axis >= max(2, len(dims) - 2) else 2
            for axis, dim in enumerate(dims)
        ]
        for dims in (i.dims or () for i in inputs)
    ]
    return draw(inputs, shapes, "normal", seed=0)


def concrete_shapes(x: Shape) -> Iterator[tuple[int, ...]]:
    """Shapes to run at: `x`; where sizes are not fixed, several with other numbers for them."""
    names = [dim if isinstance(dim, str) else axis for axis, dim in enumerate(x)]
    symbols = list(
        dict.fromkeys(n for n, d in zip(names, x, strict=True) if not isinstance(d, int))
    )
    sizes = (7, 13, 1, 4) if any(not isinstance(dim, int) for dim in x[2:]) else (2, 3)
    for i in range(len(sizes) if symbols else 1):
        number = {name: sizes[(i + j) % len(sizes)] for j, name in enumerate(symbols)}
        yield tuple(d if isinstance(d, int) else number[n] for n, d in zip(names, x, strict=True))
