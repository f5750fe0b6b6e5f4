"""Adaptive averages that mmdeploy leaves as an op of its own, for ncnn.

mmdeploy::AdaptiveAvgPool2d(X, size) = AdaptiveAveragePool<size>(X)

    mmdeploy::AdaptiveAvgPool2d       its rewriter of torch's adaptive_avg_pool2d
    mmdeploy::adaptive_avg_pool2d     the poses of mmpose

Source: open-mmlab/mmdeploy, pytorch/symbolics/adaptive_pool.py and
codebase/mmpose/core/ops/adaptive_avg_pool_ncnn.py.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxpool.ops import AdaptiveAveragePool
from onnxpool.rewrites.lift.named_arguments import Meaning, check_input, output_size

DOMAIN = "mmdeploy"
_OPS = ("AdaptiveAvgPool2d", "adaptive_avg_pool2d")


def applies(node: gs.Node) -> bool:
    return node.domain == DOMAIN and node.op in _OPS


def meaning(node: gs.Node, opset: int) -> Meaning:
    """What a node that `applies` computes.

    Raises:
        InvalidOp: that cannot be said.
    """
    check_input(node, node.op, 2)
    size, parameters = output_size(node, 2, opset)
    return AdaptiveAveragePool(size), parameters
