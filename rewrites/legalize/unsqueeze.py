"""Unsqueeze as Reshape, where the sizes are known.

Unsqueeze(X) = Reshape(X, the sizes of the output)
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement


def adds_several(node: gs.Node) -> bool:
    x, y = node.inputs[0].shape, node.outputs[0].shape
    return x is None or y is None or len(y) > len(x) + 1


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, y = node.inputs[0], node.outputs[0]
    if y.shape is None or sum(not isinstance(size, int) for size in y.shape) > 1:
        raise Unsupported("its sizes are known to the runtime alone")
    sizes = [size if isinstance(size, int) else -1 for size in y.shape]
    return [b.node("Reshape", [x, b.integers(sizes)], y.shape)]


UNSQUEEZE_BY_RESHAPE = Replacement("Reshape", emit)
