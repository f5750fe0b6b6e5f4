"""Pooling of volumes as two poolings of planes.

    Pool<kd, kh, kw>(X) = Plane(Pool<kd, 1>(Depth(X)) , <kh, kw>)
    Depth: (N, C, D, H, W) → (N, C, D, H·W)        Plane: (N, C, D, H·W) → (N, C·D, H, W)

    GlobalPool(X) = GlobalPool(X as (N, C, D·H·W, 1))

A maximum separates always; an average where no window sees padding, or padding counts as zeros.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Dim, Shape
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

OPS = ("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool")


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, y = node.inputs[0], node.outputs[0]
    if x.shape is None or y.shape is None or len(x.shape) != 5:
        raise Unsupported("its input is no volume")
    if not isinstance(x.shape[1], int):
        raise Unsupported("its channels are known to the runtime alone")
    if len(node.outputs) > 1:
        raise Unsupported("its indices are used")
    if node.op.startswith("Global"):
        return [_pool_all(b, node.op, x)]
    return [_pool_windows(b, node, x, y)]


def _pool_all(b: Builder, op: str, x: gs.Tensor) -> gs.Tensor:
    batch, channels, *volume = x.shape
    flat = b.node("Reshape", [x, b.integers([0, 0, -1, 1])], (batch, channels, _size(volume), 1))
    pooled = b.node(op, [flat], (batch, channels, 1, 1))
    return b.node("Reshape", [pooled, b.integers([0, 0, 1, 1, 1])], (batch, channels, 1, 1, 1))


def _pool_windows(b: Builder, node: gs.Node, x: gs.Tensor, y: gs.Tensor) -> gs.Tensor:
    window = window_of(node)
    batch, channels, depth, height, width = x.shape
    _, _, out_depth, out_height, out_width = y.shape
    area = _size((height, width))
    column = b.node("Reshape", [x, b.integers([0, 0, 0, -1])], (batch, channels, depth, area))
    pooled = (batch, channels, out_depth, area)
    column = b.node(node.op, [column], pooled, **_part(window, [0]))
    plane = _reshape(b, column, [0, -1], x, (batch, _size((channels, out_depth)), height, width))
    pooled = (*plane.shape[:2], out_height, out_width)
    plane = b.node(node.op, [plane], pooled, **_part(window, [1, 2]))
    return _reshape(b, plane, [0, channels, -1], plane, y.shape)


def window_of(node: gs.Node) -> dict[str, Any]:
    """The attributes of a pooling whose axes can be pooled one after the other.

    Raises:
        Unsupported: they cannot, or its sizes are not known.
    """
    if node.op.startswith("Global"):
        plane = node.inputs[0].shape[2:]
        if not all(isinstance(size, int) for size in plane):
            raise Unsupported("its sizes are known to the runtime alone")
        return {"kernel_shape": list(plane)}
    attributes = dict(node.attrs)
    if attributes.pop("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise Unsupported("its pads are not explicit")
    if attributes.get("ceil_mode", 0):
        raise Unsupported("its last windows may hang over the edge (ceil_mode)")
    padded = any(attributes.get("pads", ()))
    if node.op == "AveragePool" and padded and not attributes.get("count_include_pad", 0):
        raise Unsupported("its windows at the edge average fewer positions")
    return attributes


def _part(window: dict[str, Any], axes: list[int]) -> dict[str, Any]:
    """The attributes of the pooling along some axes of the volume, for a plane."""
    defaults = {"kernel_shape": 1, "strides": 1, "dilations": 1}
    part = {name: value for name, value in window.items() if name not in (*defaults, "pads")}
    for name, one in defaults.items():
        if name in window:
            part[name] = [window[name][axis] for axis in axes] + [one] * (2 - len(axes))
    if "pads" in window:
        rest = [0] * (2 - len(axes))
        starts, ends = window["pads"][:3], window["pads"][3:]
        part["pads"] = [starts[a] for a in axes] + rest + [ends[a] for a in axes] + rest
    return part


def _reshape(
    b: Builder, x: gs.Tensor, sizes: Sequence[int], like: gs.Tensor, shape: Shape
) -> gs.Variable:
    """To `sizes`, as Reshape takes them, and the last two sizes of `like`."""
    height, width = like.shape[-2:]
    if isinstance(height, int) and isinstance(width, int):
        return b.node("Reshape", [x, b.integers([*sizes, height, width])], shape)
    rank = len(like.shape)
    all_sizes = b.node("Shape", [like], (rank,), np.dtype(np.int64))
    plane = b.slice(all_sizes, 0, rank - 2, rank)
    return b.node("Reshape", [x, b.concat([b.integers(sizes), plane], 0)], shape)


def _size(dims: Sequence[Dim]) -> Dim:
    known = [dim for dim in dims if isinstance(dim, int)]
    return math.prod(known) if len(known) == len(dims) else None


POOL_BY_PLANES = Replacement("poolings of planes", emit)
