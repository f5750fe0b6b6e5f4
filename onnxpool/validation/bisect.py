"""The first of the tensors that two models share whose values differ, found in a few runs.

Nothing is run with all of its tensors as outputs, which takes the memory of all of them at once: of
the shared tensors that a wrong one is computed from, a few are looked at, evenly spaced. The first
that differs takes the place of the wrong one; what an equal one is computed from is looked at no
more. In the end the inputs of the last wrong tensor are looked at, because what an equal tensor
says of its own inputs may be little: Shape gives the same of different values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx

from onnxpool.model.bodies import with_bodies
from onnxpool.ops.op import Array
from onnxpool.validation.runnable import OnnxModel

AT_A_TIME = 16
"""Tensors that one run gives."""

Equal = Callable[[Array, Array], bool]


@dataclasses.dataclass(frozen=True)
class Difference:
    """A tensor that differs, while all shared tensors before it are equal.

    Attributes:
        tensor: its name in both models.
        found, wanted: its values in the model and in the reference.
        between: how many nodes of the model lie between it and the shared tensors before it, the
            node that gives it included.
    """

    tensor: str
    found: Array
    wanted: Array
    between: int


def first_difference(
    model: OnnxModel, reference: OnnxModel, inputs: Sequence[Array], equal: Equal
) -> Difference | None:
    """The first shared tensor of the main graphs that differs; None where none is seen to.

    Raises:
        RunError: ONNX Runtime does not compute the tensors.
    """
    return _Search(model, reference, inputs, equal).first()


class _Search:
    def __init__(
        self, model: OnnxModel, reference: OnnxModel, inputs: Sequence[Array], equal: Equal
    ) -> None:
        self._model, self._reference = model, reference
        self._inputs, self._equal = inputs, equal
        graph = model.file.proto.graph
        self._nodes = {name: node for node in graph.node for name in node.output if name}
        theirs = {name for node in reference.file.proto.graph.node for name in node.output if name}
        self._shared = [name for name in self._nodes if name in theirs]
        self._differs: dict[str, bool] = {}
        self._values: dict[str, tuple[Array, Array]] = {}

    def first(self) -> Difference | None:
        """Walk up from the end of the graph as long as something before differs."""
        tensor = self._narrow(self._shared)
        while tensor is not None:
            before = self._shared_before(tensor)
            self._look_at(before)
            wrong = next((name for name in before if self._differs[name]), None)
            if wrong is None:
                found, wanted = self._values[tensor]
                return Difference(tensor, found, wanted, self._between(tensor, before))
            tensor = self._narrow(self._above(wrong)) or wrong
        return None

    def _narrow(self, candidates: Sequence[str]) -> str | None:
        """The first of the candidates that differs, as far as equal tensors tell."""
        found = None
        while candidates:
            step = -(-len(candidates) // AT_A_TIME)
            sample = list(candidates[::-step])[::-1]
            self._look_at(sample)
            wrong = next((name for name in sample if self._differs[name]), None)
            kept = set(candidates)
            if wrong is not None:
                found = wrong
                kept &= set(self._above(wrong))
            for name in sample:
                if not self._differs[name]:
                    kept -= {name, *self._above(name)}
            candidates = [name for name in candidates if name in kept]
        return found

    def _look_at(self, names: Iterable[str]) -> None:
        new = [name for name in names if name not in self._differs]
        if not new:
            return
        found = self._model.tensors(new, self._inputs)
        wanted = self._reference.tensors(new, self._inputs)
        for name in new:
            pair = found[name], wanted[name]
            self._differs[name] = all(map(_is_numbers, pair)) and not self._equal(*pair)
            if self._differs[name]:
                self._values[name] = pair

    def _above(self, tensor: str) -> list[str]:
        """The shared tensors that it is computed from, in the order of the graph."""
        seen: set[str] = set()
        pending = [tensor]
        while pending:
            for name in _inputs(self._nodes[pending.pop()]):
                if name in self._nodes and name not in seen:
                    seen.add(name)
                    pending.append(name)
        return [name for name in self._shared if name in seen]

    def _shared_before(self, tensor: str) -> list[str]:
        """The nearest shared tensors that it is computed from."""
        shared, pending, seen = set(self._shared), [tensor], {tensor}
        found: list[str] = []
        while pending:
            for name in _inputs(self._nodes[pending.pop()]):
                if name in self._nodes and name not in seen:
                    seen.add(name)
                    (found if name in shared else pending).append(name)
        return found

    def _between(self, tensor: str, before: Sequence[str]) -> int:
        nodes, pending, seen = set(), [tensor], {tensor, *before}
        while pending:
            node = self._nodes[pending.pop()]
            nodes.add(id(node))
            for name in _inputs(node):
                if name in self._nodes and name not in seen:
                    seen.add(name)
                    pending.append(name)
        return len(nodes)


def _is_numbers(value: Array) -> bool:
    """Whether it is a tensor of numbers, and no text, and no sequence of tensors."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiub"


def _inputs(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node reads, in its bodies too."""
    return [name for each in with_bodies([node]) for name in each.input if name]
