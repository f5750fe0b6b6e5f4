"""Dropout: its ratio is an input from opset 12 on, with a training mode; an attribute before.

Dropout(X, ratio)  =  Dropout<ratio>(X)        (at inference: X, whatever the ratio)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported

RATIO_IS_AN_INPUT = 12


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    x, *rest = node.inputs
    ratio = node.attrs.get("ratio", 0.5)
    if rest and rest[0].name:
        value = known_value(rest[0], source)
        ratio = 0.5 if value is None else float(value)
    if len(rest) > 1 and rest[1].name:
        training = known_value(rest[1], source)
        if training is None or bool(training):
            raise Unsupported("it drops at inference too (training_mode)")
    if b.opset >= RATIO_IS_AN_INPUT:
        constant = b.scalar(ratio, np.float32)
        return b.outputs("Dropout", [x, constant], node.outputs)
    return b.outputs("Dropout", [x], node.outputs, ratio=ratio)
