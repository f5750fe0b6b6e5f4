"""What a node can do inside a pooling region, judged from its op type and constant operands.

The roles on the way from X to Y bound what the region can compute: selections and weighted sums
with non-negative constant weights are linear; selections and maxima pick one element; powers
around a sum are a generalised mean. A node without a role ends the search.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.constants import has_reference, head, is_standard
from onnxpool.rewrites.graph.tensors import is_float, is_integer


class Role(enum.Flag):
    MOVE = enum.auto()
    """Copies elements to other places."""
    LINEAR = enum.auto()
    """Scales or shifts elements by constants."""
    SUM = enum.auto()
    """Adds several elements up."""
    MAX = enum.auto()
    """Picks the greatest of several elements."""
    POWER = enum.auto()
    """A part of x^p or of a clamp."""
    INDEX = enum.auto()
    """Says where an element stood."""


_MOVES = frozenset(
    [
        "Identity",
        "Dropout",
        "Transpose",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Gather",
        "GatherND",
        "GatherElements",
        "Slice",
        "Split",
        "Concat",
        "Expand",
        "Tile",
        "Pad",
        "Shape",
        "QuantizeLinear",
        "DequantizeLinear",
    ]
)
_WEIGHTED = frozenset(("MatMul", "Gemm", "Conv", "Einsum"))
_ALWAYS = {
    **dict.fromkeys(_MOVES, Role.MOVE),
    **dict.fromkeys(
        ("ReduceMean", "ReduceSum", "AveragePool", "GlobalAveragePool", "CumSum"),
        Role.LINEAR | Role.SUM,
    ),
    **dict.fromkeys(("ReduceMax", "MaxPool", "GlobalMaxPool"), Role.MAX),
    **dict.fromkeys(
        ("Sqrt", "Exp", "Log", "Reciprocal", "Clip", "Relu", "Abs", "LpPool", "GlobalLpPool"),
        Role.POWER,
    ),
    "ArgMax": Role.INDEX,
}
_INTEGER_ARITHMETIC = frozenset(
    ["Add", "Sub", "Mul", "Div", "Mod", "Cast", "Range", "Min", "Max", "ConstantOfShape"]
)
_LARGEST_WEIGHT = 1 << 22
"""Elements. A larger constant is a trained weight, not an averaging matrix."""


def role(node: gs.Node, varies: Callable[[gs.Tensor], bool]) -> Role | None:
    """The role of a node some of whose inputs vary with the graph's inputs; None: no pooling."""
    if not is_standard(node) or has_reference(node):
        return None
    varying = [index for index, tensor in enumerate(node.inputs) if varies(tensor)]
    if node.op in _MOVES and node.op != "Concat" and 0 not in varying:
        return None
    if node.op in _ALWAYS:
        return _ALWAYS[node.op]
    if node.op == "Cast" and all(is_float(t.dtype) for t in (*node.inputs, *node.outputs)):
        return Role.MOVE
    integers = (node.outputs[0], *(node.inputs[index] for index in varying))
    if node.op in _INTEGER_ARITHMETIC and all(is_integer(tensor.dtype) for tensor in integers):
        return Role.MOVE
    return _role_by_operands(node, varying)


def _role_by_operands(node: gs.Node, varying: list[int]) -> Role | None:
    several = len(varying) > 1
    match node.op:
        case "Add" | "Sub" | "Sum" | "Mean":
            return Role.LINEAR | Role.SUM if several else Role.LINEAR
        case "Mul":
            return Role.POWER if several else Role.LINEAR
        case "Div":
            return Role.LINEAR if varying == [0] else Role.POWER
        case "Max":
            return Role.MAX if several else Role.POWER
        case "Pow":
            return Role.POWER if varying == [0] else None
        case "Where":
            return Role.MOVE if 0 not in varying else None
    if node.op in _WEIGHTED and not several:
        weights = [t for i, t in enumerate(node.inputs[:2]) if i not in varying]
        if node.op == "Conv" and any(t.shape is not None and t.shape[1] != 1 for t in weights):
            return None  # It mixes channels.
        return Role.LINEAR | Role.SUM if all(map(_can_average, weights)) else None
    return None


def _can_average(weight: gs.Tensor) -> bool:
    """Whether nothing at the head of a weight speaks against an averaging matrix."""
    if not isinstance(weight, gs.Constant):
        return True
    if int(np.prod(weight.shape)) > _LARGEST_WEIGHT:
        return False
    return bool(np.all(head(weight, 64) >= 0))
