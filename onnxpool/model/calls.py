"""Calls of the functions of a model: in which order, and what all calls of one agree on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TypeProto, ValueInfoProto

from onnxpool.model.scope import Scope
from onnxpool.model.types import without_shape

Attributes = Mapping[str, AttributeProto]
Key = tuple[str, str, str]
"""What a node names a function by: domain, name, overload."""


@dataclasses.dataclass(frozen=True)
class Call:
    """One node that calls a function."""

    caller: Scope
    inputs: tuple[TypeProto | None, ...]
    attributes: Attributes


def key_of_function(function: onnx.FunctionProto) -> Key:
    return function.domain, function.name, function.overload


def callers_first(functions: Iterable[onnx.FunctionProto]) -> list[Key]:
    """The functions, each behind those that call it."""
    called = {key_of_function(f): list(_keys_of_calls(f.node)) for f in functions}
    order: list[Key] = []
    seen: set[Key] = set()
    for first in called:
        stack = [(first, False)]
        while stack:
            key, is_done = stack.pop()
            if is_done:
                order.append(key)
            elif key in called and key not in seen:
                seen.add(key)
                stack.append((key, True))
                stack.extend((callee, False) for callee in reversed(called[key]))
    return order[::-1]


def _keys_of_calls(nodes: Iterable[NodeProto]) -> Iterator[Key]:
    for node in nodes:
        yield node.domain, node.op_type, node.overload
        for attribute in node.attribute:
            yield from _keys_of_calls(attribute.g.node)


def disagreement(calls: Sequence[Call]) -> str | None:
    """Why the shapes in a function are unknown; None where all its calls agree on them."""
    if not calls:
        return "never called"
    if any(_serialized(c.inputs) != _serialized(calls[0].inputs) for c in calls):
        return "called with different shapes"
    return calls[0].caller.shape_note


def _serialized(types: Iterable[TypeProto | None]) -> list[bytes | None]:
    return [t if t is None else t.SerializeToString(deterministic=True) for t in types]


def common_type(calls: Sequence[Sequence[TypeProto | None]], index: int) -> TypeProto | None:
    """The type that all calls give to input `index`; if only the dtypes agree, without a shape."""
    types = [inputs[index] if index < len(inputs) else None for inputs in calls]
    for common in (types, [without_shape(t) for t in types]):
        if common and all(s == _serialized(common)[0] for s in _serialized(common)):
            return common[0]
    return None


def common_attributes(
    function: onnx.FunctionProto, calls: Sequence[Attributes]
) -> dict[str, AttributeProto]:
    """The attributes that have one value in all calls; an empty one stands for no value."""
    defaults = {attribute.name: attribute for attribute in function.attribute_proto}
    common: dict[str, AttributeProto] = {}
    for name in (*function.attribute, *defaults):
        values = [call.get(name, defaults.get(name, AttributeProto())) for call in calls]
        if values and all(value == values[0] for value in values):
            common[name] = values[0]
    return common


def resolve_attributes(graph: GraphProto, attributes: Attributes) -> None:
    """Put values in place of references; the outputs of a node with an unknown one are inputs."""
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH and not attribute.ref_attr_name:
                resolve_attributes(attribute.g, attributes)
        references = [a for a in node.attribute if a.ref_attr_name]
        if any(a.ref_attr_name not in attributes for a in references):
            graph.input.extend(ValueInfoProto(name=name) for name in node.output if name)
            del graph.node[index]
            continue
        for attribute in references:
            name, value = attribute.name, attributes[attribute.ref_attr_name]
            node.attribute.remove(attribute)
            if value.name:
                node.attribute.append(value)
                node.attribute[-1].name = name
