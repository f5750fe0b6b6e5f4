"""What PyTorch writes around the root of `lp_pool`, as what it is.

Mul(Sign(X), Relu(Abs(X))) = X
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement


def applies(node: gs.Node) -> bool:
    """Whether a Mul is the product of the sign and the magnitude of one tensor."""
    return _source(node) is not None


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x = _source(node)
    if x is None:
        raise Unsupported("it is not the product of a sign and a magnitude")
    return b.outputs("Identity", [x], node.outputs)


def _reads(node: gs.Node) -> Sequence[gs.Tensor]:
    x = _source(node)
    return list(node.inputs) if x is None else [x]


def _source(node: gs.Node) -> gs.Tensor | None:
    if node.op != "Mul":
        return None
    for sign, magnitude in (node.inputs, reversed(node.inputs)):
        x = _behind(sign, "Sign")
        if x is not None and x is _behind(_behind(magnitude, "Relu"), "Abs"):
            return x
    return None


def _behind(tensor: gs.Tensor | None, op: str) -> gs.Tensor | None:
    """The input of the node `op` that computes `tensor`, if it does."""
    producers = tensor.inputs if tensor is not None else []
    return producers[0].inputs[0] if producers and producers[0].op == op else None


MAGNITUDE_WITH_SIGN = Replacement("what its factors are made of", emit, _reads)
