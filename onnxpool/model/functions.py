"""The dialect in a model file: whether it is used, and what of it is no longer needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import onnx

from onnxpool.model.bodies import with_bodies
from onnxpool.model.file import ModelFile
from onnxpool.ops import DOMAIN
from onnxpool.rewrites.lower.function_body import is_body


def uses_dialect(model: onnx.ModelProto) -> bool:
    """Whether a node is of the dialect."""
    return any(dialect_nodes(model))


def dialect_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """The nodes of the dialect, in bodies of control flow and in functions too."""
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        yield from _of_dialect(nodes)


def drop_uncalled(file: ModelFile) -> None:
    """Remove the function bodies of the dialect that no node calls, and its unused imports."""
    model = file.proto
    called = {node.op_type for node in dialect_nodes(model)}
    kept = [f for f in model.functions if not is_body(f) or f.name in called]
    if len(kept) < len(model.functions):
        file.set_functions(kept)
    if not called:
        _drop_import(model.opset_import)
    for function in model.functions:
        if not any(_of_dialect(function.node)):
            _drop_import(function.opset_import)


def _of_dialect(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    return (node for node in with_bodies(nodes) if node.domain == DOMAIN)


def _drop_import(opset_import: Any) -> None:
    for index in reversed(range(len(opset_import))):
        if opset_import[index].domain == DOMAIN:
            del opset_import[index]
