"""The graphs of a model as graphsurgeon graphs: main graph, bodies of control flow, functions.

graphsurgeon's own import is not used: it fails on string attributes that are not UTF-8 and on
element types it does not know, reads sparse tensors wrongly where they are stored raw, takes
initializers that a caller may override for constants, and looks for external data in the working
directory. What it builds from a sound model, this builds too.
"""

from __future__ import annotations

import dataclasses
from collections import ChainMap
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import AttributeProto, GraphProto, TensorProto
from onnx_graphsurgeon.ir.tensor import LazyValues, SparseValues
from onnx_graphsurgeon.util.misc import convert_from_onnx_attr_type

from onnxpool.errors import ModelError
from onnxpool.model.external_data import DataFolder, is_external, numpy_dtype
from onnxpool.ops.op import Array, Shape

gs.logger.G_LOGGER.severity = gs.logger.G_LOGGER.CRITICAL

_Tensors = MutableMapping[str, gs.Tensor]

_OVERRIDABLE_SINCE_IR = 4
"""From this IR version on, an initializer that is also an input is only a default value."""


class Names:
    """Every name in a model, of tensors and nodes, so that new ones differ from all."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._taken: set[str] | None = None

    def unique(self, base: str) -> str:
        """Return `base`, or `base` with the first number that makes it new; it is taken then."""
        if self._taken is None:
            self._taken = set(_names_of_model(self._model))
        name, number = base, 0
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name


def _names_of_model(model: onnx.ModelProto) -> Iterator[str]:
    yield from _names_of_graph(model.graph)
    for function in model.functions:
        yield from (*function.input, *function.output)
        yield from _names_of_nodes(function.node)
    for training in model.training_info:
        yield from _names_of_graph(training.initialization)
        yield from _names_of_graph(training.algorithm)


def _names_of_graph(graph: GraphProto) -> Iterator[str]:
    yield from (v.name for v in (*graph.input, *graph.output, *graph.value_info))
    yield from (t.name for t in graph.initializer)
    yield from (t.values.name for t in graph.sparse_initializer)
    yield from _names_of_nodes(graph.node)


def _names_of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        yield node.name
        yield from node.input
        yield from node.output
        for body in bodies(node):
            yield from _names_of_graph(body)


def bodies(node: onnx.NodeProto) -> Iterator[GraphProto]:
    """The graphs that `node` runs, such as the branches of If."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def with_bodies(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The nodes, and all those in the graphs that they run."""
    for node in nodes:
        yield node
        for body in bodies(node):
            yield from with_bodies(body.node)


@dataclasses.dataclass(eq=False)
class Scope:
    """One graph of a model: a place where nodes can be rewritten.

    Attributes:
        name: for the user, such as "main graph" or "then_branch of If node 'foo'".
        graph: the graph to match on and to change; a `gs.Function` for the body of a function.
            A node that came with the model may be removed or moved, not changed.
        proto: where `splice` puts the changes; a `FunctionProto` for the body of a function.
        opset: version of the default domain that holds here.
        opset_import: the domains that may be used here, of the model or of the function.
        ir_version: of the model.
        outer: the scope around the body of a control flow node.
        owner: the node that runs the body.
        names: every name of the model.
        shape_note: why shapes are unknown here, where they are (set by `shapes.infer`).
        imported: per `id` of a node that is in `proto`, the node and its proto.
        origins: per `id` of a new node, the node and the proto whose metadata it inherits.
        stored: per `id` of a constant that is in the model, the constant.
    """

    name: str
    graph: gs.Graph
    proto: GraphProto | onnx.FunctionProto
    opset: int
    opset_import: Any
    ir_version: int
    outer: Scope | None
    owner: gs.Node | None
    names: Names
    shape_note: str | None = None
    imported: dict[int, tuple[gs.Node, onnx.NodeProto]] = dataclasses.field(default_factory=dict)
    origins: dict[int, tuple[gs.Node, onnx.NodeProto]] = dataclasses.field(default_factory=dict)
    stored: dict[int, gs.Constant] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Scope({self.name})"


