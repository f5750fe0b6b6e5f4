"""TopK: its k is an input from opset 10 on, an attribute before.

TopK<k>(X)  =  TopK(X, k)
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    attributes = {name: value for name, value in node.attrs.items() if name != "k"}
    k = b.integers([node.attrs["k"]])
    return b.outputs("TopK", [node.inputs[0], k], node.outputs, **attributes)
