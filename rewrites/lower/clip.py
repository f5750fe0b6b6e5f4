"""A lower clamp without Clip.

Clip(X, min) = Relu(X - min) + min
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.lower.builder import Builder
from onnxpool.rewrites.lower.standard import Replacement
from onnxpool.rewrites.lower.unsupported import Unsupported


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, *bounds = node.inputs
    if len(bounds) > 1 and bounds[1].name:
        raise Unsupported("it has an upper bound too")
    if not bounds or not bounds[0].name:
        raise Unsupported("it has no lower bound")
    above = b.elementwise("Relu", b.elementwise("Sub", x, bounds[0]))
    return [b.elementwise("Add", above, bounds[0])]


CLIP_BY_RELU = Replacement("Relu between shifts", emit)
