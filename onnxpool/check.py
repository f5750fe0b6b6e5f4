"""Law 4: every changed region is run before and after, and compared with its reference."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxpool.errors import CheckError
from onnxpool.model_file import ModelFile
from onnxpool.ops import AdaptiveMaxPool, GeMPool, PyramidPool
from onnxpool.ops.op import Array
from onnxpool.rewrites.constants import numpy_type
from onnxpool.rewrites.cut import cut
from onnxpool.rewrites.lift.construct import Construct, shape_of
from onnxpool.rewrites.lift.proof import concrete_shapes
from onnxpool.rewrites.run import RunError, Runner, evaluate

_ROUNDINGS = 32
"""Roundings allowed besides those of the sum over a window, for powers, quotients and weights."""


@dataclasses.dataclass(frozen=True)
class Errors:
    """Greatest errors of a region against the float64 reference, relative to its output.

    `before` is None where nothing runs the region as it was: a node of the dialect.
    """

    before: float | None
    after: float


class Probe:
    """A construct as it was, ready to be compared with what takes its place."""

    def __init__(self, construct: Construct, opset: int) -> None:
        """Take what is needed from the graph before it changes."""
        self._construct = construct
        self._shape = shape_of(construct.x) or ()
        self._parameters = [evaluate(p, opset).astype(np.float64) for p in construct.parameters]
        self._before: _Region | None = None
        with contextlib.suppress(RunError):
            self._before = _Region(construct.x, [r.y for r in construct.found], opset)

    def compare(self, graph: gs.Graph, opset: int) -> Errors:
        """Run the region as it was, and as it is in `graph` now, on seeded random inputs.

        Raises:
            CheckError: the new region does not run, or is less accurate than rounding explains.
        """
        names = [region.y.name for region in self._construct.found]
        try:
            tensors = {t.name: t for node in graph.nodes for t in (*node.inputs, *node.outputs)}
            x, outputs = tensors[self._construct.x.name], [tensors[name] for name in names]
            worst = self._worst(_Region(x, outputs, opset))
        except (RunError, KeyError) as error:
            raise CheckError(
                f"the rewritten region of tensor {names[0]!r} does not run: {error}; "
                "nothing was written"
            ) from error
        if not worst.after <= max(self._bound(), worst.before or 0.0):
            before = "" if worst.before is None else f", the input model by {worst.before:.2g}"
            raise CheckError(
                f"the rewritten region of tensor {names[0]!r} is off by {worst.after:.2g} of its "
                f"greatest output{before}; nothing was written"
            )
        return worst

    def _worst(self, after: _Region) -> Errors:
        errors: list[Errors] = []
        for x in self._inputs():
            wanted = self._construct.op.reference(x.astype(np.float64), *self._parameters)
            regions = self._construct.regions
            used = [w for w, r in zip(wanted, regions, strict=False) if r is not None]
            before = _error(self._before, x, used) if self._before else None
            errors.append(Errors(before, _error(after, x, used)))
        known = [e.before for e in errors if e.before is not None]
        return Errors(max(known, default=None), max(e.after for e in errors))

    def _inputs(self) -> Iterator[Array]:
        rng = np.random.default_rng(0)
        op = self._construct.op
        least = 0.05 if isinstance(op, GeMPool) and op.epsilon is None else -1.0
        for shape in concrete_shapes(self._shape):
            yield rng.uniform(least, 1.0, shape).astype(numpy_type(self._construct.x.dtype))

    def _bound(self) -> float:
        op = self._construct.op
        if isinstance(op, AdaptiveMaxPool) or (isinstance(op, PyramidPool) and op.mode == "max"):
            return 0.0
        plane = math.prod(d for d in self._shape[2:] if isinstance(d, int))
        unit = float(np.finfo(numpy_type(self._construct.x.dtype)).eps) / 2
        return (_ROUNDINGS + 4 * math.sqrt(plane)) * unit


class _Region:
    """A region that can be run: in its own dtype, or in float32 where kernels are missing."""

    def __init__(self, x: gs.Tensor, outputs: Sequence[gs.Tensor], opset: int) -> None:
        self._name = x.name
        self._dtype = numpy_type(x.dtype)
        try:
            self._runner = Runner(cut((x,), outputs, opset))
        except RunError:
            self._dtype = np.dtype(np.float32)
            self._runner = Runner(cut((x,), outputs, opset, promote=True))

    def __call__(self, x: Array) -> tuple[Array, ...]:
        return self._runner({self._name: x.astype(self._dtype)})


def _error(region: _Region, x: Array, wanted: Sequence[Array]) -> float:
    return max(_relative_error(y, w) for y, w in zip(region(x), wanted, strict=True))


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
            value, or the model does not run.
    """
    folder = after.folder.model.parent
    source = before if isinstance(before, onnx.ModelProto) else os.fspath(before)
    inputs = _model_inputs(after.proto)
    try:
        old = Runner(source, folder)(inputs)
        new = Runner(after.proto, folder)(inputs)
    except RunError as error:
        raise CheckError(f"the whole model does not run: {error}; nothing was written") from error
    for output, x, y in zip(after.proto.graph.output, old, new, strict=True):
        bound = 2e-2 if x.dtype.itemsize == 2 else 1e-3
        if not x.shape == y.shape or not _relative_error(y, x) <= bound:
            raise CheckError(
                f"output {output.name!r} of the whole model differs by {_relative_error(y, x):.2g} "
                "of its greatest value after the rewrite; nothing was written"
            )


def _model_inputs(model: onnx.ModelProto) -> dict[str, Array]:
    """Random values for the inputs; symbols stand for 2, and in the last two axes for 64."""
    rng = np.random.default_rng(0)
    initialized = {tensor.name for tensor in model.graph.initializer}
    inputs: dict[str, Array] = {}
    for value in model.graph.input:
        if value.name in initialized:
            continue
        dims = value.type.tensor_type.shape.dim
        shape = [
            d.dim_value or (64 if i >= max(2, len(dims) - 2) else 2) for i, d in enumerate(dims)
        ]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        floats = np.issubdtype(dtype, np.floating)
        drawn = rng.standard_normal(shape) if floats else rng.integers(0, 2, shape)
        inputs[value.name] = drawn.astype(dtype)
    return inputs
