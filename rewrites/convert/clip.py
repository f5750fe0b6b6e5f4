"""Clip: its bounds are inputs from opset 11 on, attributes before.

Clip<min, max>(X)  =  Clip(X, min, max)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import numpy_type
from onnxpool.rewrites.graph.unsupported import Unsupported


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    x = node.inputs[0]
    if x.dtype is None:
        raise Unsupported(f"the type of its input {x.name!r} is not known")
    dtype = numpy_type(x.dtype)
    bounds = [
        b.constant(f"{node.attrs[name]:g}", np.asarray(node.attrs[name], dtype))
        if name in node.attrs
        else gs.Variable.empty()
        for name in ("min", "max")
    ]
    return b.outputs("Clip", [x, *bounds], node.outputs)
