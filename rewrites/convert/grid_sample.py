"""GridSample: two modes have other names from opset 20 on, which also adds volumes.

bilinear, bicubic (16)  =  linear, cubic (20)
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.unsupported import Unsupported

RENAMED = 20
_NEW_NAMES = {"bilinear": "linear", "bicubic": "cubic", "nearest": "nearest"}


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    if node.inputs[0].shape is None or len(node.inputs[0].shape) != 4:
        raise Unsupported(f"opset {min(b.opset, source)} has GridSample for 4-D input alone")
    names = _NEW_NAMES if b.opset >= RENAMED else {new: old for old, new in _NEW_NAMES.items()}
    default = "bilinear" if source < RENAMED else "linear"
    mode = names[node.attrs.get("mode", default)]
    return b.outputs("GridSample", node.inputs, node.outputs, **{**node.attrs, "mode": mode})
