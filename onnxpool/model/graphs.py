"""The graphs of a model as graphsurgeon graphs: main graph, bodies of control flow, functions.

graphsurgeon's own import is not used: it fails on string attributes that are not UTF-8 and on
element types it does not know, reads sparse tensors wrongly where they are stored raw, takes
initializers that a caller may override for constants, and looks for external data in the working
directory. What it builds from a sound model, this builds too.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from typing import Any

import onnx
import onnx_graphsurgeon as gs
from onnx import AttributeProto, GraphProto
from onnx_graphsurgeon.util.misc import convert_from_onnx_attr_type

from onnxpool.model.external_data import DataFolder
from onnxpool.model.names import Names
from onnxpool.model.scope import Scope, default_opset
from onnxpool.model.stored_values import StoredSparseValues, StoredValues
from onnxpool.model.types import dtype_and_shape

_Tensors = MutableMapping[str, gs.Tensor]

OVERRIDABLE_SINCE_IR = 4
"""From this IR version on, an initializer that is also an input is only a default value."""


def import_scopes(model: onnx.ModelProto, folder: DataFolder) -> tuple[Scope, ...]:
    """Return the scopes of `model`, bodies before what is around them; the main graph is last."""
    importer = _Importer(model, folder)
    functions = [importer.function(function) for function in model.functions]
    importer.main(functions)
    return tuple(importer.scopes)


class _Importer:
    def __init__(self, model: onnx.ModelProto, folder: DataFolder) -> None:
        self.scopes: list[Scope] = []
        self._model = model
        self._folder = folder
        self._names = Names(model)
        self._stored: dict[int, gs.Constant] = {}

    def main(self, functions: Sequence[gs.Function]) -> None:
        model = self._model
        graph = gs.Graph(
            name=model.graph.name,
            opset=default_opset(model.opset_import) or 0,
            import_domains=model.opset_import,
            functions=functions,
            ir_version=model.ir_version,
        )
        scope = self._scope("main graph", graph, model.graph, model.opset_import, None, None)
        self._fill(scope, {})

    def function(self, proto: onnx.FunctionProto) -> gs.Function:
        """Import the body of a function; it may use other domains than the model."""
        graph = gs.Function(
            proto.name,
            domain=proto.domain,
            opset=default_opset(proto.opset_import) or default_opset(self._model.opset_import) or 0,
            import_domains=proto.opset_import,
            attrs=dict.fromkeys(proto.attribute),
        )
        name = f"function {proto.domain}::{proto.name}"
        if proto.overload:
            name += f" ({proto.overload})"
        scope = self._scope(name, graph, proto, proto.opset_import, None, None)
        for default in proto.attribute_proto:
            graph.attrs[default.name] = self._attribute(default, scope, {}, None)
        self._fill_function(scope, proto)
        return graph

    def _scope(
        self,
        name: str,
        graph: gs.Graph,
        proto: GraphProto | onnx.FunctionProto,
        opset_import: Any,
        outer: Scope | None,
        owner: gs.Node | None,
    ) -> Scope:
        return Scope(
            name,
            graph,
            proto,
            graph.opset,
            opset_import,
            self._model.ir_version,
            outer,
            owner,
            self._names,
            stored=self._stored,
        )

    def _body(
        self, proto: GraphProto, name: str, outer: Scope, owner: gs.Node | None, visible: _Tensors
    ) -> gs.Graph:
        graph = gs.Graph(
            name=proto.name,
            opset=outer.opset,
            import_domains=outer.opset_import,
            functions=outer.graph.functions,
        )
        scope = self._scope(name, graph, proto, outer.opset_import, outer, owner)
        self._fill(scope, visible)
        return graph

    def _fill(self, scope: Scope, visible: _Tensors) -> None:
        proto = scope.proto
        assert isinstance(proto, GraphProto)
        overridable = self._model.ir_version >= OVERRIDABLE_SINCE_IR
        inputs = {value.name for value in proto.input}
        tensors: dict[str, gs.Tensor] = {}
        for tensor in proto.initializer:
            values = StoredValues(tensor, self._folder)
            tensors[tensor.name] = gs.Constant(tensor.name, values)
        for sparse in proto.sparse_initializer:
            name = sparse.values.name
            tensors[name] = gs.Constant(name, StoredSparseValues(sparse, self._folder))
        for name, constant in tensors.items():
            self._stored[id(constant)] = constant
            if overridable and name in inputs:
                tensors[name] = gs.Variable(name, constant.dtype, constant.shape)
        for value in proto.input:
            tensors.setdefault(value.name, gs.Variable(value.name))
        self._add_nodes(scope, tensors, visible)
        for value in (*proto.input, *proto.output, *proto.value_info):
            if isinstance(tensors.get(value.name), gs.Variable):
                _declare(tensors[value.name], value.type)
        given = (tensors[value.name] for value in proto.input)
        scope.graph.inputs = [tensor for tensor in given if isinstance(tensor, gs.Variable)]
        scope.graph.outputs = [_lookup(v.name, tensors, visible) for v in proto.output]
        self.scopes.append(scope)

    def _fill_function(self, scope: Scope, proto: onnx.FunctionProto) -> None:
        tensors: dict[str, gs.Tensor] = {name: gs.Variable(name) for name in proto.input}
        self._add_nodes(scope, tensors, {})
        for value in proto.value_info:
            if isinstance(tensors.get(value.name), gs.Variable):
                _declare(tensors[value.name], value.type)
        scope.graph.inputs = [tensors[name] for name in proto.input]
        scope.graph.outputs = [_lookup(name, tensors, {}) for name in proto.output]
        self.scopes.append(scope)

    def _add_nodes(self, scope: Scope, tensors: dict[str, gs.Tensor], visible: _Tensors) -> None:
        for proto in scope.proto.node:
            for name in filter(None, proto.output):
                tensors.setdefault(name, gs.Variable(name))
        around: ChainMap[str, gs.Tensor] = ChainMap(tensors, visible)
        for proto in scope.proto.node:
            node = gs.Node(
                proto.op_type,
                proto.name,
                inputs=[_lookup(name, tensors, visible) for name in proto.input],
                outputs=[tensors[n] if n else gs.Variable.empty() for n in proto.output],
                domain=proto.domain if proto.HasField("domain") else None,
            )
            for attribute in proto.attribute:
                value = self._attribute(attribute, scope, around, node)
                if value is not None:
                    node.attrs[attribute.name] = value
            scope.graph.nodes.append(node)
            scope.imported[id(node)] = (node, proto)

    def _attribute(
        self, attribute: AttributeProto, scope: Scope, visible: _Tensors, owner: gs.Node | None
    ) -> Any:
        """The value as graphsurgeon has it; None for the types that it does not have."""
        if attribute.ref_attr_name:
            kind = convert_from_onnx_attr_type(attribute.type)
            return gs.Node.AttributeRef(attribute.ref_attr_name, kind)
        match attribute.type:
            case AttributeProto.FLOAT | AttributeProto.INT:
                return onnx.helper.get_attribute_value(attribute)
            case AttributeProto.FLOATS | AttributeProto.INTS:
                return list(onnx.helper.get_attribute_value(attribute))
            case AttributeProto.STRING:
                return _text(attribute.s)
            case AttributeProto.STRINGS:
                return [_text(s) for s in attribute.strings]
            case AttributeProto.TENSOR:
                return gs.Constant(attribute.t.name, StoredValues(attribute.t, self._folder))
            case AttributeProto.GRAPH:
                name = _body_name(attribute.name, owner, scope)
                return self._body(attribute.g, name, scope, owner, visible)
        return None


def _lookup(name: str, tensors: dict[str, gs.Tensor], visible: _Tensors) -> gs.Tensor:
    if not name:
        return gs.Variable.empty()
    if name in tensors:
        return tensors[name]
    if name in visible:
        return visible[name]
    tensors[name] = gs.Variable(name)
    return tensors[name]


def _declare(variable: gs.Variable, declared: onnx.TypeProto) -> None:
    kind = declared.WhichOneof("value")
    if kind:
        variable.type = kind
    if kind in ("tensor_type", "sparse_tensor_type"):
        dtype, shape = dtype_and_shape(declared)
        variable.dtype = dtype if dtype is not None else variable.dtype
        variable.shape = shape if shape is not None else variable.shape


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _body_name(attribute: str, owner: gs.Node | None, outer: Scope) -> str:
    if owner is None:
        return f"{attribute} of {outer.name}"
    which = f"{owner.op} node {_node_name(owner)!r}"
    inside = "" if outer.name == "main graph" else f" in {outer.name}"
    return f"{attribute} of {which}{inside}"


def _node_name(node: gs.Node) -> str:
    """The name of `node` for the user: where it has none, the name of its first output."""
    return node.name or next((t.name for t in node.outputs if t.name), "")
