"""Pooling that is one standard node already: judged from its attributes, and left alone.

AveragePool, MaxPool, GlobalAveragePool, GlobalMaxPool, ReduceMean, ReduceMax, ArgMax
"""

from __future__ import annotations

import dataclasses
import functools

import onnx_graphsurgeon as gs

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool, AdaptivePool
from onnxpool.ops.op import KEEP, Shape
from onnxpool.ops.windows import MOST_WINDOWS, Window, windows
from onnxpool.rewrites.graph.tensors import is_byte, is_float, shape_of
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.region.layout import readings
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.size import is_unknown, output_size, size_of_dropped_axes

_POOLS: dict[str, type[AdaptivePool]] = {
    "AveragePool": AdaptiveAveragePool,
    "GlobalAveragePool": AdaptiveAveragePool,
    "ReduceMean": AdaptiveAveragePool,
    "MaxPool": AdaptiveMaxPool,
    "GlobalMaxPool": AdaptiveMaxPool,
    "ReduceMax": AdaptiveMaxPool,
}


def applies(region: Region) -> bool:
    if len(region.nodes) != 1:
        return False
    (node,) = region.nodes
    return node.op == "ArgMax" or is_pool(node)


def judge(region: Region) -> Construct | Declined | None:
    """Judge a region of one pooling node, which is `best` as it is."""
    (node,) = region.nodes
    if not (is_float(region.y.dtype) or is_byte(region.y.dtype)):
        return None
    x, y = shape_of(region.x), shape_of(region.y)
    if node.op in ("AveragePool", "MaxPool") and not _is_adaptive(node, x, y):
        return Declined(region, _why_not(node, x, y))
    size = output_size(x, y) or size_of_dropped_axes(x, y)
    if node.op.startswith("Reduce") and (size is None or not _is_global(size, x or ())):
        return _in_another_layout(node, region)
    if x is None or size is None:
        return None
    return Construct(_POOLS[node.op](size), (region,), best=f"one {node.op} already")


def _in_another_layout(node: gs.Node, region: Region) -> Construct | None:
    """A reduction of several axes that are not the last ones."""
    axes = _reduced_axes(node)
    rank = len(shape_of(region.x) or ())
    for layout, size in readings(shape_of(region.x), shape_of(region.y)):
        lead = len(layout.x) - len(size)
        pooled = {layout.x[lead + i]: bins for i, bins in enumerate(size) if bins != KEEP}
        if len(pooled) > 1 and {axis % rank for axis in axes} == set(pooled):
            there = dataclasses.replace(region, layout=layout)
            return Construct(_POOLS[node.op](size), (there,), best=f"one {node.op} already")
    return None


def _reduced_axes(node: gs.Node) -> list[int]:
    """The axes of a Reduce node; empty where they are not known."""
    if "axes" in node.attrs:
        return list(node.attrs["axes"])
    constant = len(node.inputs) > 1 and isinstance(node.inputs[1], gs.Constant)
    return [int(axis) for axis in node.inputs[1].values.reshape(-1)] if constant else []


def is_pool(node: gs.Node) -> bool:
    return node.op in _POOLS


def _why_not(node: gs.Node, x: Shape | None, y: Shape | None) -> str:
    side_by_side = node.attrs.get("strides") == node.attrs["kernel_shape"]
    if side_by_side and not any(node.attrs.get("pads", ())) and is_unknown(x, y):
        return (
            "windows of a fixed size over sizes that are not fixed; if the source pools adaptively "
            "here, it is right at the traced size only: onnxpool validate tells"
        )
    return f"an ordinary sliding window, one {node.op} already"


def _is_global(size: tuple[int, ...], x: Shape) -> bool:
    """Whether a reduction pools whole planes; the mean over one axis may be anything."""
    plane = zip(x[-len(size) :], size, strict=True)
    return len(size) > 1 and all(1 in (bins, length) for length, bins in plane)


def _is_adaptive(node: gs.Node, x: Shape | None, y: Shape | None) -> bool:
    """Whether the sliding windows of AveragePool or MaxPool are PyTorch's adaptive windows."""
    if x is None or y is None or not output_size(x, y):
        return False
    k = len(node.attrs["kernel_shape"])
    begins = node.attrs.get("pads", [0] * k * 2)[:k]
    counts_padding = any(node.attrs.get("pads", ())) and node.attrs.get("count_include_pad", 0)
    dilated = any(dilation != 1 for dilation in node.attrs.get("dilations", ()))
    if counts_padding or dilated or node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return False
    strides = node.attrs.get("strides") or [1] * k
    axes = zip(x[-k:], y[-k:], node.attrs["kernel_shape"], strides, begins, strict=True)
    return all(
        isinstance(length, int)
        and isinstance(bins, int)
        and bins <= MOST_WINDOWS
        and _slides_as(length, bins, size, stride, begin)
        for length, bins, size, stride, begin in axes
    )


@functools.lru_cache
def _slides_as(length: int, bins: int, size: int, stride: int, begin: int) -> bool:
    """Whether windows that slide are those of adaptive pooling."""
    return _sliding(length, bins, size, stride, begin) == windows(length, bins)


def _sliding(length: int, bins: int, size: int, stride: int, begin: int) -> tuple[Window, ...]:
    starts = (i * stride - begin for i in range(bins))
    return tuple(Window(max(start, 0), min(start + size, length)) for start in starts)
