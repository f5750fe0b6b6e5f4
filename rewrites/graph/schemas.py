"""Whether a node fits the schema that its op has in an opset."""

from __future__ import annotations

import functools

import onnx
import onnx_graphsurgeon as gs
from onnx.defs import OpSchema

from onnxpool.rewrites.graph.tensors import onnx_type

_VARIADIC = OpSchema.FormalParameterOption.Variadic


@functools.cache
def schema_of(op: str, opset: int) -> OpSchema | None:
    """The schema of a standard op in `opset`; None where it has no such op."""
    try:
        schema = onnx.defs.get_schema(op, opset, "")
    except onnx.defs.SchemaError:
        return None
    return None if schema.deprecated else schema


def misfit(node: gs.Node, opset: int) -> str | None:
    """Why a standard node is not valid in `opset`, as far as its types are known; None if it is."""
    schema = schema_of(node.op, opset)
    if schema is None:
        return _absence(node.op, opset)
    if unknown := set(node.attrs) - set(schema.attributes):
        name = min(unknown)
        return f"opset {opset} has no attribute {name} of {node.op} (it is {node.attrs[name]!r})"
    for tensors, formal, what in (
        (node.inputs, schema.inputs, "input"),
        (node.outputs, schema.outputs, "output"),
    ):
        used = len([tensor for tensor in tensors if tensor.name])
        variadic = formal and formal[-1].option == _VARIADIC
        if used > len(formal) and not variadic:
            return f"opset {opset} has {len(formal)} {what}s of {node.op}, found {used}"
    return _wrong_type(node, schema, opset)


def _absence(op: str, opset: int) -> str:
    versions = [
        schema.since_version
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.name == op and schema.domain == "" and not schema.deprecated
    ]
    if not versions:
        return f"{op} is no standard op"
    return f"opset {opset} has no {op}; it starts at opset {min(versions)}"


def _wrong_type(node: gs.Node, schema: OpSchema, opset: int) -> str | None:
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    bound: dict[str, str] = {}
    for tensors, formal in ((node.inputs, schema.inputs), (node.outputs, schema.outputs)):
        for index, tensor in enumerate(tensors):
            parameter = formal[min(index, len(formal) - 1)]
            found = _type_name(tensor)
            if found is None:
                continue
            if f"tensor({found})" not in allowed.get(parameter.type_str, [parameter.type_str]):
                return f"opset {opset} takes no {found} as {parameter.name} of {node.op}"
            if not parameter.is_homogeneous:
                continue
            first = bound.setdefault(parameter.type_str, found)
            if first != found and parameter.type_str in allowed:
                return (
                    f"opset {opset} wants one type for {parameter.name} and others of {node.op}, "
                    f"found {first} and {found}"
                )
    return None


def _type_name(tensor: gs.Tensor) -> str | None:
    """As schemas name the elements of a tensor, such as "float"; None: not known, or no tensor."""
    is_tensor = isinstance(tensor, gs.Constant) or tensor.type in (None, "tensor_type")
    elem_type = onnx_type(tensor.dtype) if tensor.name and is_tensor else 0
    return str(onnx.TensorProto.DataType.Name(elem_type)).lower() if elem_type else None
