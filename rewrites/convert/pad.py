"""Pad: which axes it pads is an input from opset 18 on; before, every axis has its pads.

Pad(X, pads, value, axes)  =  Pad(X, pads with 0 on the other axes, value)
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported

AXES_ARE_AN_INPUT = 18
WRAP = 19


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    if node.attrs.get("mode") == "wrap" and b.opset < WRAP:
        raise Unsupported(f"opset {b.opset} cannot wrap; that starts at opset {WRAP}")
    x, pads, *rest = node.inputs
    if len(rest) < 2 or not rest[1].name:
        return b.outputs("Pad", node.inputs[:3], node.outputs, **node.attrs)
    amounts, axes = known_value(pads, source), known_value(rest[1], source)
    if amounts is None or axes is None or x.shape is None:
        raise Unsupported("its pads, its axes or the rank of its input are not known")
    rank = len(x.shape)
    full = [0] * (2 * rank)
    for i, axis in enumerate(axes.tolist()):
        full[axis % rank] = int(amounts[i])
        full[rank + axis % rank] = int(amounts[len(axes) + i])
    return b.outputs("Pad", [x, b.integers(full), *rest[:1]], node.outputs, **node.attrs)
