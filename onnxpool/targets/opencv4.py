"""OpenCV 4 DNN.

It reads a tensor of one axis as a column, shares memory between the parts of a Concat, and rounds
coordinates of Resize in one way; ``python -m tests.runtimes.ops opencv4`` shows what follows.
"""

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.legalize import (
    attribute_defaults,
    auto_pad,
    ceil_mode,
    kept_argument,
    line_as_plane,
    lp_pool,
    pad_by_axes,
    reduce_by_steps,
    softmax_of_rest,
    unsqueeze,
    vector_as_row,
    volume_pool,
)
from onnxpool.rewrites.legalize.padded_constant import (
    PADDED_CONSTANT,
    joins_constant_at_the_start,
)
from onnxpool.rewrites.legalize.resize import RESIZE_BY_MATMUL
from onnxpool.rewrites.legalize.upsample_from_one import UPSAMPLE_FROM_ONE
from onnxpool.rewrites.legalize.zeros_around import ZEROS_AROUND
from onnxpool.targets.conditions import (
    all_of,
    any_of,
    counts_padding,
    gives_indices,
    has_auto_pad,
    has_dilations,
    has_pads,
    is_cubic,
    is_depthwise_of_one,
    is_line,
    is_same_lower,
    is_volume,
    pads_negatively,
    pads_unevenly,
    slices_backwards,
    truncates,
    upsamples_from_one,
)
from onnxpool.targets.powers import FASTER_PRODUCTS
from onnxpool.targets.target import Limit, Target
from onnxpool.targets.tried import TRIED

_NOT_IMPORTED = (
    "And",
    "GRU",
    "GatherND",
    "GridSample",
    "Hardmax",
    "If",
    "IsNaN",
    "LpNormalization",
    "OneHot",
    "RoiAlign",
    "Trilu",
)

_OF_NO_VECTOR = (
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "MatMul",
    "Mean",
    "Mod",
    "Sum",
    "Tile",
    "Where",
)

_ROUNDING = {
    "align_corners": "round_prefer_ceil",
    "asymmetric": "floor",
    "half_pixel": "round_prefer_ceil",
    "pytorch_half_pixel": "round_prefer_ceil",
}
"""Per coordinate_transformation_mode, the nearest_mode that OpenCV takes, whatever it is told."""


def hangs_over_uneven_pads(node: gs.Node) -> bool:
    return bool(node.attrs.get("ceil_mode", 0)) and pads_unevenly(node)


def has_output_shape(node: gs.Node) -> bool:
    return "output_shape" in node.attrs


def resizes_more_than_the_plane(node: gs.Node) -> bool:
    """Whether a Resize is of anything else than the last two axes of four."""
    x, y = node.inputs[0].shape, node.outputs[0].shape
    return x is None or y is None or len(x) != 4 or list(x[:2]) != list(y[:2])


def resizes_elsewhere(node: gs.Node) -> bool:
    """Whether a Resize of a plane looks at other positions than OpenCV, or at other neighbours."""
    x, y = node.inputs[0].shape, node.outputs[0].shape
    if x is None or y is None or len(x) != len(y):
        return True
    mode = node.attrs.get("coordinate_transformation_mode", "half_pixel")
    plane = list(zip(x[2:], y[2:], strict=True))
    if mode == "pytorch_half_pixel" and any(size == 1 != length for length, size in plane):
        return True
    if mode != "align_corners" and _scales_to_a_fraction(node):
        return True
    if node.attrs.get("mode", "nearest") != "nearest":
        return mode not in _ROUNDING
    rounding = node.attrs.get("nearest_mode", "round_prefer_floor")
    if mode.endswith("half_pixel") and rounding == "round_prefer_floor":
        # Times a whole number, no position is in the middle of two.
        return any(size % length for length, size in plane)
    return bool(rounding != _ROUNDING.get(mode))


def _scales_to_a_fraction(node: gs.Node) -> bool:
    """Whether lengths times scales are rounded to sizes."""
    x, y = node.inputs[0].shape, node.outputs[0].shape
    if len(node.inputs) < 3 or not node.inputs[2].name:
        return False
    scales = known_value(node.inputs[2], 13)
    if scales is None or not scales.size:
        return scales is None
    return any(a * s != b for a, s, b in zip(x, scales.tolist(), y, strict=False))