def unique_name(scope: Scope, base: str) -> str:
    """Return a name like `base` that no tensor or node of the model has, bodies included."""
    return scope.names.unique(base)


def import_scopes(model: onnx.ModelProto, folder: DataFolder) -> tuple[Scope, ...]:
    """Return the scopes of `model`, bodies before what is around them; the main graph is last."""
    importer = _Importer(model, folder)
    functions = [importer.function(function) for function in model.functions]
    importer.main(functions)
    return tuple(importer.scopes)


class StoredValues(LazyValues):  # type: ignore[misc]
    """The values of a tensor in the model or in its external data, read when asked for.

    Attributes:
        tensor: the proto.
        shape: its dimensions.
        dtype: its NumPy type, bfloat16 and the like from ml_dtypes; None: not known to onnx.
    """

    def __init__(self, tensor: TensorProto, folder: DataFolder) -> None:
        self.tensor = tensor
        self.shape = tuple(tensor.dims)
        self.dtype = numpy_dtype(tensor.data_type)
        self._folder = folder

    def load(self) -> Array:
        return _read(self.tensor, self._folder)


class StoredSparseValues(SparseValues):  # type: ignore[misc]
    """As `StoredValues`, of a sparse tensor; the values come dense."""

    def __init__(self, tensor: onnx.SparseTensorProto, folder: DataFolder) -> None:
        self.tensor = tensor
        self.shape = tuple(tensor.dims)
        self.dtype = numpy_dtype(tensor.values.data_type)
        self._folder = folder

    def load(self) -> Array:
        values = _read(self.tensor.values, self._folder)
        indices = _read(self.tensor.indices, self._folder)
        dense = np.zeros(self.shape, values.dtype)
        if indices.ndim == 1:
            dense.reshape(-1)[indices] = values
        else:
            dense[tuple(indices.T)] = values
        return dense


def _read(tensor: TensorProto, folder: DataFolder) -> Array:
    if is_external(tensor):
        return folder.read(tensor)
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"tensor {tensor.name!r} cannot be decoded: {error}") from error


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
            opset=default_opset(model.opset_import),
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
            opset=default_opset(proto.opset_import) or default_opset(self._model.opset_import),
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
        overridable = self._model.ir_version >= _OVERRIDABLE_SINCE_IR
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
    if name not in tensors and name in visible:
        return visible[name]
    return tensors.setdefault(name, gs.Variable(name))


def _declare(variable: gs.Variable, declared: onnx.TypeProto) -> None:
    kind = declared.WhichOneof("value")
    if kind:
        variable.type = kind
    if kind in ("tensor_type", "sparse_tensor_type"):
        dtype, shape = dtype_and_shape(declared)
        variable.dtype = dtype if dtype is not None else variable.dtype
        variable.shape = shape if shape is not None else variable.shape


def dtype_and_shape(declared: onnx.TypeProto) -> tuple[np.dtype[Any] | None, Shape | None]:
    """What a type says of a tensor; None for what it does not say."""
    tensor = getattr(declared, declared.WhichOneof("value") or "tensor_type")
    if not hasattr(tensor, "shape"):
        return None, None
    dims = tuple(_dim(dim) for dim in tensor.shape.dim)
    return numpy_dtype(tensor.elem_type), dims if tensor.HasField("shape") else None


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return dim.dim_param or None


def default_opset(opset_import: Iterable[onnx.OperatorSetIdProto]) -> int | None:
    """The version of the default domain in `opset_import`; None: it has none."""
    versions = (o.version for o in opset_import if o.domain in ("", "ai.onnx"))
    return next(versions, None)


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _body_name(attribute: str, owner: gs.Node | None, outer: Scope) -> str:
    if owner is None:
        return f"{attribute} of {outer.name}"
    which = f"{owner.op} node {node_name(owner)!r}"
    inside = "" if outer.name == "main graph" else f" in {outer.name}"
    return f"{attribute} of {which}{inside}"


def node_name(node: gs.Node) -> str:
    """The name of `node` for the user: where it has none, the name of its first output."""
    return node.name or next((t.name for t in node.outputs if t.name), "")
