"""An average that leaves its padding out, by one that counts it.

AveragePool<pads>(X) = AveragePool<pads, count_include_pad = 1>(X) · (k / n)

k: positions of a window; n: those of them that are in X, which differ at the edge alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import numpy_type
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, y, attributes = node.inputs[0], node.outputs[0], dict(node.attrs)
    pads = list(attributes.get("pads", ()))
    if attributes.get("count_include_pad", 0) or not any(pads):
        raise Unsupported("it counts its padding, or has none")
    if attributes.get("ceil_mode", 0) or any(d != 1 for d in attributes.get("dilations", ())):
        raise Unsupported("its windows may hang over the edge (ceil_mode), or have gaps")
    known = [dim for tensor in (x, y) for dim in tensor.shape or (None,)]
    if x.dtype is None or not all(isinstance(dim, int) for dim in known):
        raise Unsupported("its sizes are known to the runtime alone")
    kernel = attributes["kernel_shape"]
    strides = attributes.get("strides") or [1] * len(kernel)
    factor = np.ones((1, 1))
    axes = zip(x.shape[2:], y.shape[2:], kernel, strides, pads, strict=False)
    for length, size, k, stride, pad in axes:
        starts = np.arange(size) * stride - pad
        inside = np.minimum(starts + k, length) - np.maximum(starts, 0)
        factor = factor[..., None] * (k / inside)
    counted = b.node("AveragePool", [x], y.shape, **{**attributes, "count_include_pad": 1})
    name = f"{node.name or y.name}_counted"
    factors = b.constant(name, factor.astype(numpy_type(x.dtype)))
    return b.outputs("Mul", [counted, factors], node.outputs)


PADDING_COUNTED = Replacement("an average of its padding too, and Mul", emit)
