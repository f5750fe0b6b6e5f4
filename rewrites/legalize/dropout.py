"""A Dropout that drops nothing, as what it reads.

Dropout(X) = X    where nothing trains it, and nobody reads its mask
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, *options = node.inputs
    trains = known_value(options[1], b.opset) if len(options) > 1 and options[1].name else False
    if trains is None or trains or node.attrs.get("is_test", 1) == 0:
        raise Unsupported("it may drop something")
    if b.wanted_outputs() > 1:
        raise Unsupported("its mask is used")
    return b.outputs("Identity", [x], node.outputs[:1])


NOTHING_DROPPED = Replacement("Identity, as it drops nothing", emit)
