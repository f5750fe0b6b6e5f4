"""A pooling of planes as two poolings of lines, whose windows are smaller.

    Pool<kh, kw>(X) = Pool<1, kw>(Pool<kh, 1>(X))

A maximum separates always; an average where no window sees padding, or padding counts as zeros.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import resized
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement
from onnxpool.rewrites.legalize.volume_pool import window_of

OPS = ("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool")

_NEUTRAL = {"kernel_shape": 1, "strides": 1, "dilations": 1}


def window_volume(node: gs.Node) -> int | None:
    """The number of positions that a window sees; None where the sizes are not known."""
    if node.op.startswith("Global"):
        sizes = (node.inputs[0].shape or (None,) * 3)[2:]
    else:
        sizes = node.attrs["kernel_shape"]
    return int(math.prod(sizes)) if all(isinstance(size, int) for size in sizes) else None


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, y = node.inputs[0], node.outputs[0]
    if x.shape is None or y.shape is None or len(x.shape) != 4:
        raise Unsupported("its input is not known to be a plane")
    if len(node.outputs) > 1:
        raise Unsupported("its indices are used")
    op, window = node.op.removeprefix("Global"), window_of(node)
    rows = b.node(op, [x], resized(x.shape, {2: y.shape[2]}), **_along(window, 0))
    return [b.node(op, [rows], y.shape, **_along(window, 1))]


def _along(window: dict[str, Any], axis: int) -> dict[str, Any]:
    """The attributes of the pooling along one axis of the plane."""
    part = dict(window)
    for name, one in _NEUTRAL.items():
        if name in part:
            part[name] = [size if i == axis else one for i, size in enumerate(part[name])]
    if "pads" in part:
        part["pads"] = [pad if i % 2 == axis else 0 for i, pad in enumerate(part["pads"])]
    return part


POOL_BY_AXES = Replacement("poolings of lines", emit)
