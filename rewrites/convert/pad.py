"""Pad: which axes it pads is an input from opset 18 on; before, every axis has its pads, which are
an attribute before opset 11.

Pad(X, pads, value, axes)  =  Pad(X, pads with 0 on the other axes, value)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.tensors import numpy_type
from onnxpool.rewrites.graph.unsupported import Unsupported

AXES_ARE_AN_INPUT = 18
WRAP = 19
PADS_ARE_AN_INPUT = 11


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    if node.attrs.get("mode") == "wrap" and b.opset < WRAP:
        raise Unsupported(f"opset {b.opset} cannot wrap; that starts at opset {WRAP}")
    if source < PADS_ARE_AN_INPUT:
        return _with_inputs(b, node)
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


def _with_inputs(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, mode = node.inputs[0], node.attrs.get("mode", "constant")
    inputs = [x, b.integers(node.attrs["pads"])]
    value = node.attrs.get("value", 0.0)
    if value:
        if x.dtype is None:
            raise Unsupported(f"the type of its input {x.name!r} is not known")
        inputs.append(b.constant(f"{value:g}", np.asarray(value, numpy_type(x.dtype))))
    return b.outputs("Pad", inputs, node.outputs, mode=mode)
