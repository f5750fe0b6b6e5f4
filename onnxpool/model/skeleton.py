"""Copies of a model without its weights, for onnx's checker and shape inference.

Both take the model serialized, which would copy every embedded weight and is limited to 2 GiB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto

from onnxpool.model.external_data import DataFolder, is_external, nbytes, numpy_dtype

SMALL = 1024
"""Tensors of up to this many bytes may be shapes, axes and the like, and keep their values."""

Thin = Callable[[TensorProto], TensorProto]
"""What becomes of a tensor in the copy."""


def for_checker(tensor: TensorProto) -> TensorProto:
    """Small tensors as they are; large and external ones empty, because sizes are checked too."""
    if is_small(tensor) and not is_external(tensor):
        return tensor
    return TensorProto(name=tensor.name, dims=[0], data_type=tensor.data_type)


def for_inference(folder: DataFolder) -> Thin:
    """Small tensors with their values, external ones too; of large ones type and shape."""

    def thin(tensor: TensorProto) -> TensorProto:
        if not is_small(tensor):
            return TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
        if is_external(tensor):
            return onnx.numpy_helper.from_array(folder.read(tensor), tensor.name)
        return tensor

    return thin


def is_small(tensor: TensorProto) -> bool:
    dtype = numpy_dtype(tensor.data_type)
    if dtype is None or dtype.hasobject:
        return int(tensor.ByteSize()) <= SMALL
    return nbytes(tensor) <= SMALL


def thin_model(model: onnx.ModelProto, thin: Thin) -> onnx.ModelProto:
    """Copy what says how `model` computes, each tensor as `thin` gives it."""
    return onnx.ModelProto(
        ir_version=model.ir_version,
        opset_import=model.opset_import,
        graph=thin_graph(model.graph, thin),
        functions=[thin_function(function, thin) for function in model.functions],
    )


def thin_function(function: onnx.FunctionProto, thin: Thin) -> onnx.FunctionProto:
    return onnx.FunctionProto(
        name=function.name,
        domain=function.domain,
        overload=function.overload,
        input=function.input,
        output=function.output,
        attribute=function.attribute,
        attribute_proto=function.attribute_proto,
        opset_import=function.opset_import,
        value_info=function.value_info,
        node=thin_nodes(function.node, thin),
    )


def thin_graph(graph: GraphProto, thin: Thin) -> GraphProto:
    copy = GraphProto(
        name=graph.name,
        input=graph.input,
        output=graph.output,
        value_info=graph.value_info,
        node=thin_nodes(graph.node, thin),
        initializer=[thin(tensor) for tensor in graph.initializer],
    )
    for sparse in graph.sparse_initializer:
        parts = (sparse.values, sparse.indices)
        if any(is_external(tensor) or not is_small(tensor) for tensor in parts):
            copy.input.append(
                onnx.helper.make_tensor_value_info(
                    sparse.values.name, sparse.values.data_type, sparse.dims
                )
            )
        else:
            copy.sparse_initializer.append(sparse)
    return copy


def thin_nodes(nodes: Iterable[NodeProto], thin: Thin) -> list[NodeProto]:
    return [_thin_node(node, thin) for node in nodes]


_HOLDERS = (AttributeProto.TENSOR, AttributeProto.TENSORS, AttributeProto.GRAPH)


def _thin_node(node: NodeProto, thin: Thin) -> NodeProto:
    if not any(attribute.type in _HOLDERS for attribute in node.attribute):
        return node
    return NodeProto(
        op_type=node.op_type,
        name=node.name,
        domain=node.domain,
        overload=node.overload,
        input=node.input,
        output=node.output,
        attribute=[_thin_attribute(attribute, thin) for attribute in node.attribute],
    )


def _thin_attribute(attribute: AttributeProto, thin: Thin) -> AttributeProto:
    if attribute.ref_attr_name or attribute.type not in _HOLDERS:
        return attribute
    copy = AttributeProto(name=attribute.name, type=attribute.type)
    if attribute.type == AttributeProto.TENSOR:
        copy.t.CopyFrom(thin(attribute.t))
    elif attribute.type == AttributeProto.TENSORS:
        copy.tensors.extend(thin(tensor) for tensor in attribute.tensors)
    else:
        copy.g.CopyFrom(thin_graph(attribute.g, thin))
    return copy
