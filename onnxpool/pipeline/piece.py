"""A piece of a graph that the check runs, and what its ops say of infinities and NaN."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxpool.ops.op import DOMAIN, Array, Shape
from onnxpool.rewrites.graph.cut import cut, producers
from onnxpool.rewrites.graph.run import RunError, Runner
from onnxpool.rewrites.graph.tensors import is_float, numpy_type, onnx_type

Bodies = Sequence[onnx.FunctionProto]

_SPREADING = frozenset(("Conv", "CumSum", "Einsum", "Gemm", "MatMul", "PyramidUpsample"))
_LOSING_NAN = frozenset(("ArgMax", "GlobalMaxPool", "MaxPool", "ReduceMax"))
_POOLING_MAX = frozenset(("GlobalMaxPool", "MaxPool"))


class Piece:
    """The nodes between some tensors, ready to run: in their own dtype, or in float32.

    Attributes:
        nodes: in the graph that it was cut from.
        kernels: whether nodes of the dialect run the kernels of the library.
    """

    def __init__(
        self,
        given: Sequence[gs.Tensor],
        outputs: Sequence[gs.Tensor],
        opset: int,
        bodies: Bodies = (),
        *,
        kernels: bool = False,
        promote: bool = False,
        open_axes: Collection[int] = (),
    ) -> None:
        """Cut it out.

        Args:
            open_axes: the axes of `given[0]` that take any size.
            promote: compute halves in float32, as is done where kernels for halves are missing.

        Raises:
            RunError: ONNX Runtime does not take it.
        """
        self.given = given
        self.kernels = kernels
        self.sized = _sized_alike(given, outputs)
        self.nodes = producers(outputs, {t.name for t in (*given, *self.sized)})
        self._ops = {node.op for node in self.nodes}
        if not kernels:
            called = (f for f in bodies if f.name in self._ops)
            self._ops |= {node.op_type for body in called for node in body.node}
        # Python has no way to feed ONNX Runtime a bfloat16.
        bfloat16 = any(onnx_type(t.dtype) == onnx.TensorProto.BFLOAT16 for t in given)
        self._promote = promote or bfloat16
        inputs = (*(_opened(x, open_axes) for x in given[:1]), *given[1:], *self.sized)
        model = cut(inputs, outputs, opset, bodies=bodies, promote=self._promote)
        try:
            self._runner = Runner(model, kernels=kernels)
        except RunError:
            self._promote = True
            self._runner = Runner(cut(inputs, outputs, opset, promote=True))

    def __call__(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Run on values for `given`, X first; on none where it is computed from constants alone.

        Raises:
            RunError: it fails on them.
        """
        symbols: dict[Any, int] = {}
        for tensor, x in zip(self.given[:1], inputs[:1], strict=True):
            symbols = dict(zip(tensor.shape or (), x.shape, strict=False))
        shapes = ([symbols.get(d, d or 1) for d in t.shape or ()] for t in self.sized)
        sized = (np.zeros([d if isinstance(d, int) else 1 for d in shape]) for shape in shapes)
        tensors = (*self.given, *self.sized)
        values = zip(tensors, (*inputs, *sized), strict=True)
        return self._runner({t.name: v.astype(self._type(t)) for t, v in values})

    def follows_from(self, x: Shape) -> bool:
        """Whether every size that it reads of tensors beside it is one of X's."""
        known = {dim for dim in x if dim is not None}
        dims = (dim for tensor in self.sized for dim in tensor.shape or (None,))
        return all(isinstance(dim, int) or dim in known for dim in dims)

    @property
    def spreads(self) -> bool:
        """Whether an infinity or a NaN may reach windows that do not see it."""
        return bool(self._ops & _SPREADING)

    @property
    def sums_up(self) -> bool:
        """Whether its sums may run over the whole plane."""
        return "CumSum" in self._ops

    @property
    def loses_nan(self) -> bool:
        """Whether it has maxima of ONNX Runtime that a NaN makes anything of."""
        return not self.kernels and bool(self._ops & _LOSING_NAN)

    @property
    def has_lowest(self) -> bool:
        """Whether its maxima may be the lowest number where all is -inf."""
        return not self.kernels and bool(self._ops & _POOLING_MAX)

    def _type(self, tensor: gs.Tensor) -> np.dtype[Any]:
        dtype = numpy_type(tensor.dtype)
        half = is_float(tensor.dtype) and dtype.itemsize == 2
        return np.dtype(np.float32) if half and self._promote else dtype


def _opened(x: gs.Tensor, axes: Collection[int]) -> gs.Tensor:
    if x.shape is None or not axes:
        return x
    shape = [None if axis in axes else dim for axis, dim in enumerate(x.shape)]
    return gs.Variable(x.name, x.dtype, shape)


def _sized_alike(given: Sequence[gs.Tensor], outputs: Sequence[gs.Tensor]) -> list[gs.Tensor]:
    """Tensors beside the piece of which it reads the shape: it has sizes of the same names."""
    names = {tensor.name for tensor in given}
    shapes = (node for node in producers(outputs, names) if node.op == "Shape")
    read = {node.inputs[0].name: node.inputs[0] for node in shapes}
    return [t for t in read.values() if t.name not in names and not _depends_on(t, names)]


def _depends_on(tensor: gs.Tensor, names: set[str]) -> bool:
    nodes = producers((tensor,), names)
    return any(t.name in names for node in nodes for t in node.inputs)


def is_dialect(piece: Piece) -> bool:
    """Whether it has nodes that the library has kernels for."""
    return any(node.domain == DOMAIN for node in piece.nodes)
