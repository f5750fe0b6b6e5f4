"""Of several sizes at which a graph may have been traced, the one at which it is right.

A frozen graph computes what its source does at the size at which it was traced. So of two answers
to what its pools are, which stand for two traced sizes, that is true at whose size both agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onnxpool.errors import ArgumentError
from onnxpool.inputs.sizes import Axes, Shapes
from onnxpool.inputs.values import ModelInput, distributions, draw, model_inputs
from onnxpool.model.file import ModelFile
from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.run import RunError
from onnxpool.rewrites.region.size import Plane
from onnxpool.validation.pools_of_source import SourcePool, SourcePools, pools_here
from onnxpool.validation.runnable import DoesNotRun, is_same, values_of


def is_right_where(
    file: ModelFile, pools: SourcePools, planes: Sequence[tuple[SourcePool, Plane]], seed: int
) -> bool:
    """Whether the graph is right at a size where these pools of its source pool these planes."""
    inputs = model_inputs(file.proto)
    for shapes in _shapes(inputs, pools, planes):
        values = list(draw(inputs, shapes, distributions(inputs)[0], seed).values())
        try:
            if pools_here(pools.source, values, planes):
                return _is_right(file, pools, values)
        except DoesNotRun:
            continue
    return False


def _is_right(file: ModelFile, pools: SourcePools, values: Sequence[Array]) -> bool:
    """Raises:
    DoesNotRun: the source does not take the inputs.
    """
    wanted = pools.source.run(values)
    names = [output.name for output in file.proto.graph.output]
    try:
        found = values_of(file, names, values)
    except RunError:
        return False
    return len(wanted) == len(names) and all(map(is_same, found.values(), wanted))


def _shapes(
    inputs: Sequence[ModelInput], pools: SourcePools, planes: Sequence[tuple[SourcePool, Plane]]
) -> Iterator[Shapes]:
    """Shapes of the inputs that may give these planes, by the strides of the first run.

    A layer with a stride rounds its length up or down, so that several inputs give one plane.
    """
    try:
        axes = Axes.of(inputs, pools.source.example_shapes)
    except ArgumentError:
        return
    if not axes.swept:
        return
    first = [x.shape for x in pools.inputs]
    start = {
        dim: size
        for dims, shape in zip(axes.inputs, first, strict=True)
        for dim, size in zip(dims, shape, strict=True)
        if isinstance(dim, str)
    }
    for rounding in (0, -1, 1):
        point = dict(start)
        for pool, plane in planes:
            ends = [list(reversed(s)) for s in (axes.inputs[0], first[0], pool.planes[0], plane)]
            for dim, size, length, wanted in zip(*ends, strict=False):
                if dim in axes.swept:
                    stride = max(1, round(size / length))
                    point[dim] = max(1, wanted * stride + rounding * (stride - 1))
        yield axes.shapes(point)
