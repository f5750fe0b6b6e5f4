"""A Pad with zeros as zeros put before and behind, one axis after the other.

Pad<(b, e) on axis a>(X) = Concat<a>(zeros of length b, X, zeros of length e)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.tensors import numpy_type
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.pad_by_axes import pads_of
from onnxpool.rewrites.legalize.replacement import Replacement


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, pads = node.inputs[0], pads_of(node)
    if node.attrs.get("mode", "constant") != "constant" or not _is_of_zeros(node, b.opset):
        raise Unsupported("it pads with something else than zeros")
    if pads is None or (pads < 0).any():
        raise Unsupported("its pads are computed, negative, or for axes that are named")
    if not all(isinstance(dim, int) for dim in x.shape) or x.dtype is None:
        raise Unsupported("its sizes are known to the runtime alone")
    return [surrounded(b, x, pads.T.tolist(), 0)]


def surrounded(b: Builder, x: gs.Tensor, pads: Sequence[Sequence[int]], value: float) -> gs.Tensor:
    """X with so much of a value before and behind each axis; its sizes are known."""
    for axis, (start, end) in enumerate(pads):
        if start or end:
            first, last = (_filled(b, x, axis, length, value) for length in (start, end))
            x = b.concat([*first, x, *last], axis)
    return x


def _is_of_zeros(node: gs.Node, opset: int) -> bool:
    if len(node.inputs) < 3 or not node.inputs[2].name:
        return True
    value = known_value(node.inputs[2], opset)
    return value is not None and not value.any()


def _filled(b: Builder, x: gs.Tensor, axis: int, length: int, value: float) -> Sequence[gs.Tensor]:
    shape = list(x.shape)
    shape[axis] = length
    if not length:
        return []
    name = f"filled_{value:g}_{'_'.join(map(str, shape))}"
    return [b.constant(name, np.full(shape, value, numpy_type(x.dtype)))]


PAD_BY_CONCAT = Replacement("Concat with zeros", emit)
