"""`auto_pad` as explicit pads: AveragePool, MaxPool, LpPool, Conv.

    Op<auto_pad=VALID>       = Op<pads=0>
    Op<auto_pad=SAME_UPPER>  = Op<pads=start, end>
    start + end = max((⌈L/s⌉ - 1)·s + (k - 1)·d + 1 - L, 0)

The end has the odd one; with SAME_LOWER the start. k, s, d: kernel, stride, dilation.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

OPS = ("AveragePool", "Conv", "LpPool", "MaxPool")


def applies(node: gs.Node) -> bool:
    return str(node.attrs.get("auto_pad", "NOTSET")) != "NOTSET"


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    attributes = dict(node.attrs)
    mode = attributes.pop("auto_pad")
    kernel = _kernel(node)
    valid = mode == "VALID"
    attributes["pads"] = [0] * (2 * len(kernel)) if valid else _same_pads(node, kernel, mode)
    return b.outputs(node.op, node.inputs, node.outputs, **attributes)


def _same_pads(node: gs.Node, kernel: Sequence[int], mode: str) -> list[int]:
    ones = [1] * len(kernel)
    strides, dilations = node.attrs.get("strides", ones), node.attrs.get("dilations", ones)
    lengths = (node.inputs[0].shape or ())[-len(kernel) :]
    if len(lengths) != len(kernel) or not all(isinstance(length, int) for length in lengths):
        raise Unsupported("its pads depend on sizes that only the runtime knows")
    starts, ends = [], []
    for length, k, s, d in zip(lengths, kernel, strides, dilations, strict=True):
        total = max((-(-length // s) - 1) * s + (k - 1) * d + 1 - length, 0)
        less, more = total // 2, total - total // 2
        starts.append(less if mode == "SAME_UPPER" else more)
        ends.append(more if mode == "SAME_UPPER" else less)
    return starts + ends


def _kernel(node: gs.Node) -> list[int]:
    if "kernel_shape" in node.attrs:
        return list(node.attrs["kernel_shape"])
    weights = node.inputs[1].shape if node.op == "Conv" else None
    if weights is None or not all(isinstance(size, int) for size in weights):
        raise Unsupported("the shape of its kernel is not known")
    return list(weights[2:])


EXPLICIT_PADS = Replacement("explicit pads", emit)
