"""Emit standard ONNX nodes into a graph, in the form that the model's opset wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from numpy.typing import DTypeLike

from onnxpool.ops.op import Dim, Shape, is_confirmed
from onnxpool.rewrites.graph.new_nodes import NewNodes
from onnxpool.rewrites.graph.schemas import misfit
from onnxpool.rewrites.graph.tensors import onnx_type, resized
from onnxpool.rewrites.graph.unsupported import Unsupported

AXES_ARE_AN_INPUT = {
    "ReduceL1": 18,
    "ReduceL2": 18,
    "ReduceLogSum": 18,
    "ReduceLogSumExp": 18,
    "ReduceMax": 18,
    "ReduceMean": 18,
    "ReduceMin": 18,
    "ReduceProd": 18,
    "ReduceSum": 13,
    "ReduceSumSquare": 18,
    "Squeeze": 13,
    "Unsqueeze": 13,
}
"""The opset from which the axes of an op are an input; an attribute before."""

BOUNDS_ARE_AN_INPUT = {"Slice": 10, "Clip": 11}
"""The opset from which the bounds of an op are inputs; attributes before."""

_FIRST_THAT_BROADCASTS = {"Max": 8, "Min": 8}
_ALL_FORMS = 11
"""The opset from which every op has the form that is written here."""


class Builder(NewNodes):
    """Writes the nodes that replace one node of `graph`.

    Every method adds a node and returns its output, a Variable with its dtype and its shape, as
    far as they are known. Axes are counted from the front.
    """

    def __init__(self, graph: gs.Graph, node: gs.Node, opset: int) -> None:
        super().__init__(graph, node)
        self.opset = opset

    def length(self, axis: int) -> gs.Tensor:
        """The size of an axis of the X of the node: an int64 scalar, constant where it is known.

        A size of a confirmed name is read from the first tensor of the graph that has it too.
        """
        return self._length(axis, self.integer)

    def length_vector(self, axis: int) -> gs.Tensor:
        """As `length`, a vector of one element. TVM multiplies no vector by an element of Shape."""
        return self._length(axis, lambda value: self.integers([value]))

    def output_length(self, index: int) -> gs.Tensor:
        """Element `index` of the input `size` of the node: an int64 scalar."""
        return self.element(self._node.inputs[1], index)

    def element(self, vector: gs.Tensor, index: int) -> gs.Variable:
        return self.shared("Gather", [vector, self.integer(index)], (), axis=0)

    def element_vector(self, vector: gs.Tensor, index: int) -> gs.Variable:
        """As `element`, a vector of one element, for the reason of `length_vector`."""
        return self.shared("Gather", [vector, self.integers([index])], (1,), axis=0)

    def range(self, end: gs.Tensor) -> gs.Tensor:
        """0, …, end - 1 as an int64 vector."""
        if isinstance(end, gs.Constant):
            return self.constant(f"range_{end.values}", np.arange(end.values, dtype=np.int64))
        return self.shared("Range", [self.integer(0), end, self.integer(1)], (None,))

    def scalar(self, value: float, dtype: DTypeLike) -> gs.Constant:
        return self.constant(f"{value:g}", np.asarray(value, dtype))

    def integer(self, value: int) -> gs.Constant:
        """An int64 scalar."""
        return self.constant(f"scalar_{value}", np.asarray(value, np.int64))

    def integers(self, values: Sequence[int]) -> gs.Constant:
        """An int64 vector."""
        return self.constant("_".join(map(str, values)), np.asarray(values, np.int64))

    def cast(self, x: gs.Tensor, dtype: Any) -> gs.Tensor:
        """`x` itself where it has that type."""
        to = onnx_type(dtype)
        if onnx_type(x.dtype) == to:
            return x
        return self.node("Cast", [x], x.shape, dtype, to=to)

    def slice(self, x: gs.Tensor, axis: int, start: int, end: int) -> gs.Tensor:
        """`x` itself where the range is the whole axis."""
        if (start, end) == (0, x.shape[axis]):
            return x
        return self.block(x, {axis: start}, {axis: end})

    def block(self, x: gs.Tensor, starts: dict[int, int], ends: dict[int, int]) -> gs.Variable:
        """The part of `x` from `starts` to `ends`, both by axis."""
        bounds = [list(v) for v in (starts.values(), ends.values(), starts)]
        shape = resized(x.shape, {axis: ends[axis] - start for axis, start in starts.items()})
        if self.opset < BOUNDS_ARE_AN_INPUT["Slice"]:
            named = dict(zip(("starts", "ends", "axes"), bounds, strict=True))
            return self.node("Slice", [x], shape, **named)
        return self.node("Slice", [x, *map(self.integers, bounds)], shape)

    def concat(self, parts: Sequence[gs.Tensor], axis: int) -> gs.Tensor:
        """The part itself where there is only one."""
        if len(parts) == 1:
            return parts[0]
        total = sum(part.shape[axis] for part in parts)
        return self.node("Concat", parts, resized(parts[0].shape, {axis: total}), axis=axis)

    def gather(self, x: gs.Tensor, axis: int, positions: Sequence[int]) -> gs.Variable:
        shape = resized(x.shape, {axis: len(positions)})
        return self.node("Gather", [x, self.integers(positions)], shape, axis=axis)

    def reduce(self, op: str, x: gs.Tensor, axes: Sequence[int]) -> gs.Tensor:
        """Reduce and keep the axes; `x` itself where they have one element."""
        if all(x.shape[axis] == 1 for axis in axes):
            return x
        return self._with_axes(op, x, axes, resized(x.shape, dict.fromkeys(axes, 1)), keepdims=1)

    def reduce_away(self, op: str, x: gs.Tensor, axes: Sequence[int]) -> gs.Variable:
        """Reduce; the axes are gone."""
        shape = tuple(dim for axis, dim in enumerate(x.shape) if axis not in axes)
        return self._with_axes(op, x, axes, shape, keepdims=0)

    def swap(self, x: gs.Tensor, axis: int, other: int) -> gs.Variable:
        order = list(range(len(x.shape)))
        order[axis], order[other] = other, axis
        return self.transpose(x, order)

    def transpose(self, x: gs.Tensor, order: Sequence[int]) -> gs.Variable:
        """`x` with axis ``order[i]`` as axis i."""
        return self.node("Transpose", [x], tuple(x.shape[i] for i in order), perm=list(order))

    def unsqueeze(self, x: gs.Tensor, axis: int) -> gs.Variable:
        return self._with_axes("Unsqueeze", x, [axis], (*x.shape[:axis], 1, *x.shape[axis:]))

    def squeeze(self, x: gs.Tensor, axis: int) -> gs.Variable:
        return self._with_axes("Squeeze", x, [axis], (*x.shape[:axis], *x.shape[axis + 1 :]))

    def reshape(self, x: gs.Tensor, shape: Sequence[Dim], leading: int) -> gs.Variable:
        """Reshape all but the `leading` axes, which may be symbolic; so may one of the others."""
        sizes = [size if isinstance(size, int) else -1 for size in shape[leading:]]
        return self.node("Reshape", [x, self.integers([0] * leading + sizes)], tuple(shape))

    def matmul(self, a: gs.Tensor, b: gs.Tensor) -> gs.Variable:
        """The product, where one of the two is a matrix."""
        shape = (*(a.shape[:-2] or b.shape[:-2]), a.shape[-2], b.shape[-1])
        return self.node("MatMul", [a, b], shape, b.dtype)

    def gemm_of_rows(self, a: gs.Tensor, rows: gs.Tensor) -> gs.Variable:
        """The matrix product of `a` with `rows` transposed, by Gemm."""
        shape = (a.shape[0], rows.shape[0])
        # Unused, but no input before opset 11 may be left out.
        none = [self.constant("zero", np.zeros(1, a.dtype))] * (self.opset < _ALL_FORMS)
        return self.node("Gemm", [a, rows, *none], shape, rows.dtype, transB=1)

    def pool(
        self, op: str, x: gs.Tensor, kernel: Sequence[int], strides: Sequence[int]
    ) -> gs.Variable:
        """AveragePool or MaxPool of ``(N, C, D1, …, Dk)``, no padding."""
        spatial = [
            (dim - k) // s + 1 if isinstance(dim, int) else dim
            for dim, k, s in zip(x.shape[2:], kernel, strides, strict=True)
        ]
        shape = (*x.shape[:2], *spatial)
        return self.node(op, [x], shape, kernel_shape=list(kernel), strides=list(strides))

    def arg_max(self, x: gs.Tensor, axis: int) -> gs.Variable:
        """The position of the first maximum, int64; the axis is kept."""
        return self.node(
            "ArgMax", [x], resized(x.shape, {axis: 1}), np.dtype(np.int64), axis=axis, keepdims=1
        )

    def elementwise(self, op: str, *inputs: gs.Tensor) -> gs.Variable:
        """A node whose output has the first input's shape; the others are broadcast to it.

        Raises:
            Unsupported: the op does not broadcast in this opset.
        """
        first = _FIRST_THAT_BROADCASTS.get(op, 0)
        if self.opset < first and len({tuple(t.shape) for t in inputs}) > 1:
            raise Unsupported(
                f"opset {self.opset} does not broadcast {op}; convert the model first"
            )
        return self.node(op, inputs, inputs[0].shape)

    def at_least(self, x: gs.Tensor, minimum: float) -> gs.Variable:
        # ONNX Runtime has no kernel for Clip-11 in float64, and none for Clip-6 but in float32.
        attributes = self.opset < BOUNDS_ARE_AN_INPUT["Clip"]
        if self.opset < 12 and (x.dtype == np.float64 or (attributes and x.dtype != np.float32)):
            return self.elementwise("Max", x, self.scalar(minimum, x.dtype))
        if attributes:
            return self.node("Clip", [x], x.shape, min=minimum)
        return self.elementwise("Clip", x, self.scalar(minimum, x.dtype))

    def check(self) -> None:
        """Check that the opset has the new nodes, as they are.

        Raises:
            Unsupported: one is not valid in it.
        """
        if self.opset >= _ALL_FORMS:
            return
        for node in (*self._shared, *self._nodes):
            if node.domain in (None, "", "ai.onnx") and (reason := misfit(node, self.opset)):
                raise Unsupported(f"{reason}; convert the model first")

    def _with_axes(
        self, op: str, x: gs.Tensor, axes: Sequence[int], shape: Shape, **attributes: Any
    ) -> gs.Variable:
        if self.opset >= AXES_ARE_AN_INPUT[op]:
            return self.node(op, [x, self.integers(axes)], shape, **attributes)
        return self.node(op, [x], shape, axes=list(axes), **attributes)

    def _length(self, axis: int, constant: Callable[[int], gs.Constant]) -> gs.Tensor:
        """In the shape that `constant` gives to its value."""
        x = self._node.inputs[0]
        dim = x.shape[axis]
        if isinstance(dim, int):
            return constant(dim)
        index = constant(axis)
        shape = index.values.shape
        if is_confirmed(dim) and (known := self.size_named(dim, shape)) is not None:
            return known
        sizes = self.shared("Shape", [x], (len(x.shape),), np.dtype(np.int64))
        return self.shared("Gather", [sizes, index], shape, axis=0)
