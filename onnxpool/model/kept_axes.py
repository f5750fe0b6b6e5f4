"""Reshape to a shape with -1 keeps an axis that is open, where the others leave no other length.

Reshape<(-1, 3, 4, 3, 4)>(X of (N, 12, 12)) has N in front: onnx follows sizes that are numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from onnx import GraphProto, TensorProto, TensorShapeProto, numpy_helper

from onnxpool.model.skeleton import is_small


def keep_axes(graph: GraphProto, inferred: GraphProto) -> bool:
    """Write 0, which copies a length, for -1 where that is the same.

    Args:
        graph: a copy to infer shapes of. It is changed.
        inferred: what was inferred of it.

    Returns:
        Whether something was; then more may be inferred.
    """
    shapes = {
        value.name: value.type.tensor_type.shape
        for value in (*inferred.input, *inferred.value_info)
        if value.type.tensor_type.HasField("shape")
    }
    vectors = _vectors(graph)
    changed = False
    for node in graph.node:
        if node.op_type != "Reshape" or node.domain not in ("", "ai.onnx") or node.attribute:
            continue
        given, target = shapes.get(node.input[0]), vectors.get(node.input[-1])
        if given is None or target is None or (kept := _keeping(given, target)) is None:
            continue
        name = f"{node.output[0]}/shape"
        graph.initializer.append(numpy_helper.from_array(np.array(kept, np.int64), name))
        node.input[1] = name
        changed = True
    return changed


def _keeping(given: TensorShapeProto, target: Sequence[int]) -> list[int] | None:
    """The shape that copies the one open axis; None where -1 may be another length."""
    if target.count(-1) != 1:
        return None
    axis = target.index(-1)
    before = [dim.dim_value if dim.HasField("dim_value") else None for dim in given.dim]
    if axis >= len(before) or before.count(None) != 1 or before[axis] is not None:
        return None
    if any(n == 0 and (i >= len(before) or i == axis) for i, n in enumerate(target)):
        return None
    numbers = [n for n in before if n is not None]
    after = [before[i] if n == 0 else n for i, n in enumerate(target) if i != axis]
    if 0 in numbers or math.prod(numbers) != math.prod(n for n in after if n is not None):
        return None
    return [0 if i == axis else n for i, n in enumerate(target)]


def _vectors(graph: GraphProto) -> dict[str, Sequence[int]]:
    """The vectors of integers among the constants, but for those that a caller may override."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            tensors.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
    for value in graph.input:
        tensors.pop(value.name, None)
    return {
        name: numpy_helper.to_array(tensor).tolist()
        for name, tensor in tensors.items()
        if tensor.data_type == TensorProto.INT64 and len(tensor.dims) == 1 and is_small(tensor)
    }
