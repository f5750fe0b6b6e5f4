"""Attributes that the other opset does not have, and that say nothing: left out.

Op<new = its default>(X)  =  Op(X)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.schemas import schema_of

_ONES_BY_DEFAULT = ("dilations",)
"""Lists whose default depends on the rank, so that the schema does not hold it."""


def superfluous(node: gs.Node, source: int, target: int) -> set[str]:
    """The attributes of `node` that `target` does not have and that hold their default."""
    old, new = schema_of(node.op, source), schema_of(node.op, target)
    if old is None or new is None or old.since_version == new.since_version:
        return set()
    unknown = set(node.attrs) - set(new.attributes)
    return {name for name in unknown if _is_default(node.attrs[name], name, old)}


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    dropped = superfluous(node, source, b.opset)
    kept = {name: value for name, value in node.attrs.items() if name not in dropped}
    return b.outputs(node.op, node.inputs, node.outputs, **kept)


def _is_default(value: Any, name: str, schema: onnx.defs.OpSchema) -> bool:
    if name in _ONES_BY_DEFAULT:
        return all(each == 1 for each in value)
    if name not in schema.attributes:
        return False
    default = schema.attributes[name].default_value
    if default.type == onnx.AttributeProto.UNDEFINED:
        return False
    held = onnx.helper.get_attribute_value(default)
    return bool(value == (held.decode() if isinstance(held, bytes) else held))
