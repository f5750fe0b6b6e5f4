"""A level of a pyramid as it is brought to another plane, bilinearly.

Resize(L)      linear; its attribute says from which coordinates
W_1ᵀ L W_2     MatMuls with the weights of that, which `rewrite` writes for a few pixels
Expand(L)      one pixel, wherever the coordinates are
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Container
from fractions import Fraction

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array, is_confirmed
from onnxpool.ops.pyramid_upsample import MODES, neighbours
from onnxpool.rewrites.graph.constants import has_reference, is_standard
from onnxpool.rewrites.graph.run import RunError, known_value
from onnxpool.rewrites.graph.tensors import shape_of

_MOST_WEIGHTS = 2**20
"""Of a matrix that is looked at: of a few pixels to a plane they are far less."""
_ROUNDING = float(np.finfo(np.float32).eps)
"""By which a weight, at most 1, may be off: it is rounded, and the position that it is made of."""


@dataclasses.dataclass(frozen=True)
class UpsampledLevel:
    """Nodes that upsample a tensor, unless `trouble` says what they do besides.

    Attributes:
        level: the tensor as it is before.
        nodes: in the order in which they run.
        modes: the coordinate_transformation_modes that it may be.
    """

    level: gs.Tensor
    nodes: tuple[gs.Node, ...]
    modes: tuple[str, ...]

    def trouble(self, outputs: Container[str], opset: int) -> str:
        """What the nodes do besides bringing the level to another plane; else empty.

        Args:
            outputs: names of the outputs of the graph and of the bodies in it.
        """
        for node in self.nodes:
            (y,) = node.outputs
            title = f"{node.op} node {node.name or y.name!r}"
            if node.op == "Resize" and (what := _trouble_of_resize(node, opset)):
                return f"{title} {what}"
            if y.name in outputs or len(y.outputs) != 1:
                return f"something else reads what {title} makes"
        return ""


def read(y: gs.Tensor, opset: int) -> UpsampledLevel | None:
    """What `y` is upsampled from; None where it is not, by any of these nodes."""
    node = _maker(y)
    if node is None:
        return None
    if node.op == "Resize":
        return UpsampledLevel(node.inputs[0], (node,), (_mode(node),))
    return _of_one(node) if node.op == "Expand" else _of_products(y, opset)


def _maker(y: gs.Tensor) -> gs.Node | None:
    node = y.inputs[0] if y.inputs else None
    return node if node is not None and is_standard(node) else None


def _of_one(node: gs.Node) -> UpsampledLevel | None:
    x = node.inputs[0]
    is_one = (shape_of(x) or ())[2:] == (1, 1)
    return UpsampledLevel(x, (node,), MODES) if is_one and _keeps_leading_axes(node) else None


def _of_products(y: gs.Tensor, opset: int) -> UpsampledLevel | None:
    """Products with weights along the last two axes, one of each at most."""
    nodes: list[gs.Node] = []
    weights: dict[int, Array] = {}
    x = y
    while (node := _maker(x)) is not None and node.op == "MatMul":
        axis, source, matrix = _factors(node)
        values = _value(matrix, opset) if axis and axis not in weights else None
        if values is None:
            break
        weights[axis] = values.T if axis == 2 else values
        nodes.insert(0, node)
        x = source
    modes = tuple(m for m in MODES if all(_interpolates(w, m) for w in weights.values()))
    return UpsampledLevel(x, tuple(nodes), modes) if weights and modes else None


def _factors(node: gs.Node) -> tuple[int, gs.Tensor, gs.Tensor]:
    """The axis of a tensor of rank 4 that a MatMul goes along, or 0; that tensor; the matrix."""
    left, right = node.inputs
    for axis, x, matrix in ((2, right, left), (3, left, right)):
        ranks = [len(shape_of(tensor) or ()) for tensor in (x, matrix)]
        if ranks == [4, 2] and _is_small(matrix):
            return axis, x, matrix
    return 0, left, right


def _value(tensor: gs.Tensor, opset: int) -> Array | None:
    """The value of a constant; None of what is computed, or is not run to be known."""
    try:
        return known_value(tensor, opset)
    except RunError:
        return None


def _is_small(matrix: gs.Tensor) -> bool:
    sizes = [dim for dim in matrix.shape if isinstance(dim, int)]
    return len(sizes) == 2 and math.prod(sizes) <= _MOST_WEIGHTS


def _interpolates(weights: Array, mode: str) -> bool:
    """Whether ``(length, size)`` weights are those of linear interpolation."""
    length, size = weights.shape
    if not 0 < length <= size:
        return False
    below, above, share = neighbours(length, size, mode)
    expected = np.zeros(weights.shape)
    np.add.at(expected, (below, np.arange(size)), 1 - share)
    np.add.at(expected, (above, np.arange(size)), share)
    return bool(np.abs(weights - expected).max(initial=0.0) <= _ROUNDING)


def _trouble_of_resize(node: gs.Node, opset: int) -> str:
    if has_reference(node) or node.attrs.get("mode", "nearest") != "linear":
        return "does not interpolate linearly"
    if _mode(node) not in MODES:
        return f"has coordinates of its own, {_mode(node)}"
    if node.attrs.get("antialias", 0) or node.attrs.get("keep_aspect_ratio_policy", "stretch") != (
        "stretch"
    ):
        return "does more than interpolate between neighbours"
    if not _keeps_leading_axes(node):
        return "is not known to keep batch and channels"
    return _trouble_of_scales(node, opset)


def _trouble_of_scales(node: gs.Node, opset: int) -> str:
    """Where a Resize has scales, its coordinates follow from these, not from the lengths."""
    if len(node.inputs) < 3 or not node.inputs[2].name or _is_empty(node.inputs[2]):
        return ""
    scales = _value(node.inputs[2], opset)
    x, y = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    if scales is None or x is None or y is None:
        return "has scales that the graph computes"
    axes = node.attrs.get("axes", range(len(x)))
    for axis, scale in zip(axes, scales.tolist(), strict=False):
        length, size = x[axis], y[axis]
        if length == size and scale == 1:
            continue
        if not isinstance(length, int) or length * Fraction(scale) != size:
            return "has scales that do not give whole sizes, or of sizes not known"
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
