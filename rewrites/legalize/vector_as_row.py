"""Operations on tensors of one axis, as rows.

    Op(v, …)       = Op(v as (1, …, n), …)         Add, Mul, Max, Expand, …
    Softmax(v)     = Softmax<axis=0>(v)
    ArgMax(v)      = ArgMax<axis=1>(v as (1, n))

A result that has one axis itself becomes such a one again.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.ops.op import Shape
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.cut import needs_constants_alone
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

BROADCASTING = ("Add", "Div", "Expand", "Max", "Min", "Mul", "Pow", "Sub")
"""Of these, an Expand broadcasts its first input to a shape."""
ALONG = ("LogSoftmax", "Softmax")
ARGUMENTS = ("ArgMax", "ArgMin")


def reads_vector(node: gs.Node) -> bool:
    """Whether a tensor that is computed has one axis, in an operation that has another one."""
    inputs = node.inputs[:1] if node.op == "Expand" else node.inputs
    shapes = {tuple(t.shape) for t in inputs if t.shape is not None}
    alike = len(inputs) > 1 and len(shapes) == 1 and not any(map(needs_constants_alone, inputs))
    return any(map(_is_vector, inputs)) and not alike


def reads_any_vector(node: gs.Node) -> bool:
    return any(map(_is_vector, node.inputs))


def is_along_vector(node: gs.Node) -> bool:
    """Whether a Softmax of a tensor of one axis counts that from the end."""
    return _is_vector(node.inputs[0]) and node.attrs.get("axis", -1) != 0


def is_of_vector(node: gs.Node) -> bool:
    return _is_vector(node.inputs[0])


def _is_vector(tensor: gs.Tensor) -> bool:
    shape = tensor.shape
    return shape is not None and len(shape) == 1 and not needs_constants_alone(tensor)


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    y = node.outputs[0]
    if y.shape is None:
        raise Unsupported("the rank of its output is not known")
    rank = max(len(y.shape), 2)
    count = 1 if node.op == "Expand" else len(node.inputs)
    inputs = [_as_row(b, t, rank) for t in node.inputs[:count]]
    shape = (*[1] * (rank - len(y.shape)), *y.shape)
    if node.op == "Expand":
        inputs.append(b.integers(_known(shape)))
    (row,) = b.outputs(node.op, inputs, node.outputs)
    row.shape = shape
    return [row if shape == tuple(y.shape) else _reshape(b, row, y.shape)]


def emit_along(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    if not is_along_vector(node):
        raise Unsupported("its input has more than one axis")
    return b.outputs(node.op, node.inputs, node.outputs, axis=0)


def emit_argument(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, y = node.inputs[0], node.outputs[0]
    if not _is_vector(x) or not y.shape:
        raise Unsupported("its input has more than one axis, or its output none")
    row = _as_row(b, x, 2)
    (position,) = b.outputs(
        node.op, [row], node.outputs, **{**node.attrs, "axis": 1, "keepdims": 1}
    )
    position.shape = (1, 1)
    return [_reshape(b, position, y.shape)]


def _as_row(b: Builder, tensor: gs.Tensor, rank: int) -> gs.Tensor:
    if not _is_vector(tensor):
        return tensor
    return _reshape(b, tensor, (*[1] * (rank - 1), *tensor.shape))


def _reshape(b: Builder, tensor: gs.Tensor, shape: Shape) -> gs.Variable:
    return b.node("Reshape", [tensor, b.integers(_known(shape))], tuple(shape))


def _known(shape: Shape) -> list[int]:
    if not all(isinstance(size, int) for size in shape):
        raise Unsupported("its sizes are known to the runtime alone")
    return [size for size in shape if isinstance(size, int)]


VECTOR_AS_ROW = Replacement("rows", emit)
ALONG_FIRST_AXIS = Replacement("along axis 0", emit_along)
ARGUMENT_OF_ROW = Replacement("of a row", emit_argument)
