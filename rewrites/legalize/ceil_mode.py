"""`ceil_mode` as pads at the end: AveragePool, MaxPool.

    Pool<ceil_mode=1, pads=start, end>(X) = Pool<pads=start, end'>(X)
    end' = (O - 1)·s + (k - 1)·d + 1 - L - start, at least 0
    O    = ⌈(L + start + end - (k - 1)·d - 1) / s⌉ + 1, less 1 where the last would start behind X

What hangs over counts for nothing: no maximum, and no element of an average, unless padding counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

OPS = ("AveragePool", "MaxPool")


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    attributes = dict(node.attrs)
    if not attributes.pop("ceil_mode", 0):
        raise Unsupported("it rounds down")
    if attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise Unsupported("its pads are not explicit")
    if attributes.get("count_include_pad", 0):
        raise Unsupported("its averages count what is padded, and not what hangs over")
    attributes["pads"] = _pads(node)
    return b.outputs(node.op, node.inputs, node.outputs, **attributes)


def _pads(node: gs.Node) -> list[int]:
    kernel = node.attrs["kernel_shape"]
    k, ones = len(kernel), [1] * len(kernel)
    lengths = (node.inputs[0].shape or ())[2:]
    if len(lengths) != k or not all(isinstance(length, int) for length in lengths):
        raise Unsupported("its sizes are known to the runtime alone")
    strides, dilations = node.attrs.get("strides", ones), node.attrs.get("dilations", ones)
    pads = list(node.attrs.get("pads", [0] * 2 * k))
    axes = zip(lengths, kernel, strides, dilations, pads[:k], pads[k:], strict=True)
    return pads[:k] + [_end(*axis) for axis in axes]


def _end(length: int, kernel: int, stride: int, dilation: int, start: int, end: int) -> int:
    window = (kernel - 1) * dilation + 1
    last = -(-(length + start + end - window) // stride)
    if last * stride >= length + start:
        last -= 1
    return max(last * stride + window - length - start, 0)


PADS_AT_THE_END = Replacement("pads at the end", emit)
