"""The integer vectors that a graph computes of shapes: which sizes of which tensors they hold."""

from __future__ import annotations

import dataclasses
import math
from typing import TypeAlias

import onnx_graphsurgeon as gs

from onnxpool.ops.op import Dim, is_confirmed
from onnxpool.rewrites.graph.constants import is_standard
from onnxpool.rewrites.graph.cut import needs_constants_alone
from onnxpool.rewrites.graph.run import RunError, evaluate

_UNCHANGED = frozenset(("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape"))


@dataclasses.dataclass(frozen=True, eq=False)
class SizeOf:
    """The size of one axis of a tensor, counted from the front."""

    tensor: gs.Tensor
    axis: int

    @property
    def dim(self) -> Dim:
        return self.tensor.shape[self.axis]  # type: ignore[no-any-return]


Element: TypeAlias = int | SizeOf | None
"""A number, the size of a tensor, or something that is not understood."""


def elements(vector: gs.Tensor, opset: int) -> list[Element] | None:
    """What a vector or scalar holds; None where not even the number of its elements is known."""
    if needs_constants_alone(vector):
        return _numbers(vector, opset)
    if len(vector.inputs) == 1 and is_standard(vector.inputs[0]):
        (node,) = vector.inputs
        if node.op in _UNCHANGED:
            return elements(node.inputs[0], opset)
        if node.op == "Shape":
            return _sizes(node)
        if node.op == "Concat":
            parts = [elements(part, opset) for part in node.inputs]
            return None if None in parts else [e for part in parts for e in part or ()]
        if node.op in ("Gather", "Slice"):
            return _picked(node, opset)
    return _unknown(vector)


def is_size_of(element: Element, x: gs.Tensor, axis: int) -> bool:
    """Whether an element is, at every size of the inputs, the size of that axis of `x`."""
    dim = x.shape[axis]
    if not isinstance(element, SizeOf):
        return isinstance(dim, int) and element == dim
    same = element.tensor is x and element.axis == axis % len(x.shape)
    return same or (is_confirmed(dim) and is_confirmed(element.dim) and element.dim == dim)


def _numbers(vector: gs.Tensor, opset: int) -> list[Element] | None:
    try:
        # PyTorch traces int(H * scale) as a float.
        return [int(value) for value in evaluate(vector, opset).reshape(-1)]
    except RunError:
        return None


def _sizes(shape: gs.Node) -> list[Element] | None:
    tensor = shape.inputs[0]
    if tensor.shape is None:
        return None
    axes = range(len(tensor.shape))[shape.attrs.get("start", 0) : shape.attrs.get("end")]
    sizes = [SizeOf(tensor, axis) for axis in axes]
    return [size.dim if isinstance(size.dim, int) else size for size in sizes]


def _picked(node: gs.Node, opset: int) -> list[Element] | None:
    """The elements that Gather or Slice takes, at constant positions."""
    found = elements(node.inputs[0], opset)
    positions = [_integers(tensor, opset) for tensor in node.inputs[1:]]
    if found is None:
        return _unknown(node.outputs[0])
    match node.op, positions:
        case "Gather", [list(indices)]:
            valid = all(-len(found) <= index < len(found) for index in indices)
            return [found[index] for index in indices] if valid else None
        case "Slice", [[start], [end]] | [[start], [end], [_]] | [[start], [end], [_], [1]]:
            return found[start:end]
    return _unknown(node.outputs[0])


def _integers(vector: gs.Tensor, opset: int) -> list[int] | None:
    found = elements(vector, opset)
    numbers = [element for element in found or () if isinstance(element, int)]
    return numbers if found is not None and len(numbers) == len(found) else None


def _unknown(vector: gs.Tensor) -> list[Element] | None:
    dims = vector.shape
    if dims is None or not all(isinstance(dim, int) for dim in dims):
        return None
    return [None] * math.prod(dims)
