"""Resize of a few pixels to more as products, which cost less in ONNX Runtime.

By benchmarks/upsampling.py (docs/performance.md) 0.15 to 0.8 of the time. Of one pixel they cost
little more than Expand, which tract fails to move behind a convolution. Halves, which ONNX Runtime
multiplies slowly, stay.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import is_half
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize import resize
from onnxpool.rewrites.legalize.replacement import Replacement

MOST_PIXELS = 144


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, y = node.inputs[0], node.outputs[0]
    if is_half(x.dtype):
        raise Unsupported("products of halves are slow")
    plane, enlarged = ((tensor.shape or ())[2:] for tensor in (x, y))
    if not all(isinstance(dim, int) for dim in (*plane, *enlarged)):
        raise Unsupported("it resizes from or to sizes that only the runtime knows")
    if math.prod(plane) > MOST_PIXELS or any(map(operator.gt, plane, enlarged)):
        raise Unsupported("it has more than a few pixels, or makes less of them")
    return resize.emit(b, node)


FEW_PIXELS = Replacement("MatMul with constant weights", emit)
