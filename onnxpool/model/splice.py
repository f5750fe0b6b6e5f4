"""Put the changes of the graphs back into the model that they came from.

A node that came with the model goes back as the proto that it was; only new nodes are exported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

import onnx
import onnx_graphsurgeon as gs
from onnx import GraphProto, NodeProto
from onnx_graphsurgeon.exporters.onnx_exporter import OnnxExporter

from onnxpool.model.bodies import bodies
from onnxpool.model.scope import Scope, unique_name
from onnxpool.ops import DOMAIN, VERSION

_INITIALIZERS_ARE_INPUTS_BEFORE_IR = 4
"""Before this IR version every initializer has to be an input as well."""


def splice(model: onnx.ModelProto, scopes: Sequence[Scope]) -> bool:
    """Put the nodes of every changed scope into its proto; return whether there was a change.

    Args:
        model: the model of the scopes.
        scopes: all of them, bodies before what is around them.

    Raises:
        ValueError: a pass changed a node that came with the model, or left a new constant unnamed.
    """
    for scope in scopes:
        _check_untouched(scope)
    changed = [scope for scope in scopes if _is_changed(scope)]
    if not changed:
        return False
    read_before = [reads(scope.proto) for scope in scopes]
    for scope in changed:
        _splice_nodes(scope)
    for scope, before in zip(scopes, read_before, strict=True):
        drop_initializers(model, scope, before)
    return True


def _is_changed(scope: Scope) -> bool:
    return [id(node) for node in scope.graph.nodes] != list(scope.imported)


def _check_untouched(scope: Scope) -> None:
    for node in scope.graph.nodes:
        _, proto = scope.imported.get(id(node), (None, None))
        if proto is not None and (
            [t.name for t in node.inputs] != list(proto.input)
            or [t.name for t in node.outputs] != list(proto.output)
        ):
            raise ValueError(
                f"{scope.name}: a pass changed the inputs or outputs of {node.op} node "
                f"{node.name!r}, which came with the model; replace the node instead"
            )


def _splice_nodes(scope: Scope) -> None:
    proto = scope.proto
    produced = _produced(proto.node)
    _store_constants(scope)
    protos = [_proto_of(scope, node) for node in scope.graph.nodes]
    protos = _replace(proto.node, protos)
    scope.imported = {
        id(node): (node, held) for node, held in zip(scope.graph.nodes, protos, strict=True)
    }
    _forget(proto, produced - _produced(proto.node))


def _proto_of(scope: Scope, node: gs.Node) -> NodeProto:
    if id(node) in scope.imported:
        return scope.imported[id(node)][1]
    _import_domain(scope, node.domain or "")
    for value in node.attrs.values():
        if isinstance(value, gs.Constant):
            value.values  # noqa: B018 - once read, it is exported by value, not as a reference
    exported: NodeProto = OnnxExporter.export_node(node)
    if id(node) in scope.origins:
        _, origin = scope.origins[id(node)]
        exported.metadata_props.extend(origin.metadata_props)
        exported.doc_string = origin.doc_string
    return exported


def _replace(container: Any, wanted: Sequence[NodeProto]) -> list[NodeProto]:
    """Make `container` hold `wanted`, in this order; return the protos that it holds then.

    Protos that are in it stay where they are in memory: their bodies are protos of other scopes.
    """
    held = {id(proto): proto for proto in container}
    kept = {id(proto) for proto in wanted}
    keep(container, lambda proto: id(proto) in kept)
    result: list[NodeProto] = []
    for proto in wanted:
        if id(proto) not in held:
            container.append(proto)
        result.append(held.get(id(proto), container[-1]))
    position = {id(proto): index for index, proto in enumerate(result)}
    container.sort(key=lambda proto: position[id(proto)])
    return result


def _store_constants(scope: Scope) -> None:
    """Give the new constants that new nodes read a place in the proto."""
    initializers = (
        scope.proto.initializer
        if isinstance(scope.proto, GraphProto)
        and scope.ir_version >= _INITIALIZERS_ARE_INPUTS_BEFORE_IR
        else None
    )
    for node in list(scope.graph.nodes):
        new = [t for t in node.inputs if isinstance(t, gs.Constant) and id(t) not in scope.stored]
        for tensor in {id(t): t for t in new}.values():
            if not tensor.name:
                raise ValueError(
                    f"{scope.name}: {node.op} node {node.name!r} reads a constant without a name"
                )
            if initializers is None:
                _store_as_node(scope, tensor, before=node)
            else:
                scope.stored[id(tensor)] = tensor
                _add_initializer(scope, tensor, initializers)


def _add_initializer(scope: Scope, tensor: gs.Constant, initializers: Any) -> None:
    """Append a constant, unless one that no node has read any more until now is the same."""
    new = onnx.numpy_helper.from_array(tensor.values, tensor.name)
    same_name = next((held for held in initializers if held.name == tensor.name), None)
    if same_name is not None and same_name != new:
        tensor.name = new.name = unique_name(scope, tensor.name)
    if same_name is None or new.name != same_name.name:
        initializers.append(new)


def _store_as_node(scope: Scope, tensor: gs.Constant, before: gs.Node) -> None:
    value = gs.Constant(tensor.name, tensor.values)
    tensor.to_variable(value.dtype, value.shape)
    name = unique_name(scope, f"{value.name}_constant")
    constant = gs.Node("Constant", name, {"value": value}, outputs=[tensor])
    index = next(i for i, node in enumerate(scope.graph.nodes) if node is before)
    scope.graph.nodes.insert(index, constant)


def _import_domain(scope: Scope, domain: str) -> None:
    names = ("", "ai.onnx") if domain in ("", "ai.onnx") else (domain,)
    if not any(entry.domain in names for entry in scope.opset_import):
        version = {"": scope.opset, "ai.onnx": scope.opset, DOMAIN: VERSION}.get(domain, 1)
        scope.opset_import.append(onnx.helper.make_opsetid(domain, version))


def _produced(nodes: Iterable[NodeProto]) -> set[str]:
    return {name for node in nodes for name in node.output}


def reads(proto: GraphProto | onnx.FunctionProto) -> set[str]:
    """Every name that is read in a graph or in the bodies in it."""
    if isinstance(proto, onnx.FunctionProto):
        return {name for node in proto.node for name in node_reads(node)}
    names = {value.name for value in proto.output}
    for annotation in proto.quantization_annotation:
        names.update(entry.value for entry in annotation.quant_parameter_tensor_names)
    for node in proto.node:
        names.update(node_reads(node))
    return names


def node_reads(node: NodeProto) -> Iterator[str]:
    yield from node.input
    for body in bodies(node):
        yield from reads(body)


def _training_reads(model: onnx.ModelProto) -> Iterator[str]:
    for training in model.training_info:
        yield from reads(training.initialization)
        yield from reads(training.algorithm)
        for binding in (*training.initialization_binding, *training.update_binding):
            yield from (binding.key, binding.value)


def drop_initializers(model: onnx.ModelProto, scope: Scope, read_before: set[str]) -> None:
    """Remove the initializers of a scope that were read before, and are not any more."""
    proto = scope.proto
    if not isinstance(proto, GraphProto):
        return
    names = read_before - reads(proto) - set(_training_reads(model))
    if scope.ir_version >= _INITIALIZERS_ARE_INPUTS_BEFORE_IR:
        # The caller may set these, and without the default value would have to.
        names = names - {value.name for value in proto.input}
    stored = {t.name for t in proto.initializer} | {t.values.name for t in proto.sparse_initializer}
    dropped = names & stored
    if not dropped:
        return
    keep(proto.initializer, lambda tensor: tensor.name not in dropped)
    keep(proto.sparse_initializer, lambda tensor: tensor.values.name not in dropped)
    keep(proto.input, lambda value: value.name not in dropped)
    _forget(proto, dropped)


def sweep(proto: GraphProto | onnx.FunctionProto, unread_before: Container[str]) -> None:
    """Remove the nodes that nothing reads any more, such as what computed a condition."""
    count = Counter(results(proto))
    for node in proto.node:
        count.update(node_reads(node))
    gone = set()
    for index in reversed(range(len(proto.node))):
        node = proto.node[index]
        outputs = [name for name in node.output if name]
        if not any(count[name] or name in unread_before for name in outputs):
            count.subtract(node_reads(node))
            gone.update(outputs)
            del proto.node[index]
    _forget(proto, gone)


def results(proto: GraphProto | onnx.FunctionProto) -> list[str]:
    """The names of the outputs."""
    if isinstance(proto, GraphProto):
        return [value.name for value in proto.output]
    return list(proto.output)


def _forget(proto: GraphProto | onnx.FunctionProto, names: set[str]) -> None:
    """Drop what `proto` says about tensors that it no longer has."""
    keep(proto.value_info, lambda value: value.name not in names)
    if isinstance(proto, GraphProto):
        keep(proto.quantization_annotation, lambda entry: entry.tensor_name not in names)


def keep(container: Any, wanted: Any) -> None:
    for index in reversed(range(len(container))):
        if not wanted(container[index]):
            del container[index]