OPENCV4 = Target(
    name="opencv4",
    runtime="OpenCV 4 DNN",
    tested="4.14.0",
    measured="2026-11-22",
    runs_on="server",
    opset=17,
    dynamic=False,
    limits=(
        Limit(
            ("AveragePool", "MaxPool"),
            "does not run on lines with auto_pad, and gives a wrong shape with uneven pads",
            when=all_of(is_line, any_of(has_auto_pad, pads_unevenly)),
            cure=line_as_plane.LINE_AS_PLANE,
        ),
        Limit(
            ("Conv",),
            "gives a wrong shape on lines with uneven pads",
            when=all_of(is_line, any_of(has_auto_pad, pads_unevenly)),
            cure=line_as_plane.LINE_AS_PLANE,
        ),
        Limit(
            ("ConvTranspose",),
            "does not run on lines",
            when=is_line,
            cure=line_as_plane.LINE_AS_PLANE,
        ),
        Limit(
            ("AveragePool", "Conv", "MaxPool"),
            "pads at the wrong side with auto_pad SAME_LOWER",
            when=is_same_lower,
            cure=auto_pad.EXPLICIT_PADS,
        ),
        Limit(
            ("AveragePool",),
            "does not count padding (count_include_pad)",
            when=counts_padding,
            cure=ZEROS_AROUND,
        ),
        Limit(
            ("AveragePool", "MaxPool"),
            "gives a wrong shape with ceil_mode and uneven pads",
            when=hangs_over_uneven_pads,
            cure=ceil_mode.PADS_AT_THE_END,
        ),
        Limit(
            ("Conv",),
            "by channel, with auto_pad, it gives garbage on one row or column",
            when=all_of(is_depthwise_of_one, has_auto_pad),
            cure=auto_pad.EXPLICIT_PADS,
        ),
        Limit(
            ("Conv",),
            "by channel, with pads, it gives garbage on one row or column",
            when=all_of(is_depthwise_of_one, has_pads),
            cure=ZEROS_AROUND,
        ),
        Limit(("ConvTranspose",), "does not run on volumes", when=is_volume),
        Limit(
            ("ConvTranspose",),
            "gives a wrong shape with dilations, uneven pads, auto_pad or output_shape",
            when=any_of(has_dilations, pads_unevenly, has_auto_pad, has_output_shape),
        ),
        Limit(
            ("GlobalAveragePool", "GlobalMaxPool"),
            "does not load for volumes",
            when=is_volume,
            cure=volume_pool.POOL_BY_PLANES,
        ),
        Limit(lp_pool.OPS, "does not load", cure=lp_pool.POWER_AVERAGE),
        Limit(
            reduce_by_steps.NO_IDENTITY_OF_ONE,
            "of one element it gives that element",
            when=reduce_by_steps.reduces_one_element,
            cure=reduce_by_steps.ELEMENT_BY_ELEMENT,
        ),
        Limit(
            reduce_by_steps.OPS,
            "over three axes it is wrong; with all axes named it ends the process",
            when=reduce_by_steps.reduces_many,
            cure=reduce_by_steps.REDUCE_BY_STEPS,
        ),
        Limit(
            vector_as_row.ARGUMENTS,
            "takes a tensor of one axis for a column",
            when=vector_as_row.is_of_vector,
            cure=vector_as_row.ARGUMENT_OF_ROW,
        ),
        Limit(
            kept_argument.OPS,
            "without keepdims, of a tensor of two axes, it may give garbage",
            when=kept_argument.gives_vector,
            cure=kept_argument.KEPT_ARGUMENT,
        ),
        Limit(
            softmax_of_rest.OPS,
            "goes along one axis, as from opset 13 on",
            when=softmax_of_rest.goes_along_rest,
            before=softmax_of_rest.ALONG_ONE_AXIS,
            cure=softmax_of_rest.SOFTMAX_OF_MATRIX,
        ),
        Limit(
            vector_as_row.ALONG,
            "takes a tensor of one axis for a column",
            when=vector_as_row.is_along_vector,
            cure=vector_as_row.ALONG_FIRST_AXIS,
        ),
        Limit(
            vector_as_row.BROADCASTING,
            "takes a tensor of one axis for a column",
            when=vector_as_row.reads_vector,
            cure=vector_as_row.VECTOR_AS_ROW,
        ),
        Limit(
            _OF_NO_VECTOR,
            "takes a tensor of one axis for a column",
            when=vector_as_row.reads_any_vector,
        ),
        Limit(
            ("Unsqueeze",),
            "adds one axis alone",
            when=unsqueeze.adds_several,
            cure=unsqueeze.UNSQUEEZE_BY_RESHAPE,
        ),
        Limit(
            ("Concat",),
            "may give garbage for a constant part",
            when=joins_constant_at_the_start,
            cure=PADDED_CONSTANT,
        ),
        Limit(("Pad",), "does not load with negative pads", when=pads_negatively),
        Limit(
            ("Pad",),
            "reflects and repeats edges on the last two of four axes alone",
            when=pad_by_axes.continues_elsewhere,
            cure=pad_by_axes.PAD_BY_AXES,
        ),
        Limit(
            ("Resize",), "from 1x1 it may not load", when=upsamples_from_one, cure=UPSAMPLE_FROM_ONE
        ),
        Limit(("Resize",), "cubic does not load", when=is_cubic, cure=RESIZE_BY_MATMUL),
        Limit(
            ("Resize",),
            "resizes the last two of four axes alone",
            when=resizes_more_than_the_plane,
            cure=RESIZE_BY_MATMUL,
        ),
        Limit(
            ("Resize",),
            "takes coordinates from the sizes and rounds them in a way of its own",
            when=resizes_elsewhere,
            cure=RESIZE_BY_MATMUL,
        ),
        Limit(
            ("Resize",),
            "does not load without mode or coordinate_transformation_mode",
            when=attribute_defaults.applies,
            cure=attribute_defaults.WRITTEN_OUT,
        ),
        Limit(("MaxPool",), "ignores dilations", when=has_dilations),
        Limit(("MaxPool",), "its indices cannot be read", when=gives_indices),
        Limit(("Slice",), "cannot step backwards", when=slices_backwards),
        Limit(("Cast",), "keeps the fraction of integers", when=truncates),
        Limit(_NOT_IMPORTED, "does not load"),
    ),
    faster=(FASTER_PRODUCTS,),
    driver="opencv",
    modules=("cv2",),
    version="4.",
    known_ops=TRIED,
    run="net = cv2.dnn.readNetFromONNX('model.onnx'); net.setInput(x, name); net.forward(outputs)",
    notes="integers are computed as floats",
)
