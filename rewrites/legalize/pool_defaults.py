"""Pooling with its strides and pads written out.

Pool<kernel_shape>(X) = Pool<kernel_shape, strides=1, pads=0>(X)
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.legalize.replacement import Replacement

OPS = ("AveragePool", "LpPool", "MaxPool")


def applies(node: gs.Node) -> bool:
    """Whether strides or pads are left to their defaults."""
    padded_by_rule = node.attrs.get("auto_pad", "NOTSET") != "NOTSET"
    return "strides" not in node.attrs or ("pads" not in node.attrs and not padded_by_rule)


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    k = len(node.attrs["kernel_shape"])
    attributes = {"strides": [1] * k, **node.attrs}
    if attributes.get("auto_pad", "NOTSET") == "NOTSET":
        attributes.setdefault("pads", [0] * (2 * k))
    return b.outputs(node.op, node.inputs, node.outputs, **attributes)


STRIDES_AND_PADS = Replacement("strides and pads written out", emit)
