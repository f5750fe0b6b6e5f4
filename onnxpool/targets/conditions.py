"""Conditions of `Limit.when` that several targets share: which nodes they are about."""

from __future__ import annotations

from collections.abc import Callable

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.tensors import is_float, is_integer
from onnxpool.rewrites.legalize import (
    attribute_defaults,
    auto_pad,
    grouped_conv,
    pool_by_axes,
    power,
    sign_magnitude,
    upsample_from_one,
    zeros_around,
)
from onnxpool.rewrites.legalize.reduce_plane import reduced_axes

Condition = Callable[[gs.Node], bool]

upsamples_from_one = upsample_from_one.applies
has_auto_pad = auto_pad.applies
has_groups = grouped_conv.applies
counts_padding = zeros_around.counts_padding
is_sign_times_magnitude = sign_magnitude.applies
needs_logarithm_of_zero = power.needs_logarithm_of_zero


def has_rank(rank: int, node: gs.Node) -> bool:
    """Whether the first input has this rank: 5 for volumes ``(N, C, D, H, W)``."""
    shape = node.inputs[0].shape
    return shape is not None and len(shape) == rank


def is_volume(node: gs.Node) -> bool:
    return has_rank(5, node)


def is_of_planes(node: gs.Node) -> bool:
    return len(node.inputs[0].shape or ()) >= 4


def is_along_one(node: gs.Node) -> bool:
    """Whether a LogSoftmax goes along an axis of one element."""
    shape = node.inputs[0].shape
    return bool(shape) and shape[node.attrs.get("axis", -1)] == 1


def is_line(node: gs.Node) -> bool:
    """Whether the first input is ``(N, C, L)``."""
    return has_rank(3, node)


def is_volume_of_open_size(node: gs.Node) -> bool:
    """Whether the size of a volume, or its batch, is known to the runtime alone."""
    return is_volume(node) and any(not isinstance(dim, int) for dim in node.inputs[0].shape)


def lacks_kernel_of_volume(node: gs.Node) -> bool:
    return is_volume(node) and attribute_defaults.applies(node)


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


def has_ceil_mode(node: gs.Node) -> bool:
    return bool(node.attrs.get("ceil_mode", 0))


def pads_by_constant(node: gs.Node) -> bool:
    return bool(node.attrs.get("mode", "constant") == "constant")


def pads_by_reflection(node: gs.Node) -> bool:
    return bool(node.attrs.get("mode", "constant") == "reflect")


def pads_by_edge(node: gs.Node) -> bool:
    return bool(node.attrs.get("mode", "constant") == "edge")


def is_behind_slice(node: gs.Node) -> bool:
    return any(producer.op == "Slice" for producer in node.inputs[0].inputs)


def is_same_lower(node: gs.Node) -> bool:
    return bool(node.attrs.get("auto_pad") == "SAME_LOWER")


def slices_backwards(node: gs.Node) -> bool:
    steps = known_value(node.inputs[4], 13) if len(node.inputs) > 4 else None
    return steps is not None and bool((steps < 0).any())


def has_window_of(least: int) -> Condition:
    """Pooling windows of at least so many positions, as far as they are known."""

    def condition(node: gs.Node) -> bool:
        volume = pool_by_axes.window_volume(node)
        return volume is not None and volume >= least

    return condition


def leaves_padding_out(node: gs.Node) -> bool:
    """Whether an AveragePool at the edge averages what is there alone."""
    return bool(any(node.attrs.get("pads", ())) and not node.attrs.get("count_include_pad", 0))


def is_read_by(*ops: str) -> Condition:
    """Whether a node of these ops reads what it gives."""
    return lambda node: any(reader.op in ops for y in node.outputs for reader in y.outputs)


def is_read_by_none(node: gs.Node) -> bool:
    """Whether it is the last node before an output of the graph."""
    return not any(tensor.outputs for tensor in node.outputs)


def ends_in_one_number(node: gs.Node) -> bool:
    """Whether what it gives is an output of the graph, of one element and of no or one axis."""
    shapes = [tuple(y.shape) for y in node.outputs if y.shape is not None]
    return is_read_by_none(node) and any(shape in ((), (1,)) for shape in shapes)


def resizes_channels(node: gs.Node) -> bool:
    x, y = node.inputs[0].shape, node.outputs[0].shape
    return x is not None and y is not None and list(x[:2]) != list(y[:2])


def pads_unevenly(node: gs.Node) -> bool:
    pads = node.attrs.get("pads", ())
    k = len(pads) // 2
    return list(pads[:k]) != list(pads[k:])


