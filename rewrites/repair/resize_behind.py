"""Resize behind a plane that is restored: to the size that it made of the strided one.

Resize<scales = (1, 1, 11, 11)>(a plane of 3x3) = Resize<sizes = (N, C, 33, 33)> of one of 2x2, too

A pool with other windows than adaptive ones may make another number of them, and who exports at
fixed sizes (tf2onnx) upsamples its plane by a factor. What reads the result wants its size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.constants import is_standard
from onnxpool.rewrites.graph.tensors import shape_of
from onnxpool.rewrites.lift.construct import Construct
from onnxpool.rewrites.repair.retarget import sizes_of

_HAS_SIZES = 11
_SCALES_MAY_BE_LEFT_OUT = 13


def keep_sizes_behind(graph: gs.Graph, constructs: Iterable[Construct], opset: int) -> None:
    """Fix the size that each Resize makes of a plane that gets another number of windows.

    Args:
        constructs: that are about to be lifted; their shapes are those of the strided pools.
    """
    if opset < _HAS_SIZES:
        return
    for construct in constructs:
        if construct.repair is None or not construct.repair.restored:
            continue
        for region, size in zip(construct.regions, sizes_of(construct), strict=True):
            for node in _resizes(graph, region.y, size) if region is not None else ():
                _write_sizes(graph, node, len(size), opset)


def _resizes(graph: gs.Graph, y: gs.Variable, size: tuple[int, ...]) -> Iterator[gs.Node]:
    """Those by scales that read the plane of `y`, or what keeps its plane, to a known size."""
    axes = len(size)
    before = _plane(y, axes)
    if before is None or before == tuple(size):
        return
    names = {y.name}
    for node in list(graph.nodes):
        if not any(tensor.name in names for tensor in node.inputs):
            continue
        if node.op == "Resize" and is_standard(node):
            by_scales = node.inputs[0].name in names and len(node.inputs) == 3
            if by_scales and _plane(node.outputs[0], axes) is not None:
                yield node
        elif len(node.outputs) == 1 and _plane(node.outputs[0], axes) == before:
            names.add(node.outputs[0].name)


def _plane(tensor: gs.Tensor, axes: int) -> tuple[int, ...] | None:
    """The last axes of a tensor; None where one of them is open."""
    plane = (shape_of(tensor) or ())[-axes:]
    numbers = tuple(n for n in plane if isinstance(n, int))
    return numbers if len(numbers) == axes else None


def _write_sizes(graph: gs.Graph, node: gs.Node, axes: int, opset: int) -> None:
    """Put a Resize that is told the size in the place of one that is told factors."""
    x, roi, _ = node.inputs
    (y,) = node.outputs
    none = gs.Variable.empty()
    if opset < _SCALES_MAY_BE_LEFT_OUT:
        none = gs.Constant(f"{y.name}/onnxpool/no_scales", np.zeros(0, np.float32))
    sizes, new = _sizes(x, y, axes)
    told = gs.Node("Resize", node.name, dict(node.attrs), [x, roi, none, sizes])
    node.outputs.clear()
    told.outputs.append(y)
    position = next(i for i, n in enumerate(graph.nodes) if n is node)
    node.inputs.clear()
    graph.nodes[position : position + 1] = [*new, told]


def _sizes(x: gs.Tensor, y: gs.Variable, axes: int) -> tuple[gs.Tensor, list[gs.Node]]:
    """The shape of `y`, of which batch or channels may be open, and the nodes that compute it."""
    name, whole = f"{y.name}/onnxpool", shape_of(y) or ()
    if all(isinstance(n, int) for n in whole):
        return gs.Constant(f"{name}/sizes", np.array(whole, np.int64)), []
    plane = gs.Constant(f"{name}/plane", np.array(_plane(y, axes), np.int64))
    start = gs.Constant(f"{name}/start", np.array([0], np.int64))
    end = gs.Constant(f"{name}/end", np.array([-axes], np.int64))
    shape, leading, sizes = (
        gs.Variable(f"{name}/{part}", np.int64) for part in ("shape", "leading", "sizes")
    )
    return sizes, [
        gs.Node("Shape", f"{name}/Shape", inputs=[x], outputs=[shape]),
        gs.Node("Slice", f"{name}/Slice", inputs=[shape, start, end], outputs=[leading]),
        gs.Node("Concat", f"{name}/Concat", {"axis": 0}, [leading, plane], [sizes]),
    ]
