"""Axes as an input (Reduce ops from opset 18, ReduceSum, Squeeze, Unsqueeze from 13) or attribute.

Op(X, axes)  =  Op<axes>(X)
Reduce<noop_with_empty_axes=1>(X, {})  =  X
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import AXES_ARE_AN_INPUT, Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported

_WITHOUT_REDUCTION_THE_INPUT = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd")


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    x = node.inputs[0]
    attributes = dict(node.attrs)
    axes = attributes.pop("axes", None)
    noop = attributes.pop("noop_with_empty_axes", 0)
    if len(node.inputs) > 1 and node.inputs[1].name:
        values = known_value(node.inputs[1], source)
        if values is None:
            raise Unsupported(f"its axes are computed, and opset {b.opset} wants them fixed")
        axes = values.tolist()
    if not axes:
        if noop:
            if node.op not in _WITHOUT_REDUCTION_THE_INPUT:
                raise Unsupported("it reduces no axis, which older opsets cannot say")
            return b.outputs("Identity", [x], node.outputs)
        return b.outputs(node.op, [x], node.outputs, **attributes)
    if b.opset >= AXES_ARE_AN_INPUT[node.op]:
        return b.outputs(node.op, [x, b.integers(axes)], node.outputs, **attributes)
    return b.outputs(node.op, [x], node.outputs, axes=list(axes), **attributes)
