"""A grouped Conv as one Conv per group.

    Conv<group=g>(X, W, B) = Concat(Conv(X_1, W_1, B_1), …, Conv(X_g, W_g, B_g))

X_i is the i-th of g equal blocks of channels of X; W_i and B_i are blocks of output channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.tensors import resized
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement


def applies(node: gs.Node) -> bool:
    return bool(node.attrs.get("group", 1) > 1)


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, w, *bias = node.inputs
    y, groups = node.outputs[0], node.attrs["group"]
    weights = known_value(w, b.opset)
    if weights is None:
        raise Unsupported("its weights are computed")
    if y.shape is None:
        raise Unsupported("the rank of its output is not known")
    biases = known_value(bias[0], b.opset) if bias and bias[0].name else None
    if bias and bias[0].name and biases is None:
        raise Unsupported("its bias is computed")
    channels, features = weights.shape[1], weights.shape[0] // groups
    attributes = {name: value for name, value in node.attrs.items() if name != "group"}
    parts = []
    for group in range(groups):
        block = slice(group * features, (group + 1) * features)
        part = b.slice(x, 1, group * channels, (group + 1) * channels)
        constants = [b.constant(f"{w.name}_{group}", weights[block])]
        if biases is not None:
            constants.append(b.constant(f"{bias[0].name}_{group}", biases[block]))
        shape = resized(y.shape, {1: features})
        parts.append(b.node("Conv", [part, *constants], shape, y.dtype, **attributes))
    return [b.concat(parts, 1)]


CONV_PER_GROUP = Replacement("a Conv per group", emit)
