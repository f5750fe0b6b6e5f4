"""What calls of a model's functions give, inferred once per signature.

onnx expands every call to infer it, and the calls in what it calls: ten functions of ten calls each
are 10^10 nodes. Here a function is, for a while, an op with a schema of its own, whose inference is
that of its body for the inputs of the call, kept for the next call that is alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto
from onnx.defs import OpSchema

from onnxpool.model.bodies import bodies
from onnxpool.model.calls import Key, key_of_function, resolve_attributes
from onnxpool.model.types import without_generated_sizes

_DOMAIN = "onnxpool.calls"
_NUMBERS = itertools.count()

_DEEPEST = 24
_MOST_NODES = 10_000
_OF_EACH_NODE = 20
"""Nodes of bodies that are inferred, and for each node of the model: what is beyond is unknown."""

Infer = Callable[[GraphProto, onnx.FunctionProto], GraphProto]
"""Infers a graph that is the body of a function."""


@dataclasses.dataclass(frozen=True)
class _Call:
    """Attributes:
    types, values: per input, as far as they are known.
    attributes: by name; None for those that the node does not give.
    """

    types: Sequence[TypeProto | None]
    values: Sequence[TensorProto | None]
    attributes: Mapping[str, AttributeProto | None]

    def serialized(self) -> Iterator[bytes | None]:
        for part in (*self.types, *self.values, *self.attributes.values()):
            yield part if part is None else part.SerializeToString(deterministic=True)


class Called:
    """The functions of a model as ops; a context in which onnx knows them."""

    def __init__(
        self, functions: Iterable[onnx.FunctionProto], infer: Infer, nodes: int = 0
    ) -> None:
        """Take functions without weights, and the number of nodes around them."""
        self._functions = {key_of_function(function): function for function in functions}
        self._infer = infer
        nodes += sum(len(function.node) for function in self._functions.values())
        number = next(_NUMBERS)
        self._names = {key: f"F{number}_{i}" for i, key in enumerate(self._functions)}
        self._keys = {name: key for key, name in self._names.items()}
        self._known: dict[tuple[object, ...], list[TypeProto | None]] = {}
        self._depth = 0
        self._nodes_left = _MOST_NODES + _OF_EACH_NODE * nodes

    def __enter__(self) -> Called:
        for key, name in self._names.items():
            schema = _schema(name)
            schema.set_type_and_shape_inference_function(functools.partial(self._give, key))
            onnx.defs.register_schema(schema)
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._names.values():
            with contextlib.suppress(onnx.defs.SchemaError):
                onnx.defs.deregister_schema(name, 1, _DOMAIN)

    def imports(self) -> Iterator[onnx.OperatorSetIdProto]:
        """What a model has to import besides."""
        if self._names:
            yield onnx.helper.make_opsetid(_DOMAIN, 1)

    def rename(self, nodes: Iterable[NodeProto]) -> None:
        """Make calls those of the ops, in bodies too, in place."""
        if not self._names:
            return
        for node in nodes:
            name = self._names.get((node.domain, node.op_type, node.overload))
            if name is not None:
                node.domain, node.op_type, node.overload = _DOMAIN, name, ""
            for body in bodies(node):
                self.rename(body.node)

    def key(self, node: NodeProto) -> Key | None:
        """The function that a renamed node calls; None: it is no call."""
        return self._keys.get(node.op_type) if node.domain == _DOMAIN else None

    def _give(self, key: Key, context: Any) -> None:
        """Set the output types of a call."""
        function = self._functions[key]
        names = (*function.attribute, *(a.name for a in function.attribute_proto))
        inputs = range(context.get_num_inputs())
        call = _Call(
            [context.get_input_type(i) for i in inputs],
            [context.get_input_data(i) for i in inputs],
            {name: context.get_attribute(name) for name in names},
        )
        for index, found in enumerate(self._outputs(function, call)):
            if found is not None and index < context.get_num_outputs():
                context.set_output_type(index, found)

    def _outputs(self, function: onnx.FunctionProto, call: _Call) -> list[TypeProto | None]:
        signature = (key_of_function(function), *call.serialized())
        if signature not in self._known:
            size = len(function.node)
            if self._depth >= _DEEPEST or size > self._nodes_left:
                return [None] * len(function.output)
            self._nodes_left -= size
            self._depth += 1
            try:
                self._known[signature] = self._body(function, call)
            finally:
                self._depth -= 1
        return self._known[signature]

    def _body(self, function: onnx.FunctionProto, call: _Call) -> list[TypeProto | None]:
        graph = GraphProto(
            name=function.name,
            node=function.node,
            value_info=function.value_info,
            output=[ValueInfoProto(name=name) for name in function.output],
        )
        padded = itertools.zip_longest(function.input, call.types, call.values)
        for name, type_, value in itertools.islice(padded, len(function.input)):
            if value is not None:
                graph.initializer.add().CopyFrom(value)
                graph.initializer[-1].name = name
            else:
                graph.input.append(ValueInfoProto(name=name, type=type_))
        defaults = {a.name: a for a in function.attribute_proto}
        absent = AttributeProto()
        given = {n: a or defaults.get(n, absent) for n, a in call.attributes.items()}
        resolve_attributes(graph, given)
        inferred = self._infer(graph, function)
        symbols = {d.dim_param for t in call.types if t for d in t.tensor_type.shape.dim}
        found = {v.name: v.type for v in (*inferred.value_info, *inferred.input, *inferred.output)}
        types = (found.get(name) for name in function.output)
        return [
            without_generated_sizes(t, symbols) if t is not None and t.WhichOneof("value") else None
            for t in types
        ]


@functools.cache
def _all_types() -> tuple[str, ...]:
    schemas = (s for s in onnx.defs.get_all_schemas() if s.domain == "")
    constraints = (c for schema in schemas for c in schema.type_constraints)
    return tuple(sorted({name for c in constraints for name in c.allowed_type_strs}))


def _schema(name: str) -> OpSchema:
    """Of an op that takes and gives any number of anything."""
    formal = functools.partial(
        OpSchema.FormalParameter,
        type_str="T",
        param_option=OpSchema.FormalParameterOption.Variadic,
        is_homogeneous=False,
        min_arity=0,
    )
    return OpSchema(
        name,
        _DOMAIN,
        1,
        inputs=[formal("X")],
        outputs=[formal("Y")],
        type_constraints=[("T", _all_types(), "Anything.")],
    )
