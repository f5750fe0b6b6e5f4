"""Upsample, and Resize of opset 10, as Resize of opset 11 on, which says how it samples.

Upsample<scales>(X)  =  Resize<asymmetric, floor>(X, , scales)

Where it shrinks, ONNX Runtime's Resize of opset 10 takes another neighbour than floor does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    x, *rest = node.inputs
    mode = node.attrs.get("mode", "nearest")
    if "scales" in node.attrs:
        values = np.asarray(node.attrs["scales"], np.float32)
        scales: gs.Tensor = b.constant("scales_" + "_".join(f"{s:g}" for s in values), values)
    else:
        scales = rest[0]
        known = known_value(scales, source)
        if mode == "nearest" and (known is None or np.any(known < 1)):
            raise Unsupported("it may shrink to the nearest element, which runtimes do differently")
    how = {"coordinate_transformation_mode": "asymmetric"}
    if mode == "nearest":
        how["nearest_mode"] = "floor"
    roi = b.constant("nothing", np.zeros(0, np.float32)) if b.opset < 13 else gs.Variable.empty()
    return b.outputs("Resize", [x, roi, scales], node.outputs, mode=mode, **how)
