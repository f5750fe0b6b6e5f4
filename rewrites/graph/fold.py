"""Fold what known sizes make constant.

Shape(X) = the sizes of X,  Size(X) = their product,  and what is computed from those alone
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.constants import constant_names, has_reference, is_standard
from onnxpool.rewrites.graph.replace import replace
from onnxpool.rewrites.graph.run import RunError, compute_constants
from onnxpool.rewrites.graph.unread import output_names, sweep, unread

_LARGEST = 1 << 18
"""Elements: index vectors and interpolation weights are folded, whole maps are not."""


def fold_sizes(graph: gs.Graph, opset: int) -> bool:
    """Write Constant nodes for the known sizes of `graph`, without its bodies, in place.

    Returns:
        Whether there were any. With their values, further shapes may be inferred.
    """
    unread_before = {id(node) for node in unread(graph)}
    fresh = {node.outputs[0].name for node in graph.nodes if known_sizes(node) is not None}
    if not fresh:
        return False
    for node in list(graph.nodes):
        sizes = known_sizes(node)
        if sizes is not None:
            _replace(graph, node, opset, [sizes])
    for node, values in _computed(graph, opset, fresh):
        _replace(graph, node, opset, values)
    sweep(graph, unread_before)
    return True


def known_sizes(node: gs.Node) -> Array | None:
    """What Shape or Size gives where that is known from the shape of its input."""
    if not is_standard(node) or node.op not in ("Shape", "Size") or not node.inputs[0].name:
        return None
    if has_reference(node):
        return None
    shape = node.inputs[0].shape
    if shape is None:
        return None
    if node.op == "Shape":
        shape = shape[slice(node.attrs.get("start", 0), node.attrs.get("end"))]
    if not all(isinstance(dim, int) for dim in shape):
        return None
    return np.asarray(math.prod(shape) if node.op == "Size" else shape, np.int64)


def _computed(
    graph: gs.Graph, opset: int, fresh: set[str]
) -> list[tuple[gs.Node, Sequence[Array]]]:
    """The last nodes that are computed from `fresh` tensors and constants, and their values."""
    constants, fresh = constant_names(graph), set(fresh)
    inside = []
    for node in graph.nodes:
        if node.outputs[0].name in constants and any(t.name in fresh for t in node.inputs):
            fresh.update(tensor.name for tensor in node.outputs)
            inside.append(node)
    outputs = output_names(graph)
    last = [
        node
        for node in inside
        if all(t.dtype is not None for t in node.outputs)
        and any(t.name in outputs or not _all_inside(t, fresh) for t in node.outputs)
    ]
    found: list[tuple[gs.Node, Sequence[Array]]] = []
    for node in last:
        try:
            values = compute_constants(node.outputs, opset)
        except RunError:
            continue
        if sum(value.size for value in values) <= _LARGEST:
            found.append((node, values))
    return found


def _all_inside(tensor: gs.Tensor, fresh: set[str]) -> bool:
    return all(reader.outputs[0].name in fresh for reader in tensor.outputs)


def _replace(graph: gs.Graph, node: gs.Node, opset: int, values: Sequence[Array]) -> None:
    replace(graph, node, opset, functools.partial(_emit, values))


def _emit(values: Sequence[Array], b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    return [_constant(b, value) for value in values]


def _constant(b: Builder, value: Any) -> gs.Variable:
    return b.node("Constant", [], value.shape, value.dtype, value=gs.Constant("value", value))
