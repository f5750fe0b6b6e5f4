"""The nodes between the X and Y of a region and those of its op, where axes stand elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import AXES_ARE_AN_INPUT
from onnxpool.rewrites.graph.tensors import shape_of
from onnxpool.rewrites.region.layout import Layout


def op_x(
    x: gs.Variable, layout: Layout, name: str, opset: int
) -> tuple[gs.Variable, list[gs.Node]]:
    """The op's X, and the nodes that make it of the region's."""
    if layout.keeps_x:
        return x, []
    shape = layout.of_x(shape_of(x) or ())
    made = gs.Variable(f"{name}/X", x.dtype, list(shape))
    new = [i for i, axis in enumerate(layout.x) if axis is None]
    if new:
        return made, [_with_axes("Unsqueeze", f"{name}/Unsqueeze", x, made, new, opset)]
    perm = {"perm": [axis for axis in layout.x if axis is not None]}
    return made, [gs.Node("Transpose", f"{name}/Transpose", perm, [x], [made])]


def region_y(y: gs.Variable, layout: Layout, opset: int) -> tuple[gs.Variable, list[gs.Node]]:
    """The op's Y, and the nodes that make the region's of it."""
    shape = list(layout.of_y(shape_of(y) or ()))
    made = gs.Variable(f"{y.name}/onnxpool/pooled", y.dtype, shape)
    left = [i for i, axis in enumerate(layout.y) if axis is not None]
    gone = [i for i, axis in enumerate(layout.y) if axis is None]
    order = sorted(left, key=lambda i: layout.y[i] or 0)
    if not gone and order == left:
        return y, []
    nodes, last = [], made
    if order != left:
        perm = [*gone, *order]
        moved = gs.Variable(f"{y.name}/onnxpool/moved", y.dtype, [shape[i] for i in perm])
        end = moved if gone else y
        node = f"{y.name}/onnxpool/Transpose"
        nodes.append(gs.Node("Transpose", node, {"perm": perm}, [made], [end]))
        last, gone = moved, list(range(len(gone)))
    if gone:
        node = f"{y.name}/onnxpool/Squeeze"
        nodes.append(_with_axes("Squeeze", node, last, y, gone, opset))
    return made, nodes


def _with_axes(
    op: str, name: str, x: gs.Variable, y: gs.Variable, axes: Sequence[int], opset: int
) -> gs.Node:
    if opset < AXES_ARE_AN_INPUT[op]:
        return gs.Node(op, name, {"axes": list(axes)}, [x], [y])
    return gs.Node(op, name, {}, [x, gs.Constant(f"{name}/axes", np.array(axes, np.int64))], [y])
