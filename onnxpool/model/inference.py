"""The types of every tensor in every scope, as far as onnx can infer them.

onnx writes what it infers for the main graph only. So every body and every function is inferred
as a model of its own, whose inputs are what it is given and what it reads from around it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto

from onnxpool.model.bodies import bodies
from onnxpool.model.called import Called
from onnxpool.model.calls import (
    Attributes,
    Call,
    Key,
    callers_first,
    common_attributes,
    common_type,
    disagreement,
    key_of_function,
    resolve_attributes,
)
from onnxpool.model.file import ModelFile
from onnxpool.model.graphs import OVERRIDABLE_SINCE_IR
from onnxpool.model.kept_axes import keep_axes
from onnxpool.model.known_values import put_known_values
from onnxpool.model.open_sizes import Sizes, open_sizes
from onnxpool.model.scope import Scope
from onnxpool.model.skeleton import (
    Thin,
    for_inference,
    is_small,
    thin_function,
    thin_graph,
    thin_nodes,
)
from onnxpool.model.types import without_axis, without_shape
from onnxpool.ops import DOMAIN, VERSION, InvalidOp
from onnxpool.rewrites.graph.infer import infer_shapes
from onnxpool.rewrites.lift import exporters_node

Types = dict[str, TypeProto]


class Inference:
    """One round, with what the file declares for tensors that are no inputs, or without."""

    def __init__(
        self, model_file: ModelFile, *, declared: bool, sizes: Sizes | None = None
    ) -> None:
        self._declared = declared
        self._sizes = sizes or {}
        self._model = model_file.proto
        self._scopes = model_file.scopes
        self._thin: Thin = for_inference(model_file.folder)
        functions = [thin_function(f, self._thin) for f in self._model.functions]
        self._order = callers_first(functions)
        self._calls: dict[Key, list[Call]] = {key: [] for key in self._order}
        self._called = Called(functions, self._infer_body, len(self._model.graph.node))
        self._types: dict[int, Types] = {}
        self._nodes: dict[int, list[NodeProto]] = {}
        self._makers: dict[int, dict[str, NodeProto | TensorProto | None]] = {}
        self._roots: dict[int, list[Scope]] = {}
        for scope in reversed(self._scopes):
            self._roots.setdefault(id(_root(scope)), []).append(scope)

    def run(self) -> dict[int, Types]:
        """Per `id` of a scope, the types of its tensors, as far as they are known."""
        functions = {
            key_of_function(s.proto): s
            for s in self._scopes
            if isinstance(s.proto, onnx.FunctionProto)
        }
        main = self._scopes[-1]
        with self._called:
            self._infer_with_bodies(main, {}, {})
            for key in self._order:
                self._infer_function(functions[key], self._calls[key])
        return self._types

    def _infer_with_bodies(
        self, root: Scope, given: Mapping[str, TypeProto | None], attributes: Attributes
    ) -> None:
        """Infer `root` and, from the outside in, the bodies in it."""
        for scope in self._roots[id(root)]:
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

    def _infer_function(self, scope: Scope, calls: Sequence[Call]) -> None:
        scope.shape_note = disagreement(calls)
        proto = scope.proto
        assert isinstance(proto, onnx.FunctionProto)
        given = {
            name: common_type([c.inputs for c in calls], i) for i, name in enumerate(proto.input)
        }
        attributes = common_attributes(proto, [call.attributes for call in calls])
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
        _forget_negative_sizes(graph)
        self._called.rename(graph.node)
        for index, node in exporters_pools([scope]):
            graph.node[index].CopyFrom(node)
        if not self._declared:
            _forget_declarations(graph, is_body=scope.outer is not None)
        if scope is self._scopes[-1]:
            for symbol, dim in open_sizes(graph):
                if symbol in self._sizes:
                    dim.dim_value = self._sizes[symbol]
        if isinstance(_root(scope).proto, onnx.FunctionProto):
            resolve_attributes(graph, attributes)
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
            yield from map(without_shape, passed[2:])
        elif owner.op == "Scan" and scope.opset >= 9:
            scanned = owner.attrs.get("num_scan_inputs")
            if not isinstance(scanned, int):
                return
            axes = owner.attrs.get("scan_input_axes") or [0] * scanned
            yield from map(without_shape, passed[: len(passed) - scanned])
            yield from map(without_axis, passed[len(passed) - scanned :], axes)

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
            makers = self._makers_in(scope)
            if name in makers:
                return makers[name]
            scope = scope.outer
        return None

    def _makers_in(self, scope: Scope) -> dict[str, NodeProto | TensorProto | None]:
        """Per name of a tensor in a scope, the constant that it is; None where it is none."""
        if id(scope) not in self._makers:
            made: dict[str, NodeProto | TensorProto | None] = {}
            if isinstance(scope.proto, GraphProto):
                for tensor in scope.proto.initializer:
                    made[tensor.name] = self._thin(tensor) if is_small(tensor) else None
                made.update((value.name, None) for value in scope.proto.input)
            for node in self._nodes[id(scope)]:
                made.update((n, node if node.op_type == "Constant" else None) for n in node.output)
            self._makers[id(scope)] = made
        return self._makers[id(scope)]

    def _type_of(self, name: str, scope: Scope | None) -> TypeProto | None:
        while scope is not None:
            if name in self._types[id(scope)]:
                return self._types[id(scope)][name]
            scope = scope.outer
        return None

    def _infer_graph(self, graph: GraphProto, scope: Scope) -> Types:
        graph = self._inferred(graph, scope.opset_import)
        types = {
            tensor.name: onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
            for tensor in graph.initializer
        }
        for value in (*graph.input, *graph.value_info, *graph.output):
            if value.type.WhichOneof("value"):
                types[value.name] = value.type
        return types

    def _infer_body(self, graph: GraphProto, function: onnx.FunctionProto) -> GraphProto:
        self._called.rename(graph.node)
        if not self._declared:
            _forget_declarations(graph, is_body=False)
        return self._inferred(graph, function.opset_import or self._model.opset_import)

    def _inferred(
        self, graph: GraphProto, opset_import: Iterable[onnx.OperatorSetIdProto]
    ) -> GraphProto:
        ir_version = self._model.ir_version
        if ir_version < OVERRIDABLE_SINCE_IR:
            # Its initializers are constants; onnx follows those that are no inputs, and from IR 4.
            stored = {tensor.name for tensor in graph.initializer}
            for index in reversed(range(len(graph.input))):
                if graph.input[index].name in stored:
                    del graph.input[index]
            ir_version = OVERRIDABLE_SINCE_IR
        model = onnx.ModelProto(
            ir_version=ir_version,
            opset_import=[*_with_dialect(opset_import), *self._called.imports()],
            graph=graph,
        )
        put_known_values(model.graph)
        # It raises all sorts, and nothing inferred is an answer, too.
        with contextlib.suppress(Exception):
            graph = infer_shapes(model).graph
            if keep_axes(model.graph, graph):
                graph = infer_shapes(model).graph
        return graph

    def _note_calls(self, scope: Scope) -> None:
        for node in self._nodes[id(scope)]:
            key = self._called.key(node)
            if key is not None:
                inputs = tuple(self._type_of(name, scope) for name in node.input)
                attributes = {attribute.name: attribute for attribute in node.attribute}
                self._calls[key].append(Call(scope, inputs, attributes))


def exporters_pools(scopes: Iterable[Scope]) -> Iterator[tuple[int, NodeProto]]:
    """Pools of an exporter's own that are understood: the position, and the dialect's node."""
    for scope in scopes:
        for index, (node, _) in enumerate(scope.imported.values()):
            if exporters_node.applies(node):
                with contextlib.suppress(InvalidOp):
                    op, _ = exporters_node.meaning(node, scope.opset)
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


def _root(scope: Scope) -> Scope:
    while scope.outer is not None:
        scope = scope.outer
    return scope


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


def _with_dialect(
    opset_import: Iterable[onnx.OperatorSetIdProto],
) -> list[onnx.OperatorSetIdProto]:
    others = [entry for entry in opset_import if entry.domain != DOMAIN]
    return [*others, onnx.helper.make_opsetid(DOMAIN, VERSION)]


def _forget_negative_sizes(graph: GraphProto) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value < 0:
                dim.ClearField("dim_value")
    for node in graph.node:
        for body in bodies(node):
            _forget_negative_sizes(body)


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
