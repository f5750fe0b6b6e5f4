"""LpPool and GlobalLpPool as an average of powers.

    LpPool<p>(X)       = (k · AveragePool(|X|^p))^(1/p)          k: positions of the kernel
    GlobalLpPool<p>(X) = (L · GlobalAveragePool(|X|^p))^(1/p)    L: positions of the plane

Padding is zeros, which count: count_include_pad.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement
from onnxpool.rewrites.lower.power import product

OPS = ("GlobalLpPool", "LpPool")


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, y = node.inputs[0], node.outputs[0]
    if x.shape is None or y.shape is None or x.dtype is None:
        raise Unsupported("the rank or the type of its input is not known")
    p = node.attrs.get("p", 2)
    power = _power(b, b.elementwise("Abs", x), p)
    if node.op == "GlobalLpPool":
        plane = x.shape[2:]
        if not all(isinstance(size, int) for size in plane):
            raise Unsupported("the number of positions is known to the runtime alone")
        count = math.prod(plane)
        mean = b.node("GlobalAveragePool", [power], y.shape)
    else:
        count = math.prod(node.attrs["kernel_shape"])
        mean = b.node("AveragePool", [power], y.shape, **_window(node))
    total = b.elementwise("Mul", mean, b.scalar(count, x.dtype))
    return [total if p == 1 else b.elementwise("Pow", total, b.scalar(1 / p, x.dtype))]


def _power(b: Builder, x: gs.Tensor, p: int) -> gs.Tensor:
    if p <= 2:
        return product(b, x, p)
    return b.elementwise("Pow", x, b.scalar(p, x.dtype))


def _window(node: gs.Node) -> dict[str, object]:
    attributes = {name: value for name, value in node.attrs.items() if name != "p"}
    if attributes.pop("ceil_mode", 0):
        raise Unsupported("its last windows may hang over the edge (ceil_mode)")
    if any(step > 1 for step in attributes.pop("dilations", ())):
        raise Unsupported("AveragePool has no dilations before opset 19")
    return {**attributes, "count_include_pad": 1}


POWER_AVERAGE = Replacement("powers around AveragePool", emit)
