"""Shape: `start` and `end` begin with opset 15.

Shape<start, end>(X)  =  Slice(Shape(X), start, end)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder

_BEHIND_EVERY_AXIS = 1 << 30


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    x, output = node.inputs[0], node.outputs[0]
    start, end = node.attrs.get("start", 0), node.attrs.get("end", _BEHIND_EVERY_AXIS)
    rank = None if x.shape is None else len(x.shape)
    int64 = np.dtype(np.int64)
    sizes = b.node("Shape", [x], (rank,), int64)
    if start == 0 and end == _BEHIND_EVERY_AXIS:
        return [sizes]
    bounds = [b.integers([bound]) for bound in (start, end, 0)]
    return [b.node("Slice", [sizes, *bounds], output.shape or (None,), int64)]
