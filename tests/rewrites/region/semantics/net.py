"""Small models that hypothesis draws, node by node."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from onnxpool.ops.op import Array

OLDEST, NEWEST = 7, onnx.defs.onnx_opset_version()
"""Opsets: ONNX Runtime has few kernels for older ones."""


@dataclasses.dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)


class Net:
    """A model under construction, of one input X.

    Attributes:
        opset: of the default domain.
        dtype: of X, and of `numbers`.
    """

    def __init__(self, shape: Sequence[int], opset: int, dtype: type[np.generic]) -> None:
        self.x = Tensor("X", tuple(shape))
        self.opset = opset
        self.dtype = dtype
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def __call__(self, op: str, *inputs: Tensor | Array | None, **attributes: Any) -> str:
        """Add a node of one output; return its name."""
        return self.several(op, 1, *inputs, **attributes)[0]

    def several(
        self, op: str, outputs: int, *inputs: Tensor | Array | None, **attributes: Any
    ) -> list[str]:
        names = [self._name(operand) for operand in inputs]
        while names and not names[-1]:
            names.pop()
        results = [f"{op}_{len(self._nodes)}_{index}" for index in range(outputs)]
        node = helper.make_node(op, names, results)
        node.attribute.extend(_attribute(*pair) for pair in attributes.items())
        self._nodes.append(node)
        return results

    def _name(self, operand: Tensor | Array | None) -> str:
        if operand is None:
            return ""
        if isinstance(operand, Tensor):
            return operand.name
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(operand), name))
        return name

    def numbers(self, values: Any) -> Array:
        """A constant of the dtype of X."""
        return np.asarray(values, self.dtype)

    @property
    def ops(self) -> set[str]:
        return {node.op_type for node in self._nodes}

    def model(self, y: str) -> onnx.ModelProto:
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        graph = helper.make_graph(
            self._nodes,
            "net",
            [helper.make_tensor_value_info("X", dtype, self.x.shape)],
            [onnx.ValueInfoProto(name=y)],
            self._constants,
        )
        ir_version = 8 if self.opset < 20 else 10
        imports = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=imports, ir_version=ir_version)


def _attribute(name: str, value: Any) -> onnx.AttributeProto:
    empty = onnx.AttributeProto.INTS if isinstance(value, list) and not value else None
    return helper.make_attribute(name, value, attr_type=empty)


Draw = Callable[[st.SearchStrategy[Any]], Any]
"""What hypothesis gives to a composite strategy."""

Step = Callable[[Draw, Net, Tensor], str]
"""Add one drawn node behind a tensor; return the name of its output."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """How the nodes of one op are drawn.

    Attributes:
        step: adds a node.
        ranks: of its input, the least and the greatest.
        oldest: opset that has the op.
        doubles: whether ONNX Runtime has a kernel for float64.
    """

    step: Step
    ranks: tuple[int, int] = (1, 5)
    oldest: int = OLDEST
    doubles: bool = True


def draw_net(draw: Draw, drawn: Drawn) -> Net:
    """A net with no node yet, whose X an op takes."""
    rank = draw(st.integers(*drawn.ranks))
    longest = 6 if rank < 4 else 4 if rank == 4 else 3
    shape = draw(st.lists(st.integers(1, longest), min_size=rank, max_size=rank))
    dtypes = [np.float32, np.float64] if drawn.doubles else [np.float32]
    opset = draw(st.integers(max(drawn.oldest, OLDEST), NEWEST))
    return Net(shape, opset, draw(st.sampled_from(dtypes)))


def on_any_axis(draw: Draw, rank: int) -> int:
    """An axis, counted from the front or the back."""
    return draw(st.integers(-rank, rank - 1))


def some_axes(draw: Draw, rank: int, least: int = 1) -> list[int]:
    """Different axes in any order, each counted from the front or the back."""
    axes = draw(st.lists(st.integers(0, rank - 1), min_size=least, max_size=rank, unique=True))
    return [axis - rank * draw(st.booleans()) for axis in axes]


def often(draw: Draw, times: int = 8) -> bool:
    """True, but once in so many times."""
    return draw(st.integers(0, times - 1)) > 0


def integers(values: Sequence[int]) -> Array:
    return np.array(values, np.int64)
