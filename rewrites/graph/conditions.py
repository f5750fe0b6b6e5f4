"""Which branch an If takes, where that follows from constants and from known sizes and ranks."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.constants import is_standard, runs_as_constant
from onnxpool.rewrites.graph.fold import known_sizes
from onnxpool.rewrites.graph.run import RunError, evaluate, run_node

_LARGEST = 1024
"""Elements of what a condition is computed of."""
_DEEPEST = 32


def known_branches(graph: gs.Graph, opset: int) -> Iterator[tuple[gs.Node, str]]:
    """The If nodes of a graph whose condition is known, and the attribute that holds the branch.

    Args:
        graph: with the shapes of its tensors, as far as they are known.
    """
    values = _Values(opset)
    for node in graph.nodes:
        if node.op == "If" and is_standard(node):
            condition = values.of(node.inputs[0])
            if condition is not None and condition.size == 1:
                yield node, "then_branch" if condition.item() else "else_branch"


class _Values:
    """What tensors are that depend on constants and on known sizes alone."""

    def __init__(self, opset: int) -> None:
        self._opset = opset
        self._known: dict[int, tuple[gs.Tensor, Array | None]] = {}

    def of(self, tensor: gs.Tensor, depth: int = 0) -> Array | None:
        if id(tensor) not in self._known:
            # Kept, so that its id stays its own.
            self._known[id(tensor)] = tensor, self._find(tensor, depth)
        return self._known[id(tensor)][1]

    def _find(self, tensor: gs.Tensor, depth: int) -> Array | None:
        try:
            if isinstance(tensor, gs.Constant):
                return evaluate(tensor, self._opset) if _is_small(tensor) else None
            if len(tensor.inputs) != 1 or depth == _DEEPEST:
                return None
            return self._computed(tensor, tensor.inputs[0], depth + 1)
        except RunError:
            return None

    def _computed(self, tensor: gs.Tensor, node: gs.Node, depth: int) -> Array | None:
        if (sizes := known_sizes(node)) is not None:
            return sizes
        if not runs_as_constant(node):
            return None
        inputs: list[Array | None] = []
        for operand in node.inputs:
            value = self.of(operand, depth) if operand.name else None
            if operand.name and value is None:
                return None
            inputs.append(value)
        index = next(i for i, output in enumerate(node.outputs) if output is tensor)
        found = run_node(node, inputs, self._opset)[index]
        return found if found.size <= _LARGEST else None


def _is_small(constant: gs.Constant) -> bool:
    size = 1
    for dim in constant.shape:
        size *= dim
    return size <= _LARGEST
