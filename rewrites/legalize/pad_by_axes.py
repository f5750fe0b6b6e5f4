"""Pad by reflection or of the edge, one axis after the other, in the middle of four.

    Pad<reflect, (b, e) on axis a>(X) = Pad<reflect, (b, e) on axis 2>(X as (1, M, L, N))

L: the length of axis a; M and N: all that is before and behind it. Axes are padded independently.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.tensors import resized
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

MODES = ("reflect", "edge")


def pads_of(node: gs.Node) -> Array | None:
    """What a Pad adds, ``(2, rank)``: at the start and at the end of each axis."""
    shape = node.inputs[0].shape
    if shape is None or (len(node.inputs) > 3 and node.inputs[3].name):
        return None
    pads = known_value(node.inputs[1], 13) if len(node.inputs) > 1 else None
    return None if pads is None else pads.reshape(2, len(shape))


def continues_elsewhere(node: gs.Node) -> bool:
    """Whether it reflects or repeats an edge, and not on the last two of four axes alone."""
    if node.attrs.get("mode", "constant") not in MODES:
        return False
    pads = pads_of(node)
    return pads is None or pads.shape[1] != 4 or bool(pads[:, :2].any())


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, pads, mode = node.inputs[0], pads_of(node), node.attrs.get("mode", "constant")
    if mode not in MODES:
        raise Unsupported("it pads with a value")
    if pads is None or (pads < 0).any():
        raise Unsupported("its pads are computed, negative, or for axes that are named")
    if not all(isinstance(dim, int) for dim in x.shape):
        raise Unsupported("its sizes are known to the runtime alone")
    for axis, (start, end) in enumerate(pads.T.tolist()):
        if start or end:
            x = _pad_axis(b, x, axis, (start, end), mode)
    return [x]


def _pad_axis(b: Builder, x: gs.Tensor, axis: int, pads: tuple[int, int], mode: str) -> gs.Variable:
    sizes, (start, end) = [int(size) for size in x.shape], pads
    middle = (1, math.prod(sizes[:axis]), sizes[axis], math.prod(sizes[axis + 1 :]))
    x4 = b.node("Reshape", [x, b.integers(middle)], middle)
    sizes[axis] += start + end
    amounts = b.integers([0, 0, start, 0, 0, 0, end, 0])
    padded = b.node("Pad", [x4, amounts], resized(middle, {2: sizes[axis]}), mode=mode)
    return b.node("Reshape", [padded, b.integers(sizes)], tuple(sizes))


PAD_BY_AXES = Replacement("pads of one axis at a time", emit)
