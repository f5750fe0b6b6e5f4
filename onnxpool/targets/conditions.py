"""Conditions of `Limit.when` that several targets share: which nodes they are about."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxpool.rewrites.constants import is_float
from onnxpool.rewrites.lower import (
    auto_pad,
    grouped_conv,
    padded_average,
    sign_magnitude,
    upsample_from_one,
)
from onnxpool.rewrites.lower.reduce_plane import reduced_axes
from onnxpool.rewrites.run import known_value

upsamples_from_one = upsample_from_one.applies
has_auto_pad = auto_pad.applies
has_groups = grouped_conv.applies
counts_padding = padded_average.applies
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


def has_dilations(node: gs.Node) -> bool:
    return any(step > 1 for step in node.attrs.get("dilations", ()))


def is_cubic(node: gs.Node) -> bool:
    return bool(node.attrs.get("mode", "nearest") == "cubic")


def has_axes_attribute(node: gs.Node) -> bool:
    return "axes" in node.attrs


def gives_indices(node: gs.Node) -> bool:
    return len([tensor for tensor in node.outputs if tensor.name]) > 1


def is_same_lower(node: gs.Node) -> bool:
    return bool(node.attrs.get("auto_pad") == "SAME_LOWER")


def slices_backwards(node: gs.Node) -> bool:
    steps = known_value(node.inputs[4], 13) if len(node.inputs) > 4 else None
    return steps is not None and bool((steps < 0).any())
