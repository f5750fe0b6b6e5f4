"""Shapes and dtypes of every tensor in every scope, as far as onnx can infer them.

onnx writes what it infers for the main graph only. So every body and every function is inferred
as a model of its own, whose inputs are what it is given and what it reads from around it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import onnx
import onnx_graphsurgeon as gs
from onnx import (
    AttributeProto,
    GraphProto,
    NodeProto,
    TensorProto,
    TensorShapeProto,
    TypeProto,
    ValueInfoProto,
)

from onnxpool.model.file import ModelFile
from onnxpool.model.scope import Scope, bodies, dtype_and_shape
from onnxpool.model.skeleton import (
    Thin,
    for_inference,
    is_small,
    thin_function,
    thin_graph,
    thin_nodes,
)
from onnxpool.ops import DOMAIN, VERSION, InvalidOp, register_schemas
from onnxpool.ops.op import Claimed, Dim, Shape
from onnxpool.rewrites.lift import aten_fallback

Types = dict[str, TypeProto]
Attributes = Mapping[str, AttributeProto]
Key = tuple[str, str, str]
"""What a node names a function by: domain, name, overload."""

Place = tuple[str, int]
"""An input and an axis of it, whose size has no name."""
Sizes = Mapping[str | Place, int]
"""Numbers for the sizes of the inputs."""

_GENERATED_SYMBOL = "unk__"
"""onnx numbers unknown dims; each inference starts again, so the names say nothing."""


def infer(model_file: ModelFile) -> None:
    """Fill in `shape` and `dtype` of the variables of all scopes; `model_file.proto` stays.

    What follows from the inputs of the model holds, whatever the file declares. Where nothing
    follows, a declared number is taken, and a declared symbol as `Claimed`; but not beside
    PyTorch's own pooling, whose exporter declares traced sizes for dynamic ones. In a function
    that is called with different shapes, shapes stay unknown; `Scope.shape_note` says so.
    """
    register_schemas()
    scopes = model_file.scopes
    fallback = any(aten_fallback.applies(node) for s in scopes for node in s.graph.nodes)
    understood = None
    # What a pool of PyTorch's own computes may depend on a rank that the round before has found.
    while understood != (found := list(_pytorch_pools(scopes))):
        understood = found
        derived = _Inference(model_file, declared=False).run()
        claimed = {} if fallback else _Inference(model_file, declared=True).run()
        for scope in scopes:
            _fill(scope, derived[id(scope)], claimed.get(id(scope)))


def at_sizes(model_file: ModelFile, sizes: Sizes) -> list[dict[str, Shape]]:
    """Per scope, the shapes that follow if the inputs of the model have these sizes.

    Args:
        sizes: a number for every one of `symbols`.
    """
    types = _Inference(model_file, declared=False, sizes=sizes).run()
    known = [{name: _shape(types[id(s)], name) for name in types[id(s)]} for s in model_file.scopes]
    return [{name: s for name, s in shapes.items() if s is not None} for shapes in known]


def symbols(model: onnx.ModelProto) -> list[str | Place]:
    """Every size of the inputs that is no number."""
    return list(dict.fromkeys(symbol for symbol, _ in _open_sizes(model.graph)))


def _open_sizes(graph: GraphProto) -> Iterator[tuple[str | Place, TensorShapeProto.Dimension]]:
    for value in graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                yield dim.dim_param or (value.name, axis), dim


@dataclasses.dataclass(frozen=True)
class _Call:
    """One node that calls a function."""

    caller: Scope
    inputs: tuple[TypeProto | None, ...]
    attributes: Attributes


class _Inference:
    """One round, with what the file declares for tensors that are no inputs, or without."""

    def __init__(
        self, model_file: ModelFile, *, declared: bool, sizes: Sizes | None = None
    ) -> None:
        self._declared = declared
        self._sizes = sizes or {}
        self._model = model_file.proto
        self._scopes = model_file.scopes
        self._thin: Thin = for_inference(model_file.folder)
        self._functions = [thin_function(f, self._thin) for f in self._model.functions]
        self._calls: dict[Key, list[_Call]] = {_key_of_function(f): [] for f in self._functions}
        self._types: dict[int, Types] = {}
        self._nodes: dict[int, list[NodeProto]] = {}

    def run(self) -> dict[int, Types]:
        """Per `id` of a scope, the types of its tensors, as far as they are known."""
        functions = {
            _key_of_function(s.proto): s
            for s in self._scopes
            if isinstance(s.proto, onnx.FunctionProto)
        }
        main = self._scopes[-1]
        self._infer_with_bodies(main, {}, {})
        for key in _callers_first(self._functions):
            self._infer_function(functions[key], self._calls[key])
        return self._types

    def _infer_with_bodies(
        self, root: Scope, given: Mapping[str, TypeProto | None], attributes: Attributes
    ) -> None:
        """Infer `root` and, from the outside in, the bodies in it."""
        for scope in reversed([s for s in self._scopes if _root(s) is root]):
            graph = self._graph_of(scope, attributes)
            if scope.outer is None:
                graph.input.extend(_value_info(name, given.get(name)) for name in given)
            else:
                scope.shape_note = scope.outer.shape_note
                self._complete_formal_inputs(graph, scope)
                self._add_captured(graph, scope)
            self._nodes[id(scope)] = list(graph.node)
            self._types[id(scope)] = self._infer_graph(graph, scope)
            self._note_calls(scope)

    def _infer_function(self, scope: Scope, calls: Sequence[_Call]) -> None:
        scope.shape_note = _disagreement(calls)
        proto = scope.proto
        assert isinstance(proto, onnx.FunctionProto)
        given = {
            name: _common_type([c.inputs for c in calls], i) for i, name in enumerate(proto.input)
        }
        attributes = _common_attributes(proto, [call.attributes for call in calls])
        self._infer_with_bodies(scope, given, attributes)

    def _graph_of(self, scope: Scope, attributes: Attributes) -> GraphProto:
        """A copy of the graph of `scope` without weights, attribute references resolved."""
        if isinstance(scope.proto, GraphProto):
            graph = thin_graph(scope.proto, self._thin)
        else:
            graph = GraphProto(
                name=scope.proto.name,
                node=thin_nodes(scope.proto.node, self._thin),
                value_info=scope.proto.value_info,
                output=[ValueInfoProto(name=name) for name in scope.proto.output],
            )
        for index, node in _pytorch_pools([scope]):
            graph.node[index].CopyFrom(node)
        if not self._declared:
            _forget_declarations(graph, is_body=scope.outer is not None)
        if scope is self._scopes[-1]:
            for symbol, dim in _open_sizes(graph):
                if symbol in self._sizes:
                    dim.dim_value = self._sizes[symbol]
        if isinstance(_root(scope).proto, onnx.FunctionProto):
            _resolve_attributes(graph, attributes)
        return graph

    def _complete_formal_inputs(self, graph: GraphProto, scope: Scope) -> None:
        derived = self._formal_input_types(scope)
        for value, found in zip(graph.input, derived, strict=False):
            declared = value.type.tensor_type
            if found is None or value.type.WhichOneof("value") not in (None, "tensor_type"):
                continue
            if not declared.elem_type:
                declared.elem_type = found.tensor_type.elem_type
            if not declared.HasField("shape") and found.tensor_type.HasField("shape"):
                declared.shape.CopyFrom(found.tensor_type.shape)

    def _formal_input_types(self, scope: Scope) -> Iterator[TypeProto | None]:
        """What the owner of a body passes to it; the shape of a carried value may change."""
        owner, outer = scope.owner, scope.outer
        if owner is None or outer is None or owner.domain not in (None, "", "ai.onnx"):
            return
        passed = [self._type_of(tensor.name, outer) for tensor in owner.inputs]
        if owner.op == "Loop":
            yield onnx.helper.make_tensor_type_proto(TensorProto.INT64, [])
            yield onnx.helper.make_tensor_type_proto(TensorProto.BOOL, [])
            yield from map(_without_shape, passed[2:])
        elif owner.op == "Scan" and scope.opset >= 9:
            scanned = owner.attrs.get("num_scan_inputs")
            if not isinstance(scanned, int):
                return
            axes = owner.attrs.get("scan_input_axes") or [0] * scanned
            yield from map(_without_shape, passed[: len(passed) - scanned])
            yield from map(_without_axis, passed[len(passed) - scanned :], axes)

    def _add_captured(self, graph: GraphProto, scope: Scope) -> None:
        """Give `graph` what it reads from around it: constants where small, the rest as inputs."""
        for name in _captured(graph):
            constant = self._constant(name, scope.outer)
            if isinstance(constant, TensorProto):
                graph.initializer.append(constant)
            elif isinstance(constant, NodeProto):
                graph.node.insert(0, constant)
            else:
                graph.input.append(_value_info(name, self._type_of(name, scope.outer)))

    def _constant(self, name: str, scope: Scope | None) -> TensorProto | NodeProto | None:
        while scope is not None:
            for node in self._nodes[id(scope)]:
                if name in node.output:
                    return node if node.op_type == "Constant" else None
            if isinstance(scope.proto, GraphProto):
                if any(name == value.name for value in scope.proto.input):
                    return None
                for tensor in scope.proto.initializer:
                    if tensor.name == name:
                        return self._thin(tensor) if is_small(tensor) else None
            scope = scope.outer
        return None

    def _type_of(self, name: str, scope: Scope | None) -> TypeProto | None:
        while scope is not None:
            if name in self._types[id(scope)]:
                return self._types[id(scope)][name]
            scope = scope.outer
        return None

    def _infer_graph(self, graph: GraphProto, scope: Scope) -> Types:
        model = onnx.ModelProto(
            ir_version=self._model.ir_version,
            opset_import=_with_dialect(scope.opset_import),
            graph=graph,
            functions=self._functions,
        )
        # It raises all sorts, and nothing inferred is an answer, too.
        with contextlib.suppress(Exception):
            graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        types = {
            tensor.name: onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
            for tensor in graph.initializer
        }
        for value in (*graph.input, *graph.value_info, *graph.output):
            if value.type.WhichOneof("value"):
                types[value.name] = value.type
        return types

    def _note_calls(self, scope: Scope) -> None:
        for node in self._nodes[id(scope)]:
            key = (node.domain, node.op_type, node.overload)
            if key in self._calls:
                inputs = tuple(self._type_of(name, scope) for name in node.input)
                attributes = {attribute.name: attribute for attribute in node.attribute}
                self._calls[key].append(_Call(scope, inputs, attributes))


def _root(scope: Scope) -> Scope:
    while scope.outer is not None:
        scope = scope.outer
    return scope


def _key_of_function(function: onnx.FunctionProto) -> Key:
    return function.domain, function.name, function.overload


def _callers_first(functions: Iterable[onnx.FunctionProto]) -> list[Key]:
    called = {_key_of_function(f): list(_keys_of_calls(f.node)) for f in functions}
    order: list[Key] = []

    def visit(key: Key, path: tuple[Key, ...]) -> None:
        if key in called and key not in order and key not in path:
            for callee in called[key]:
                visit(callee, (*path, key))
            order.append(key)

    for key in called:
        visit(key, ())
    return order[::-1]


def _keys_of_calls(nodes: Iterable[NodeProto]) -> Iterator[Key]:
    for node in nodes:
        yield node.domain, node.op_type, node.overload
        for attribute in node.attribute:
            yield from _keys_of_calls(attribute.g.node)


def _disagreement(calls: Sequence[_Call]) -> str | None:
    if not calls:
        return "never called"
    if any(_serialized(c.inputs) != _serialized(calls[0].inputs) for c in calls):
        return "called with different shapes"
    return calls[0].caller.shape_note


def _serialized(types: Iterable[TypeProto | None]) -> list[bytes | None]:
    return [t if t is None else t.SerializeToString(deterministic=True) for t in types]


def _common_type(calls: Sequence[Sequence[TypeProto | None]], index: int) -> TypeProto | None:
    """The type that all calls give to input `index`; if only the dtypes agree, without a shape."""
    types = [inputs[index] if index < len(inputs) else None for inputs in calls]
    for common in (types, [_without_shape(t) for t in types]):
        if common and all(s == _serialized(common)[0] for s in _serialized(common)):
            return common[0]
    return None


def _common_attributes(
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


def _resolve_attributes(graph: GraphProto, attributes: Attributes) -> None:
    """Put values in place of references; the outputs of a node with an unknown one are inputs."""
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH and not attribute.ref_attr_name:
                _resolve_attributes(attribute.g, attributes)
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


def _captured(graph: GraphProto) -> list[str]:
    """Names that `graph` reads and does not have."""
    own = {value.name for value in graph.input} | {t.name for t in graph.initializer}
    own |= {tensor.values.name for tensor in graph.sparse_initializer}
    own |= {name for node in graph.node for name in node.output}
    read: dict[str, None] = {}
    for node in graph.node:
        read.update(dict.fromkeys(node.input))
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                read.update(dict.fromkeys(_captured(attribute.g)))
    return [name for name in read if name and name not in own]


def _value_info(name: str, known: TypeProto | None) -> ValueInfoProto:
    return ValueInfoProto(name=name, type=known) if known else ValueInfoProto(name=name)


def _without_shape(known: TypeProto | None) -> TypeProto | None:
    if known is None or not known.HasField("tensor_type"):
        return known
    return onnx.helper.make_tensor_type_proto(known.tensor_type.elem_type, None)


def _without_axis(known: TypeProto | None, axis: int) -> TypeProto | None:
    if known is None or not known.tensor_type.HasField("shape"):
        return known
    copy = TypeProto()
    copy.CopyFrom(known)
    dims = copy.tensor_type.shape.dim
    if -len(dims) <= axis < len(dims):
        del dims[axis]
        return copy
    return _without_shape(known)


def _pytorch_pools(scopes: Iterable[Scope]) -> Iterator[tuple[int, NodeProto]]:
    """PyTorch's own pooling as far as it is understood: its position, and the dialect's node."""
    for scope in scopes:
        for index, (node, _) in enumerate(scope.imported.values()):
            if aten_fallback.applies(node):
                with contextlib.suppress(InvalidOp):
                    op, _ = aten_fallback.meaning(node, scope.opset)
                    names = [tensor.name for tensor in node.outputs]
                    yield (
                        index,
                        onnx.helper.make_node(
                            op.op_type(),
                            [node.inputs[0].name],
                            names,
                            domain=DOMAIN,
                            **op.attributes(),
                        ),
                    )


def _with_dialect(
    opset_import: Iterable[onnx.OperatorSetIdProto],
) -> list[onnx.OperatorSetIdProto]:
    others = [entry for entry in opset_import if entry.domain != DOMAIN]
    return [*others, onnx.helper.make_opsetid(DOMAIN, VERSION)]


def _forget_declarations(graph: GraphProto, *, is_body: bool) -> None:
    """Leave the shapes of inputs alone; of those of a body, the numbers."""
    del graph.value_info[:]
    for value in graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    for value in graph.input if is_body else ():
        for dim in value.type.tensor_type.shape.dim:
            dim.ClearField("dim_param")
    for node in graph.node:
        for body in bodies(node):
            _forget_declarations(body, is_body=True)


def _fill(scope: Scope, derived: Types, claimed: Types | None) -> None:
    nodes = scope.graph.nodes
    tensors = [t for n in nodes for t in (*n.inputs, *n.outputs)] + scope.graph.inputs
    for tensor in {id(t): t for t in tensors if isinstance(t, gs.Variable)}.values():
        for types in (claimed or {}, derived):
            if tensor.name in types and tensor.dtype is None:
                tensor.dtype, _ = dtype_and_shape(types[tensor.name])
        claim = None if claimed is None else _merge(tensor.shape, _shape(claimed, tensor.name))
        tensor.shape = _confirm(claim, _shape(derived, tensor.name))


def _shape(types: Types, name: str) -> Shape | None:
    if name not in types:
        return None
    _, shape = dtype_and_shape(types[name])
    return shape and tuple(None if _is_generated(dim) else dim for dim in shape)


def _confirm(claimed: Shape | None, derived: Shape | None) -> Shape | None:
    """`derived`, and where it leaves a size open, what is claimed."""
    if claimed is not None:
        claimed = tuple(Claimed(dim) if isinstance(dim, str) else dim for dim in claimed)
    if derived is None:
        return claimed
    if claimed is None or len(claimed) != len(derived):
        return derived
    pairs = zip(claimed, derived, strict=True)
    return tuple(claim if dim is None else dim for claim, dim in pairs)


def _merge(declared: Shape | None, inferred: Shape | None) -> Shape | None:
    """`declared`, with what it leaves open, or only has a symbol for, from `inferred`."""
    if declared is None:
        return inferred
    if inferred is None or len(inferred) != len(declared):
        return declared
    return tuple(
        inferred_dim
        if dim is None or (isinstance(inferred_dim, int) and isinstance(dim, str))
        else dim
        for dim, inferred_dim in zip(declared, inferred, strict=True)
    )


def _is_generated(dim: Dim) -> bool:
    return isinstance(dim, str) and dim.startswith(_GENERATED_SYMBOL)
