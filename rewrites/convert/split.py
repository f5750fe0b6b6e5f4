"""Split: sizes as an attribute (up to opset 12), as an input (13), or `num_outputs` (18).

Split<num_outputs=n>(X)  =  Split(X, sizes)  =  Split<split=sizes>(X)
sizes: ceil(L / n), …, ceil(L / n), and what is left
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported

SIZES_ARE_AN_INPUT = 13
NUM_OUTPUTS = 18


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    x = node.inputs[0]
    axis = node.attrs.get("axis", 0)
    if b.opset >= SIZES_ARE_AN_INPUT and len(node.inputs) > 1 and node.inputs[1].name:
        return b.outputs("Split", node.inputs, node.outputs, axis=axis)
    sizes = _sizes(node, source)
    if sizes is None and b.opset >= NUM_OUTPUTS:
        return b.outputs("Split", [x], node.outputs, axis=axis, num_outputs=len(node.outputs))
    if sizes is None:
        sizes = _equal_sizes(node, axis)
    if b.opset >= SIZES_ARE_AN_INPUT:
        return b.outputs("Split", [x, b.integers(sizes)], node.outputs, axis=axis)
    return b.outputs("Split", [x], node.outputs, axis=axis, split=list(sizes))


def _sizes(node: gs.Node, source: int) -> list[int] | None:
    if "split" in node.attrs:
        return list(node.attrs["split"])
    if len(node.inputs) < 2 or not node.inputs[1].name:
        return None
    values = known_value(node.inputs[1], source)
    if values is None:
        raise Unsupported("the sizes of its parts are computed, which older opsets cannot say")
    return [int(size) for size in values]


def _equal_sizes(node: gs.Node, axis: int) -> list[int]:
    x, parts = node.inputs[0], len(node.outputs)
    length = None if x.shape is None else x.shape[axis]
    if not isinstance(length, int):
        raise Unsupported(f"the size of its input {x.name!r} on axis {axis} is not known")
    each = -(-length // parts)
    return [each] * (parts - 1) + [length - each * (parts - 1)]
