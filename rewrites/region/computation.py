"""Follow the elements of X through the nodes of a region: what is each element of Y?"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import KEEP, Array
from onnxpool.rewrites.graph.run import evaluate, run_node
from onnxpool.rewrites.region.layout import laid_out, taken_back
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.semantics import semantics_of
from onnxpool.rewrites.region.semantics.call import Call, Operand
from onnxpool.rewrites.region.semantics.sums import adaptive_average
from onnxpool.rewrites.region.terms import NotCarried, NotUnderstood, Sums, Value, check_size

_OPEN = (1009, 1013, 1019, 1021, 1031)
"""What stands for the size of an open axis that is carried: no size that a graph has."""

Dims = Sequence[int | None]
"""The shape of X; None for an open size that must be carried."""


class NeedsSize(Exception):
    """An open axis cannot be carried: its size has to be chosen."""

    def __init__(self, axis: int) -> None:
        super().__init__(axis)
        self.axis = axis


class Constants:
    """The values of constant tensors, each computed once."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self._known: dict[str, Array] = {}

    def __call__(self, tensor: gs.Tensor) -> Array:
        """Raises:
        RunError: ONNX Runtime does not run the nodes that compute it.
        """
        if isinstance(tensor, gs.Constant) and not tensor.name:
            return np.asarray(tensor.values)
        if tensor.name not in self._known:
            self._known[tensor.name] = evaluate(tensor, self.opset)
        return self._known[tensor.name]


def compute(
    region: Region,
    dims: Dims,
    pooled: Container[int],
    constants: Constants,
    known: Mapping[str, Array] | None = None,
    *,
    must_carry: Container[int] = (),
) -> Value:
    """What Y is, in terms of the elements of X, both with their axes as the op has them.

    Args:
        dims: the shape of X.
        pooled: the axes that are not carried from the start.
        known: per name the value of a tensor that the graph computes of shapes.
        must_carry: axes that are open, though `dims` has a size for them.

    Raises:
        NotUnderstood: that is not known.
        NeedsSize: `dims` must have a size where it has None.
        RunError: a constant cannot be computed.
    """
    carried = {axis for axis, size in enumerate(dims) if axis not in pooled and size != 1}
    while True:
        try:
            return _Computation(region, dims, carried, constants, known or {}).run()
        except NotCarried as reason:
            if dims[reason.label] is None or reason.label in must_carry:
                raise NeedsSize(reason.label) from None
            carried.discard(reason.label)


class _Computation:
    def __init__(
        self,
        region: Region,
        dims: Dims,
        carried: Container[int],
        constants: Constants,
        known: Mapping[str, Array],
    ) -> None:
        self._region = region
        self._constants = constants
        self._open = {axis for axis, size in enumerate(dims) if size is None}
        sizes = {a: n if n is not None else _OPEN[a] for a, n in enumerate(dims) if a in carried}
        shape = [1 if axis in carried else int(n or 0) for axis, n in enumerate(dims)]
        count = int(np.prod(shape, dtype=object))
        check_size(count)
        if not count:
            raise NotUnderstood("of a tensor without elements")
        ids = np.arange(count).reshape(shape)
        x = Value(Sums.of_input(count), ids, {a: (a,) for a in sizes}, sizes)
        if region.layout is not None:
            x = laid_out(x, region.layout)
        self._found: dict[str, Value | Array] = {**known, region.x.name: x}

    def run(self) -> Value:
        for node in self._region.nodes:
            if node.outputs[0].name in self._found:
                continue
            outputs = self._outputs(node)
            names = (tensor.name for tensor in node.outputs)
            self._found.update(zip(names, outputs, strict=False))
        y = self._found[self._region.y.name]
        if not isinstance(y, Value):
            raise NotUnderstood("it does not depend on the elements of its input")
        return y if self._region.layout is None else taken_back(y, self._region.layout)

    def _outputs(self, node: gs.Node) -> Sequence[Value | Array]:
        if self._region.pool is not None and node is self._region.pool.node:
            return [self._named_pool(node)]
        operands = [self._operand(tensor) for tensor in node.inputs]
        values = [operand for operand in operands if isinstance(operand, Value)]
        if not values:
            return run_node(
                node,
                [o for o in operands if o is None or isinstance(o, np.ndarray)],
                self._constants.opset,
            )
        if node.op in ("Shape", "Size"):
            return [self._shape(node, values[0])]
        opset = self._constants.opset
        found = semantics_of(node.op, list(node.attrs), opset)
        attributes = {name: _plain(value) for name, value in node.attrs.items()}
        return found.compute(Call(node.op, attributes, operands, len(node.outputs), opset))

    def _operand(self, tensor: gs.Tensor) -> Operand:
        if not tensor.name and not isinstance(tensor, gs.Constant):
            return None
        if tensor.name in self._found:
            return self._found[tensor.name]
        return self._constants(tensor)

    def _shape(self, node: gs.Node, x: Value) -> Array:
        if any(self._open.intersection(labels) for labels in x.carried.values()):
            raise NotUnderstood("it reads a size that is not fixed")
        if node.op == "Size":
            return np.array(np.prod(x.shape), np.int64)
        start, end = node.attrs.get("start", 0), node.attrs.get("end")
        return np.array(x.shape[slice(start, end)], np.int64)

    def _named_pool(self, node: gs.Node) -> Value:
        x = self._found[node.inputs[0].name]
        assert isinstance(x, Value)
        assert self._region.pool is not None
        size = self._region.pool.op.output_size
        plane = x.shape[-len(size) :]
        return adaptive_average(
            x, [n if o == KEEP else o for o, n in zip(size, plane, strict=True)]
        )


def _plain(value: Any) -> Any:
    return value.values if isinstance(value, gs.Constant) else value
