"""Gather of fixed positions as slices.

Gather<axis>(X, {i, j, …}) = Concat<axis>(X[i], X[j], …)        neighbours in one Slice
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

_MOST_SLICES = 64


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, indices = node.inputs
    axis = node.attrs.get("axis", 0)
    positions = known_value(indices, b.opset)
    if positions is None or positions.ndim != 1:
        raise Unsupported("its indices are computed, or no vector")
    if x.shape is None or not isinstance(x.shape[axis], int):
        raise Unsupported("the size that it gathers from is known to the runtime alone")
    axis %= len(x.shape)
    ranges = list(_ranges([int(i) % x.shape[axis] for i in positions]))
    if len(ranges) > _MOST_SLICES:
        raise Unsupported(f"it would take {len(ranges)} slices")
    return [b.concat([b.slice(x, axis, start, end) for start, end in ranges], axis)]


def _ranges(positions: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The positions as ranges (start, end), in their order."""
    start = end = positions[0]
    for position in positions:
        if position != end:
            yield start, end
            start = position
        end = position + 1
    yield start, end


GATHER_BY_SLICES = Replacement("slices", emit)
