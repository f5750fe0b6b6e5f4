"""Slice: its bounds are inputs from opset 10 on, attributes before.

Slice<starts, ends, axes>(X)  =  Slice(X, starts, ends, axes)
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    starts, ends = node.attrs["starts"], node.attrs["ends"]
    axes = node.attrs.get("axes", list(range(len(starts))))
    bounds = [b.integers(values) for values in (starts, ends, axes)]
    return b.outputs("Slice", [node.inputs[0], *bounds], node.outputs)
