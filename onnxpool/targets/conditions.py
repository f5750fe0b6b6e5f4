"""Conditions of `Limit.when` that several targets share: which nodes they are about."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxpool.rewrites.constants import is_float
from onnxpool.rewrites.lower import auto_pad, grouped_conv, sign_magnitude, upsample_from_one
from onnxpool.rewrites.lower.reduce_plane import reduced_axes

upsamples_from_one = upsample_from_one.applies
has_auto_pad = auto_pad.applies
has_groups = grouped_conv.applies
is_sign_times_magnitude = sign_magnitude.applies


def has_rank(rank: int, node: gs.Node) -> bool:
    """Whether the first input has this rank: 5 for volumes ``(N, C, D, H, W)``."""
    shape = node.inputs[0].shape
    return shape is not None and len(shape) == rank


def is_volume(node: gs.Node) -> bool:
    return has_rank(5, node)


def reduces_plane(node: gs.Node) -> bool:
    """Whether a reduction is over all axes behind the channels, of which there are several."""
    shape = node.inputs[0].shape
    axes = reduced_axes(node, 13)
    if shape is None or axes is None or not is_float(node.inputs[0].dtype):
        return False
    return sorted(axis % len(shape) for axis in axes) == list(range(2, len(shape)))


def reduces_several_axes(node: gs.Node) -> bool:
    axes = reduced_axes(node, 13)
    return axes is None or len(axes) > 1
