"""Softmax, LogSoftmax, Hardmax: along one axis from opset 13 on; before, along all from one on.

Softmax13<axis>(X) = Softmax11<axis>(X)         where the axes behind `axis` have one element
                   = Transpose(Softmax11<-1>(Transpose(X)))        else: swap `axis` and the last
Softmax11<axis>(X) = Reshape(Softmax13<-1>(Flatten<axis>(X)), Shape(X))
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.unsupported import Unsupported

ALONG_ONE_AXIS = 13


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    x = node.inputs[0]
    if x.shape is None:
        raise Unsupported(f"the rank of its input {x.name!r} is not known")
    rank = len(x.shape)
    axis = node.attrs.get("axis", -1 if source >= ALONG_ONE_AXIS else 1) % max(rank, 1)
    if all(dim == 1 for dim in x.shape[axis + 1 :]):
        return b.outputs(node.op, [x], node.outputs, axis=axis)
    if b.opset >= ALONG_ONE_AXIS:
        flat = b.node("Flatten", [x], (None, None), axis=axis)
        soft = b.node(node.op, [flat], (None, None), axis=-1)
        sizes = b.node("Shape", [x], (rank,), np.dtype(np.int64))
        return [b.node("Reshape", [soft, sizes], x.shape)]
    swapped = b.swap(x, axis, rank - 1)
    return [b.swap(b.node(node.op, [swapped], swapped.shape, axis=rank - 1), axis, rank - 1)]
