"""Pools of ONNX Runtime's own (com.microsoft), which its optimiser writes: left, with a word.

QLinearAveragePool, QLinearGlobalAveragePool   of quantized values, with their scales
NhwcMaxPool                                    of quantized values, channels last
MaxpoolWithMask                                of what a mask lets through
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxpool.rewrites.lift.construct import Declined
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role

_DOMAIN = "com.microsoft"
_OPS = ("MaxpoolWithMask", "NhwcMaxPool", "QLinearAveragePool", "QLinearGlobalAveragePool")


def applies(node: gs.Node) -> bool:
    return node.domain == _DOMAIN and node.op in _OPS


def judge(node: gs.Node) -> Declined:
    """The verdict on a node that `applies`."""
    return Declined(
        Region(node.inputs[0], node.outputs[0], (node,), Role(0)),
        f"one {node.op} already, an op of ONNX Runtime's own",
    )
