"""Powers by products, or by the exponential and the logarithm."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder


def product(b: Builder, x: gs.Tensor, count: int) -> gs.Tensor:
    """`x` to the power of `count`, at least 1."""
    if count == 1:
        return x
    if count % 2:
        return b.elementwise("Mul", product(b, x, count - 1), x)
    half = product(b, x, count // 2)
    return b.elementwise("Mul", half, half)


def exp_log(b: Builder, x: gs.Tensor, p: gs.Tensor) -> gs.Tensor:
    """`x`, which is positive, to the power of `p`, which broadcasts to it."""
    return b.elementwise("Exp", b.elementwise("Mul", b.elementwise("Log", x), p))
