"""A Reshape that may make axes of no elements, where it makes none.

Reshape<allowzero = 1>(X, shape) = Reshape(X, shape)    where no size in shape is 0
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement


def applies(node: gs.Node) -> bool:
    return bool(node.attrs.get("allowzero", 0))


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    if not applies(node):
        raise Unsupported("it has no allowzero")
    x, shape = node.inputs
    sizes = known_value(shape, b.opset)
    if sizes is None or 0 in sizes:
        raise Unsupported("a size of it is 0, or may be")
    return b.outputs("Reshape", [x, shape], node.outputs)


WITHOUT_ALLOW_ZERO = Replacement("without allowzero", emit)
