"""Flatten as Reshape.

Flatten<axis>(X) = Reshape(X, {d_0·…·d_(axis-1), d_axis·…·d_(n-1)})        d: the sizes of X
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x = node.inputs[0]
    if x.shape is None or not all(isinstance(dim, int) for dim in x.shape):
        raise Unsupported("its sizes are known to the runtime alone")
    axis = node.attrs.get("axis", 1)
    axis = axis + len(x.shape) if axis < 0 else axis
    shape = (math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
    return [b.node("Reshape", [x, b.integers(shape)], shape)]


FLATTEN_BY_RESHAPE = Replacement("Reshape", emit)
