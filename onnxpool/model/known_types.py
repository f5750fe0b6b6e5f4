"""CastLike(X, Y) = Cast<to = the type of Y>(X), where that is known: it does not depend on Y.

Functions that are written for all types cast their constants to that of an input.
"""

from __future__ import annotations

from collections.abc import Container

from onnx import AttributeProto, NodeProto

from onnxpool.model.file import ModelFile
from onnxpool.rewrites.graph.tensors import onnx_type


def resolve_types(file: ModelFile, among: Container[str]) -> bool:
    """Write Cast for CastLike in the graphs and functions of a file.

    Args:
        file: with the types of its tensors. Its graphs are out of date if something is written.
        among: names of the outputs of the nodes that may be changed.

    Returns:
        Whether something was.
    """
    changed = False
    for scope in file.scopes:
        types = {
            node.outputs[0].name: onnx_type(node.outputs[0].dtype)
            for node in scope.graph.nodes
            if node.op == "CastLike" and node.outputs[0].dtype is not None
        }
        for node in scope.proto.node if types else ():
            if _is_cast_like(node) and node.output[0] in among and node.output[0] in types:
                _cast(node, types[node.output[0]])
                changed = True
    return changed


def _is_cast_like(node: NodeProto) -> bool:
    return node.op_type == "CastLike" and node.domain in ("", "ai.onnx") and not node.attribute


def _cast(node: NodeProto, to: int) -> None:
    node.op_type = "Cast"
    del node.input[1:]
    node.attribute.append(AttributeProto(name="to", type=AttributeProto.INT, i=to))
