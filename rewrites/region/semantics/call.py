"""One node with what its inputs are, as the semantics of an op reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxpool.ops.op import Array
from onnxpool.rewrites.region.terms import Impossible, NotUnderstood, Value

Operand = Value | Array | None
"""What depends on X; a constant; an optional input that is not there."""


@dataclasses.dataclass(frozen=True)
class Call:
    """Attributes:
    op: the op type, of the standard domain.
    attributes: those of the node; all of them are known to the semantics of the op.
    inputs: its operands.
    outputs: how many outputs it has.
    opset: the version of the domain.
    """

    op: str
    attributes: Mapping[str, Any]
    inputs: Sequence[Operand]
    outputs: int
    opset: int

    def value(self, index: int = 0) -> Value:
        """An operand that depends on X.

        Raises:
            NotUnderstood: it is a constant, or is not there.
        """
        operand = self.operand(index)
        if not isinstance(operand, Value):
            raise NotUnderstood(f"{self.op} of a constant")
        return operand

    def constant(self, index: int) -> Array:
        """A constant operand.

        Raises:
            NotUnderstood: it depends on X, or is not there.
        """
        found = self.optional(index)
        if found is None:
            raise NotUnderstood(f"{self.op} without its input {index}")
        return found

    def optional(self, index: int) -> Array | None:
        """A constant operand, where it is given.

        Raises:
            NotUnderstood: it depends on X.
        """
        operand = self.operand(index)
        if isinstance(operand, Value):
            raise NotUnderstood(f"{self.op} with an operand that depends on the input")
        return operand

    def operand(self, index: int) -> Operand:
        return self.inputs[index] if index < len(self.inputs) else None

    def integers(self, name: str, index: int) -> list[int] | None:
        """What is an attribute in some opsets and an input in others; None where it is neither."""
        if name in self.attributes:
            return [int(n) for n in np.atleast_1d(self.attributes[name])]
        found = self.optional(index)
        return None if found is None else [int(n) for n in found.reshape(-1)]

    def axis(self, default: int | None = None) -> int:
        """The attribute `axis`, counted from the front of the first operand that depends on X."""
        axis = self.attributes.get("axis", default)
        if axis is None:
            raise NotUnderstood(f"{self.op} without its axis")
        return on_axis(int(axis), self.value_anywhere().ids.ndim)

    def value_anywhere(self) -> Value:
        """The first operand that depends on X."""
        return next(operand for operand in self.inputs if isinstance(operand, Value))


def on_axis(axis: int, rank: int) -> int:
    """An axis counted from the front.

    Raises:
        Impossible: there is no such axis.
    """
    if not -rank <= axis < rank:
        raise Impossible(f"axis {axis} of a tensor of rank {rank}")
    return axis % rank


def on_axes(axes: Sequence[int], rank: int) -> list[int]:
    """Axes counted from the front, in order, each once."""
    return sorted({on_axis(axis, rank) for axis in axes})
