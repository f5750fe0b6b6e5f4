"""The verifier, run between lift and lower: every dialect node of a graph is as its op wants it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import onnx
import onnx_graphsurgeon as gs
from onnx.defs import OpSchema

from onnxpool.ops import DIALECT, DOMAIN, GeMPool, InvalidOp, Op, PyramidPool
from onnxpool.ops.op import MOST_SIZES, Dim, Shape, wrong_size
from onnxpool.rewrites.graph.tensors import is_float, onnx_type

UNDEFINED = int(onnx.TensorProto.UNDEFINED)


def verify(graph: gs.Graph, *, lifted: bool = False) -> None:
    """Check the dialect nodes of `graph`, not those of its subgraphs.

    Types and sizes that are not known agree with everything.

    Args:
        lifted: whether they may have been lifted, and are to be lowered: these alone may keep
            channels behind three axes.

    Raises:
        InvalidOp: one line, about the first malformed node: its op type, its attributes, the
            number, rank or dtype of its inputs or outputs, or an output shape that contradicts
            the op's shape rule.
    """
    for node in graph.nodes:
        if node.domain == DOMAIN:
            try:
                verify_node(node, lifted=lifted)
            except InvalidOp as error:
                raise InvalidOp(f"node {node.name!r}: {error}") from None


def verify_node(node: gs.Node, *, lifted: bool = False) -> None:
    """Check one dialect node.

    Args:
        lifted: as `verify`.

    Raises:
        InvalidOp: as `verify`, without the name of the node.
    """
    cls = next((cls for cls in DIALECT if cls.op_type() == node.op), None)
    if cls is None:
        known = ", ".join(cls.op_type() for cls in DIALECT)
        raise InvalidOp(f"the dialect has no op {node.op!r}; it has {known}")
    op = cls.from_attributes(node.attrs)
    longest = max(op.each_size, key=len, default=())
    if len(longest) > MOST_SIZES and not lifted:
        raise InvalidOp(wrong_size(op.op_type(), longest))
    _check_count(op, "inputs", [tensor.name for tensor in node.inputs], cls.schema.inputs)
    _check_count(op, "outputs", [tensor.name for tensor in node.outputs], cls.schema.outputs)
    if isinstance(op, PyramidPool) and len(node.outputs) != op.levels:
        raise InvalidOp(f"PyramidPool has {op.levels} levels and {len(node.outputs)} outputs")
    _check_types(op, node)
    _check_shapes(op, node)


def _check_count(
    op: Op, what: str, names: Sequence[str], formal: Sequence[OpSchema.FormalParameter]
) -> None:
    required = [
        parameter
        for parameter in formal
        if parameter.option != OpSchema.FormalParameterOption.Optional
    ]
    variadic = any(p.option == OpSchema.FormalParameterOption.Variadic for p in formal)
    least, most = len(required), max(len(formal), len(names) if variadic else 0)
    wanted = str(least) if least == most else f"{least} to {most}"
    if not least <= len(names) <= most:
        raise InvalidOp(f"{op.op_type()} takes {wanted} {what}, found {len(names)}")
    if not all(names[:least]):
        raise InvalidOp(f"{op.op_type()} needs each of its first {least} {what}, one is empty")


def _check_types(op: Op, node: gs.Node) -> None:
    x = onnx_type(node.inputs[0].dtype)
    if x != UNDEFINED and not is_float(x):
        raise InvalidOp(f"{op.op_type()} takes floating-point tensors, found {_type_name(x)}")
    for tensor, parameter in (
        *_formal(node.inputs, op.schema.inputs),
        *_formal(node.outputs, op.schema.outputs),
    ):
        wanted = x if parameter.type_str == "T" else int(onnx.TensorProto.INT64)
        found = onnx_type(tensor.dtype)
        if tensor.name and UNDEFINED not in (wanted, found) and wanted != found:
            raise InvalidOp(
                f"{parameter.name} {tensor.name!r} of {op.op_type()} is {_type_name(found)}, "
                f"wanted {_type_name(wanted)}"
            )


def _formal(
    tensors: Sequence[gs.Tensor], parameters: Sequence[OpSchema.FormalParameter]
) -> Iterator[tuple[gs.Tensor, OpSchema.FormalParameter]]:
    """Each tensor with its parameter; the last one stands for every further one of a variadic."""
    repeated = itertools.chain(parameters, itertools.repeat(parameters[-1]))
    return zip(tensors, repeated, strict=False)


def _type_name(elem_type: int) -> str:
    return str(onnx.TensorProto.DataType.Name(elem_type))


def _check_shapes(op: Op, node: gs.Node) -> None:
    x = node.inputs[0].shape
    if x is None:
        return
    inputs = [None if t.shape is None else tuple(t.shape) for t in node.inputs]
    shapes = op.shapes_from(inputs, len(node.outputs))
    for tensor, shape in zip(node.outputs, shapes, strict=True):
        if tensor.name and tensor.shape is not None and not _agree(tuple(tensor.shape), shape):
            raise InvalidOp(
                f"output {tensor.name!r} is declared as {list(tensor.shape)}, "
                f"but {op.op_type()} makes it {list(shape)}"
            )
    if isinstance(op, GeMPool):
        _check_exponents(node.inputs[1].shape, x[-len(op.output_size) - 1])


def _check_exponents(p: Shape | None, channels: Dim) -> None:
    sizes = [dim for dim in p if isinstance(dim, int)] if p is not None else []
    if p is None or len(sizes) < len(p) or not isinstance(channels, int):
        return
    if math.prod(sizes) not in (1, channels):
        raise InvalidOp(f"GeMPool takes 1 or {channels} exponents, found {math.prod(sizes)}")


def _agree(declared: Shape, derived: Shape) -> bool:
    return len(declared) == len(derived) and all(
        a == b or not isinstance(a, int) or not isinstance(b, int)
        for a, b in zip(declared, derived, strict=True)
    )
