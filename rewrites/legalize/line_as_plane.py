"""A pooling or convolution of lines as one of planes of one row.

Op(X) = Op(X as (N, C, 1, L)) as (N, C', L')        AveragePool, MaxPool, Conv, ConvTranspose
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

OPS = ("AveragePool", "Conv", "ConvTranspose", "MaxPool")

_OF_THE_ROW: dict[str, list[int]] = {
    "dilations": [1],
    "kernel_shape": [1],
    "output_padding": [0],
    "output_shape": [1],
    "strides": [1],
}


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, y = node.inputs[0], node.outputs[0]
    if x.shape is None or y.shape is None or len(x.shape) != 3:
        raise Unsupported("its input is no line")
    if len([tensor for tensor in node.outputs if tensor.name]) > 1:
        raise Unsupported("its indices are used")
    inputs = [b.unsqueeze(x, 2)]
    if len(node.inputs) > 1:
        inputs += [_with_row(b, node.inputs[1]), *node.inputs[2:]]
    shape = (*y.shape[:2], 1, y.shape[2])
    plane = b.node(node.op, inputs, shape, **_attributes(node))
    return [b.squeeze(plane, 2)]


def _with_row(b: Builder, weights: gs.Tensor) -> gs.Constant:
    values = known_value(weights, b.opset)
    if values is None:
        raise Unsupported("its weights are computed")
    return b.constant(f"{weights.name}_as_plane", values[:, :, None])


def _attributes(node: gs.Node) -> dict[str, Any]:
    attributes = dict(node.attrs)
    for name, of_the_row in _OF_THE_ROW.items():
        if name in attributes:
            attributes[name] = [*of_the_row, *attributes[name]]
    if "pads" in attributes:
        start, end = attributes["pads"]
        attributes["pads"] = [0, start, 0, end]
    return attributes


LINE_AS_PLANE = Replacement("an operation on planes of one row", emit)
