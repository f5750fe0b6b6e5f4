"""Cut a piece out of a graph as a model of its own, so that it can be run."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Container, Mapping, Sequence

import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.exporters.onnx_exporter import OnnxExporter, constant_to_onnx_tensor

from onnxpool.ops.op import DOMAIN, VERSION
from onnxpool.rewrites.graph.constants import runs_as_constant
from onnxpool.rewrites.graph.session import RunError
from onnxpool.rewrites.graph.tensors import onnx_type

_HALVES = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


def cut(
    inputs: Sequence[gs.Tensor],
    outputs: Sequence[gs.Tensor],
    opset: int,
    *,
    promote: bool = False,
    bodies: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    """Return a model that computes `outputs` from `inputs` and constants.

    Args:
        inputs: become the inputs of the model, of known dtype.
        outputs: become the outputs of the model, of known dtype.
        opset: the version of the default domain.
        promote: compute float16 and bfloat16 in float32, which shows what the nodes compute
            without the rounding, and runs where half-precision kernels are missing.
        bodies: functions of the dialect, for the nodes that call them.

    Raises:
        RunError: a node has an attribute that says nothing.
    """
    given = {tensor.name for tensor in inputs}
    nodes = producers(outputs, given)
    read = {t.name: t for t in (*outputs, *(t for node in nodes for t in node.inputs))}
    graph = onnx.helper.make_graph(
        list(map(exported, nodes)),
        "region",
        [_value_info(t) for t in inputs],
        [_value_info(t, with_shape=False) for t in outputs],
        [
            constant_to_onnx_tensor(tensor)
            for name, tensor in read.items()
            if isinstance(tensor, gs.Constant) and name not in given
        ],
    )
    if promote:
        _promote(graph)
    opset_import = onnx.helper.make_opsetid("", opset)
    called = {node.op for node in nodes if node.domain == DOMAIN}
    return onnx.helper.make_model(
        graph,
        opset_imports=[opset_import, *[onnx.helper.make_opsetid(DOMAIN, VERSION)] * bool(called)],
        functions=[body for body in bodies if body.name in called],
        ir_version=max(onnx.helper.find_min_ir_version_for([opset_import]), 8 if called else 7),
    )


def producers(outputs: Sequence[gs.Tensor], given: Container[str]) -> list[gs.Node]:
    """Every node that `outputs` need, down to what is `given`, each behind what it reads.

    Args:
        given: names of tensors.
    """
    return producers_until(outputs, lambda tensor: tensor.name in given)


def producers_until(
    outputs: Sequence[gs.Tensor], is_given: Callable[[gs.Tensor], bool]
) -> list[gs.Node]:
    """As `producers`; what is given is decided tensor by tensor."""
    ordered: list[gs.Node] = []
    seen: set[int] = set()
    stack = [(node, False) for tensor in outputs if not is_given(tensor) for node in tensor.inputs]
    while stack:
        node, is_read = stack.pop()
        if is_read:
            ordered.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            needed = (tensor for tensor in node.inputs if not is_given(tensor))
            stack.extend((producer, False) for tensor in needed for producer in tensor.inputs)
    return ordered


_VARYING: weakref.WeakValueDictionary[int, gs.Tensor] = weakref.WeakValueDictionary()
"""Per `id` the tensors that were found to depend on an input: who asks for one that is computed of
them need not go back to the input once more."""


def needs_constants_alone(tensor: gs.Tensor) -> bool:
    """Whether `tensor` can be computed without any input of the graph."""
    read_by: dict[int, gs.Tensor | None] = {id(tensor): None}
    tensors = [tensor]
    while tensors:
        read = tensors.pop()
        if isinstance(read, gs.Constant) or not read.name:
            continue
        if id(read) in _VARYING or not read.inputs or not all(map(runs_as_constant, read.inputs)):
            _note_varying(read, read_by)
            return False
        for source in (t for node in read.inputs for t in node.inputs):
            if id(source) not in read_by:
                read_by[id(source)] = read
                tensors.append(source)
    return True


def _note_varying(tensor: gs.Tensor | None, read_by: Mapping[int, gs.Tensor | None]) -> None:
    """Note it of a tensor, and of all between it and the one that was asked for."""
    while tensor is not None:
        _VARYING[id(tensor)] = tensor
        tensor = read_by[id(tensor)]


def exported(node: gs.Node) -> onnx.NodeProto:
    """A node as a proto of its own, with the values that it refers to.

    Raises:
        RunError: it has an attribute that says nothing.
    """
    try:
        proto: onnx.NodeProto = OnnxExporter.export_node(loaded(node))
    except (ValueError, TypeError) as error:
        raise RunError(f"{node.op} node {node.name!r} cannot be written: {error}") from error
    return proto


def loaded(node: gs.Node) -> gs.Node:
    """Read what the node refers to: the exporter would pass on references to external data."""
    for value in node.attrs.values():
        if isinstance(value, gs.Constant):
            value.values  # noqa: B018 - reading it loads it
    return node


def _value_info(tensor: gs.Tensor, with_shape: bool = True) -> onnx.ValueInfoProto:
    if not with_shape and tensor.dtype is None:
        return onnx.ValueInfoProto(name=tensor.name)  # ONNX Runtime infers it.
    shape = tensor.shape if with_shape else None
    return onnx.helper.make_tensor_value_info(tensor.name, onnx_type(tensor.dtype), shape)


def _promote(graph: onnx.GraphProto) -> None:
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type in _HALVES:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    for tensor in graph.initializer:
        _promote_tensor(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _promote_tensor(attribute.t)
            if attribute.name in ("to", "dtype") and attribute.i in _HALVES:
                attribute.i = onnx.TensorProto.FLOAT


def _promote_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in _HALVES:
        values = onnx.numpy_helper.to_array(tensor).astype("float32")
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
