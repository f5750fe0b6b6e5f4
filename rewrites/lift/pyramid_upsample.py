"""PyramidUpsample: X beside the levels of its pyramid, each upsampled to its plane.

    Concat(X, Resize(L_1), …)  =  PyramidUpsample(X, L_1, …)

The evidence: Concat joins channels of tensors of one plane only, so whatever sizes a Resize is
told, it has brought its level to the plane of X, or the model does not run. That it interpolates
linearly, from which coordinates, and that it keeps batch and channels, is read off its attributes
and shapes, or off the weights of the products in its place (upsampled_level.py).

A Concat is a pyramid's where two of the upsampled tensors or more come from a pool, with nodes of
one activation each between them, or from a plane of one element.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Container, Iterator, Sequence

import onnx
import onnx_graphsurgeon as gs

from onnxpool.ops import PyramidUpsample
from onnxpool.ops.op import DOMAIN
from onnxpool.ops.pyramid_upsample import MODES
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.constants import has_reference, is_standard
from onnxpool.rewrites.graph.cut import needs_constants_alone
from onnxpool.rewrites.graph.replace import Emit
from onnxpool.rewrites.graph.tensors import onnx_type, shape_of
from onnxpool.rewrites.lift.upsampled_level import UpsampledLevel, read

MIN_OPSET = 12
"""Of function bodies; and Resize is what it is here from 11 on."""

_LEAST_LEVELS = 2
_MOST_BETWEEN = 8
"""Nodes between a pool and what upsamples its level: convolution, normalisation, activation."""


@dataclasses.dataclass(frozen=True)
class Upsampling:
    """A Concat that is a PyramidUpsample.

    Attributes:
        concat: the node.
        levels: how each of them is upsampled.
        inputs: X, then the levels as they are before they are upsampled.
    """

    op: PyramidUpsample
    concat: gs.Node
    levels: tuple[UpsampledLevel, ...]
    inputs: tuple[gs.Tensor, ...]

    @property
    def nodes(self) -> list[gs.Node]:
        """Those that upsample."""
        return [node for level in self.levels for node in level.nodes]

    @property
    def emit(self) -> Emit:
        def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
            shape, attributes = node.outputs[0].shape, self.op.attributes()
            y = b.node(self.op.op_type(), self.inputs, shape, **attributes)
            y.inputs[0].domain = DOMAIN
            return [y]

        return emit


def judge(
    concat: gs.Node, pooled: Collection[str], outputs: Container[str], opset: int
) -> Upsampling | str | None:
    """What a Concat is: the levels of a pyramid, or why not though it looks so; None: no pyramid.

    Args:
        concat: a node of a graph.
        pooled: names of the tensors that pools make.
        outputs: names of the outputs of the graph and of the bodies in it.
    """
    if concat.op != "Concat" or not is_standard(concat) or opset < MIN_OPSET:
        return None
    parts = [read(tensor, opset) for tensor in concat.inputs]
    levels = tuple(part for part in parts if part is not None)
    if sum(_is_level(each.level, pooled) for each in levels) < _LEAST_LEVELS:
        return None
    found = (_of_concat(concat), *(each.trouble(outputs, opset) for each in levels))
    if why_not := next(filter(None, found), ""):
        return why_not
    modes = [mode for mode in MODES if all(mode in each.modes for each in levels)]
    if not modes:
        ways = sorted({each.modes[0] for each in levels if len(each.modes) < len(MODES)})
        return f"its levels are upsampled in two ways, {' and '.join(ways)}"
    pairs = list(zip(parts, concat.inputs, strict=True))
    position = next((i for i, part in enumerate(parts) if part is None), None)
    if position is None:
        return "all that it joins is upsampled, so that none says by itself to which plane"
    sources = [tensor if part is None else part.level for part, tensor in pairs]
    inputs = (sources.pop(position), *sources)
    return Upsampling(PyramidUpsample(modes[0], position), concat, levels, inputs)


def products(graph: gs.Graph, opset: int) -> Iterator[gs.Node]:
    """The MatMuls that upsample what is joined with other upsampled tensors.

    An adaptive average to more windows than there are elements may have the same weights; there it
    is no pool.
    """
    for concat in graph.nodes:
        if (
            concat.op == "Concat"
            and is_standard(concat)
            and len(concat.outputs[0].shape or ()) == 4
        ):
            parts = [part for part in (read(t, opset) for t in concat.inputs) if part is not None]
            if len(parts) >= _LEAST_LEVELS:
                yield from (node for part in parts for node in part.nodes if node.op == "MatMul")


def _is_level(tensor: gs.Tensor, pooled: Collection[str]) -> bool:
    """Whether it comes from a pool, or has one element in a plane."""
    shape = shape_of(tensor)
    if shape is not None and len(shape) == 4 and shape[2:] == (1, 1):
        return True
    for _ in range(_MOST_BETWEEN + 1):
        if tensor.name in pooled:
            return True
        computed = [
            t
            for node in tensor.inputs
            for t in node.inputs
            if t.name and not needs_constants_alone(t)
        ]
        if len(computed) != 1:
            return False
        (tensor,) = computed
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