def leaves_a_rest(node: gs.Node) -> bool:
    """Whether the windows of a pooling end before the (padded) input does."""
    kernel = node.attrs["kernel_shape"]
    lengths = (node.inputs[0].shape or ())[-len(kernel) :]
    strides = node.attrs.get("strides", [1] * len(kernel))
    pads = node.attrs.get("pads", [0] * 2 * len(kernel))
    totals = [a + b for a, b in zip(pads[: len(kernel)], pads[len(kernel) :], strict=True)]
    sizes = zip(lengths, kernel, strides, totals, strict=False)
    return any(isinstance(n, int) and (n + pad - k) % s for n, k, s, pad in sizes)


def is_no_number(node: gs.Node) -> bool:
    """Whether the second input is not one constant number."""
    value = known_value(node.inputs[1], 13)
    return value is None or value.size != 1


def steps_over(node: gs.Node) -> bool:
    """Whether a Slice has steps other than 1."""
    steps = known_value(node.inputs[4], 13) if len(node.inputs) > 4 else None
    return steps is not None and bool((steps != 1).any())


def gathers_a_vector(node: gs.Node) -> bool:
    return len(node.inputs[1].shape or ()) == 1


def gathers_a_table(node: gs.Node) -> bool:
    """Whether the indices are constant and have several axes."""
    indices = known_value(node.inputs[1], 13)
    return indices is not None and indices.ndim > 1


def gathers_several(node: gs.Node) -> bool:
    """Whether the indices have an axis of their own; one number takes an axis away."""
    return node.inputs[1].shape is None or len(node.inputs[1].shape) > 0


def is_linear_asymmetric(node: gs.Node) -> bool:
    mode = node.attrs.get("coordinate_transformation_mode", "half_pixel")
    return bool(mode == "asymmetric" and node.attrs.get("mode", "nearest") == "linear")


def is_linear_between_positions(node: gs.Node) -> bool:
    """Whether a linear Resize has corners aligned, or is by no whole ratio, along some axis."""
    x, y = node.inputs[0].shape, node.outputs[0].shape
    if node.attrs.get("mode", "nearest") != "linear" or x is None or y is None:
        return False
    lengths = [(a, b) for a, b in zip(x, y, strict=True) if a != b]
    if not all(isinstance(length, int) for pair in lengths for length in pair):
        return False
    aligned = node.attrs.get("coordinate_transformation_mode") == "align_corners"
    return any(aligned or (a % b and b % a) for a, b in lengths)


def has_constant_left(node: gs.Node) -> bool:
    """Whether the left factor of a MatMul is constant."""
    return known_value(node.inputs[0], 13) is not None


def resizes_to_computed(node: gs.Node) -> bool:
    """Whether the sizes of an output of Resize are known to the runtime alone."""
    y = node.outputs[0].shape
    return y is None or any(not isinstance(dim, int) for dim in y[2:])


def is_same_upper(node: gs.Node) -> bool:
    return bool(node.attrs.get("auto_pad") == "SAME_UPPER")


def pads_more_at_the_start(node: gs.Node) -> bool:
    pads = node.attrs.get("pads", ())
    k = len(pads) // 2
    return any(start > end for start, end in zip(pads[:k], pads[k:], strict=True))


def casts_floats(node: gs.Node) -> bool:
    return is_float(node.inputs[0].dtype)


def truncates(node: gs.Node) -> bool:
    """Whether a Cast makes integers of floats."""
    return is_float(node.inputs[0].dtype) and is_integer(node.attrs["to"])


def is_depthwise_of_one(node: gs.Node) -> bool:
    """Whether a Conv of each channel by itself has a plane of one row or one column."""
    plane = (node.inputs[0].shape or ())[2:]
    weights = node.inputs[1].shape
    return has_groups(node) and weights is not None and weights[1] == 1 and 1 in plane


def has_pads(node: gs.Node) -> bool:
    return any(node.attrs.get("pads", ()))


def pads_negatively(node: gs.Node) -> bool:
    """Whether a Pad takes away."""
    pads = known_value(node.inputs[1], 13) if len(node.inputs) > 1 else None
    return pads is not None and bool((pads < 0).any())


def all_of(*conditions: Condition) -> Condition:
    return lambda node: all(condition(node) for condition in conditions)


def any_of(*conditions: Condition) -> Condition:
    return lambda node: any(condition(node) for condition in conditions)
