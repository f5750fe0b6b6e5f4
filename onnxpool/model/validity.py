"""What a model has to be: as onnx's checker wants it, and some more that it does not look at."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx

from onnxpool.errors import ModelError, NoOpsetError
from onnxpool.model.bodies import bodies, with_bodies
from onnxpool.model.scope import default_opset
from onnxpool.model.skeleton import for_checker, thin_model
from onnxpool.ops import DOMAIN

IR_OF_PLAIN_INITIALIZERS = 4
"""The first in which an initializer needs to be no input."""


def check(proto: onnx.ModelProto, path: Path) -> None:
    """Check a model, weights aside.

    Args:
        path: for messages.

    Raises:
        ModelError: it is not valid.
    """
    _check_header(proto, path)
    _check_names(proto, path)
    _check_references(proto, path)
    try:
        copy = thin_model(proto, for_checker)
        _complete(copy.graph)
        # Runtimes take an old model whose initializers are no inputs.
        copy.ir_version = max(copy.ir_version, IR_OF_PLAIN_INITIALIZERS)
        onnx.checker.check_model(copy)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        reason = textwrap.shorten(str(error), 400, placeholder=" …")
        raise ModelError(f"{path} is not a valid model: {reason}") from error


def _check_header(proto: onnx.ModelProto, path: Path) -> None:
    if not proto.HasField("graph"):
        raise ModelError(f"{path} holds no graph; it is not an ONNX model, or is truncated")
    if not proto.graph.node:
        raise ModelError(f"{path}: the graph has no nodes")
    opset, newest = default_opset(proto.opset_import), onnx.defs.onnx_opset_version()
    if opset is None and _needs_opset(proto):
        raise NoOpsetError(
            f"{path} does not say its opset (no opset_import for the default domain)"
        )
    if opset is not None and not 1 <= opset <= newest:
        raise ModelError(
            f"{path} has opset {opset}; onnx {onnx.__version__} knows 1 to {newest}: "
            "upgrade onnx or convert the model"
        )


def _needs_opset(proto: onnx.ModelProto) -> bool:
    """Whether a node is of the default domain or becomes ops of it, or nothing is imported."""
    called = [node for function in proto.functions for node in function.node]
    domains = {node.domain for node in with_bodies([*proto.graph.node, *called])}
    return not proto.opset_import or not domains.isdisjoint(("", "ai.onnx", DOMAIN))


def _check_names(proto: onnx.ModelProto, path: Path) -> None:
    """Protobuf gives text that is not UTF-8 as bytes, and takes no such text."""
    for place, names in _all_names(proto):
        for name in names:
            if isinstance(name, bytes):
                raise ModelError(
                    f"{path} is not a valid model: {name!r}, {place}, is not UTF-8; names in ONNX "
                    "are"
                )


_Names = Iterator[tuple[str, Iterable[object]]]


def _all_names(proto: onnx.ModelProto) -> _Names:
    """The names in a model, with the place of each in words."""
    yield "an imported domain", (entry.domain for entry in proto.opset_import)
    yield from _names_of_graph(proto.graph)
    for function in proto.functions:
        place = f"in function {function.name!s}"
        yield place, (function.name, function.domain, function.overload)
        yield place, (*function.input, *function.output, *function.attribute)
        yield place, (entry.domain for entry in function.opset_import)
        yield from _names_of_values(function.value_info)
        yield from _names_of_nodes(function.node)


def _names_of_graph(graph: onnx.GraphProto) -> _Names:
    yield "the name of a graph", (graph.name,)
    yield "an initializer", (tensor.name for tensor in graph.initializer)
    yield "an initializer", (sparse.values.name for sparse in graph.sparse_initializer)
    for values in (graph.input, graph.output, graph.value_info):
        yield from _names_of_values(values)
    yield from _names_of_nodes(graph.node)


def _names_of_values(values: Iterable[onnx.ValueInfoProto]) -> _Names:
    for value in values:
        yield "a declared tensor", (value.name,)
        dims = value.type.tensor_type.shape.dim
        yield f"a size of tensor {value.name!s}", (dim.dim_param for dim in dims)


def _names_of_nodes(nodes: Iterable[onnx.NodeProto]) -> _Names:
    for node in nodes:
        place = f"at a {node.op_type!s} node"
        yield place, (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield place, (name for a in node.attribute for name in (a.name, a.ref_attr_name))
        for body in bodies(node):
            yield from _names_of_graph(body)


def _check_references(proto: onnx.ModelProto, path: Path) -> None:
    """Only a function has attributes that a node in it can refer to."""
    for node in with_bodies(proto.graph.node):
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                raise ModelError(
                    f"{path} is not a valid model: attribute {attribute.name!r} of {node.op_type} "
                    f"node {node.name!r} refers to one of a function, and is in none"
                )


def _complete(graph: onnx.GraphProto) -> None:
    """Declare what the checker insists on and runtimes infer: types and shapes of the outputs."""
    for value in graph.output:
        if value.type.WhichOneof("value") is None:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    for value in (*graph.input, *graph.output):
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
