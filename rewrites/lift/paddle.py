"""Adaptive pools that paddle2onnx writes as an op of Paddle's, where it is told to (`custom_ops`).

Paddle::AdaptivePool<pooling_type="avg", output_size=[N, C, H, W]>(X) = AdaptiveAveragePool<H, W>(X)

The name of the op is the user's choice; domain and attributes are the exporter's. `output_size` is
the whole shape of the output, -1 where it is open.

Source: PaddlePaddle/Paddle2ONNX, paddle2onnx/mapper/nn/pool2d.cc.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool, AdaptivePool, InvalidOp
from onnxpool.rewrites.lift.named_arguments import Meaning, check_input

DOMAIN = "Paddle"
_OPS: dict[str, type[AdaptivePool]] = {"avg": AdaptiveAveragePool, "max": AdaptiveMaxPool}


def applies(node: gs.Node) -> bool:
    return node.domain == DOMAIN and {"pooling_type", "output_size"} <= set(node.attrs)


def meaning(node: gs.Node, opset: int) -> Meaning:
    """What a node that `applies` computes.

    Raises:
        InvalidOp: that cannot be said.
    """
    check_input(node, node.op, 2)
    kind, shape = node.attrs["pooling_type"], list(node.attrs["output_size"])
    if kind not in _OPS:
        raise InvalidOp(f"its pooling_type is {kind!r}, wanted {' or '.join(_OPS)}")
    size = tuple(shape[-2:])
    if len(size) != 2 or min(size) < 1:
        raise InvalidOp(f"its output_size is {shape}, wanted a shape that ends in two sizes")
    return _OPS[kind](size), ()
