"""PyramidUpsample: X beside the levels of its pyramid, each upsampled to its plane by a Resize.

    Concat(X, Resize(L_1), …)  =  PyramidUpsample(X, L_1, …)

The evidence: Concat joins channels of tensors of one plane only, so whatever sizes a Resize is
told, it has brought its level to the plane of X, or the model does not run. That it interpolates
linearly, from which coordinates, and that it keeps batch and channels, its attributes and its
shapes say.

A Concat is a pyramid's where two Resizes or more come from a pool: from a node of the dialect, with
nodes of one activation each between them, or from a plane of one element.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence
from fractions import Fraction

import onnx
import onnx_graphsurgeon as gs

from onnxpool.ops import POOLS, PyramidUpsample
from onnxpool.ops.op import DOMAIN, is_confirmed
from onnxpool.ops.pyramid_upsample import MODES
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.constants import has_reference, is_standard
from onnxpool.rewrites.graph.cut import needs_constants_alone
from onnxpool.rewrites.graph.replace import Emit
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.tensors import onnx_type, shape_of

MIN_OPSET = 12
"""Of function bodies; and Resize is what it is here from 11 on."""

_POOLS = frozenset(op.op_type() for op in POOLS)
_LEAST_LEVELS = 2
_MOST_BETWEEN = 8
"""Nodes between a pool and the Resize of its level: convolution, normalisation, activation."""


@dataclasses.dataclass(frozen=True)
class Upsampling:
    """A Concat that is a PyramidUpsample.

    Attributes:
        concat: the node.
        resizes: those of its levels.
        inputs: X, then the levels as they are before they are upsampled.
    """

    op: PyramidUpsample
    concat: gs.Node
    resizes: tuple[gs.Node, ...]
    inputs: tuple[gs.Tensor, ...]

    @property
    def emit(self) -> Emit:
        def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
            shape, attributes = node.outputs[0].shape, self.op.attributes()
            y = b.node(self.op.op_type(), self.inputs, shape, **attributes)
            y.inputs[0].domain = DOMAIN
            return [y]

        return emit


def judge(concat: gs.Node, outputs: Container[str], opset: int) -> Upsampling | str | None:
    """What a Concat is: the levels of a pyramid, or why not though it looks so; None: no pyramid.

    Args:
        concat: a node of a graph in which pools have become nodes of the dialect.
        outputs: names of the outputs of the graph and of the bodies in it.
    """
    if concat.op != "Concat" or not is_standard(concat) or opset < MIN_OPSET:
        return None
    makers = [tensor.inputs[0] if tensor.inputs else None for tensor in concat.inputs]
    resizes = [n for n in makers if n is not None and n.op == "Resize" and is_standard(n)]
    if sum(_is_level(node.inputs[0]) for node in resizes) < _LEAST_LEVELS:
        return None
    found = (_of_concat(concat), *(_of_resize(node, outputs, opset) for node in resizes))
    if why_not := next(filter(None, found), ""):
        return why_not
    modes = {_mode(node) for node in resizes}
    if len(modes) > 1:
        return f"its levels are upsampled in two ways, {' and '.join(sorted(modes))}"
    upsampled = {id(node) for node in resizes}
    sources = [
        node.inputs[0] if node is not None and id(node) in upsampled else tensor
        for node, tensor in zip(makers, concat.inputs, strict=True)
    ]
    position = next((i for i, node in enumerate(makers) if id(node) not in upsampled), None)
    if position is None:
        return "all that it joins is upsampled, so that none says by itself to which plane"
    op = PyramidUpsample(modes.pop(), position)
    inputs = (sources.pop(position), *sources)
    return Upsampling(op, concat, tuple(resizes), inputs)


def _is_level(tensor: gs.Tensor) -> bool:
    """Whether it comes from a pool, or has one element in a plane."""
    shape = shape_of(tensor)
    if shape is not None and len(shape) == 4 and shape[2:] == (1, 1):
        return True
    for _ in range(_MOST_BETWEEN):
        if not tensor.inputs:
            return False
        (node,) = tensor.inputs
        if node.domain == DOMAIN:
            return node.op in _POOLS
        computed = [t for t in node.inputs if t.name and not needs_constants_alone(t)]
        if len(computed) != 1:
            return False
        tensor = computed[0]
    return False


def _of_concat(concat: gs.Node) -> str:
    (y,) = concat.outputs
    if has_reference(concat) or y.shape is None or len(y.shape) != 4:
        return "what it joins is not known to be of rank 4"
    if concat.attrs.get("axis") not in (1, -3):
        return "it joins another axis than the channels"
    if onnx_type(y.dtype) not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
        return "ONNX Runtime resizes float32 and float16 only"
    return ""


def _of_resize(node: gs.Node, outputs: Container[str], opset: int) -> str:
    """What a Resize does besides bringing a level to another plane, bilinearly; else empty."""
    (y,) = node.outputs
    title = f"Resize node {node.name or y.name!r}"
    if has_reference(node) or node.attrs.get("mode", "nearest") != "linear":
        return f"{title} does not interpolate linearly"
    if _mode(node) not in MODES:
        return f"{title} has coordinates of its own, {_mode(node)}"
    if node.attrs.get("antialias", 0) or node.attrs.get("keep_aspect_ratio_policy", "stretch") != (
        "stretch"
    ):
        return f"{title} does more than interpolate between neighbours"
    if y.name in outputs or len(y.outputs) != 1:
        return f"something else reads what {title} makes"
    if not _keeps_leading_axes(node):
        return f"whether {title} keeps batch and channels is not known"
    return _of_scales(node, title, opset)


def _of_scales(node: gs.Node, title: str, opset: int) -> str:
    """Where a Resize has scales, its coordinates follow from these, not from the lengths."""
    if len(node.inputs) < 3 or not node.inputs[2].name or _is_empty(node.inputs[2]):
        return ""
    scales = known_value(node.inputs[2], opset)
    x, y = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    if scales is None or x is None or y is None:
        return f"{title} has scales that the graph computes"
    axes = node.attrs.get("axes", range(len(x)))
    for axis, scale in zip(axes, scales.tolist(), strict=False):
        length, size = x[axis], y[axis]
        if length == size and scale == 1:
            continue
        if not isinstance(length, int) or length * Fraction(scale) != size:
            return f"{title} has scales that do not give whole sizes, or of sizes not known"
    return ""


def _is_empty(tensor: gs.Tensor) -> bool:
    return isinstance(tensor, gs.Constant) and 0 in tensor.shape


def _mode(node: gs.Node) -> str:
    return str(node.attrs.get("coordinate_transformation_mode", "half_pixel"))


def _keeps_leading_axes(node: gs.Node) -> bool:
    x, y = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    if x is not None and len(x) == 4 and "axes" in node.attrs:
        return all(axis % 4 >= 2 for axis in node.attrs["axes"])
    if x is None or y is None or not len(x) == len(y) == 4:
        return False
    pairs = zip(x[:2], y[:2], strict=True)
    return all(a == b and (isinstance(a, int) or is_confirmed(a)) for a, b in pairs)
