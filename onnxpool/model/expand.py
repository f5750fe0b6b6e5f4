"""Put what a node stands for in its place: the body of a function, or the branch of an If.

Works on protos. A node that stays is the proto that it was; what comes out of a body is a copy
under new names, with the attributes of the call in place of references. A node keeps its address:
the steps into calls and branches that lead to it from the graph, or the function, that it is now
in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import onnx
from onnx import AttributeProto, GraphProto, NodeProto

from onnxpool.model.bodies import with_bodies
from onnxpool.model.calls import Key, key_of_function
from onnxpool.model.names import Names
from onnxpool.model.scope import default_opset
from onnxpool.model.splice import keep, reads, results, sweep

_DEEPEST = 24
"""Calls inside each other that are followed."""


@dataclasses.dataclass(frozen=True)
class Step:
    """Into a node, which is known by the first output that it has where the file defines it.

    Attributes:
        body: the attribute that holds the graph that is entered; empty for the body of a function.
    """

    output: str
    body: str = ""


Path = tuple[Step, ...]


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a node comes from.

    Attributes:
        path: the steps that lead to it.
        output: its first output, as it is named there.
    """

    path: Path
    output: str


@dataclasses.dataclass
class Expansion:
    """What was put in place.

    Attributes:
        addresses: per first output of a node, as it is named now.
        functions: per path that ends with a call, the function.
        calls: how many calls of which function were put in place.
        branches: names of the If nodes that became one branch.
    """

    addresses: dict[str, Address] = dataclasses.field(default_factory=dict)
    functions: dict[Path, Key] = dataclasses.field(default_factory=dict)
    calls: dict[Key, int] = dataclasses.field(default_factory=dict)
    branches: list[str] = dataclasses.field(default_factory=list)


Wanted = Callable[[Path], bool]
"""Whether to put in place what a path leads into."""


def expand(
    model: onnx.ModelProto,
    root: GraphProto | onnx.FunctionProto,
    functions: Mapping[Key, onnx.FunctionProto],
    wanted: Wanted,
    names: Names,
    most_nodes: int | None = None,
) -> Expansion:
    """Expand the nodes of `root`, which is in `model`, and those in the bodies there, in place.

    Args:
        functions: those that are looked into; `root` is none of them.
        most_nodes: that come out of bodies; calls beyond that stay.
    """
    return _Expander(model, root, functions, wanted, names, most_nodes).run()


def drop_uncalled(model: onnx.ModelProto, before: Container[Key]) -> None:
    """Remove the functions that are in `before` and that nothing calls any more."""
    called = called_functions(model)
    for index in reversed(range(len(model.functions))):
        key = key_of_function(model.functions[index])
        if key in before and key not in called:
            del model.functions[index]


def called_functions(model: onnx.ModelProto) -> set[Key]:
    """The functions that the graph calls, or that these call."""
    functions = {key_of_function(function): function for function in model.functions}
    pending, found = [model.graph.node], set[Key]()
    while pending:
        for node in with_bodies(pending.pop()):
            key = _key(node)
            if key in functions and key not in found:
                found.add(key)
                pending.append(functions[key].node)
    return found


@dataclasses.dataclass(frozen=True)
class _Frame:
    """A graph that nodes are taken from.

    Attributes:
        path: the steps that lead there.
        names: what its tensors are called now; None: what they are called.
        attributes: those of the call; None: there is none, references stay.
        caller: the node whose name and metadata its nodes inherit.
        calls: how many calls lead there.
    """

    path: Path
    names: Mapping[str, str] | None = None
    attributes: Mapping[str, AttributeProto] | None = None
    caller: NodeProto | None = None
    calls: int = 0

    def name(self, tensor: str) -> str:
        return tensor if self.names is None or not tensor else self.names.get(tensor, tensor)


class _Expander:
    def __init__(
        self,
        model: onnx.ModelProto,
        root: GraphProto | onnx.FunctionProto,
        functions: Mapping[Key, onnx.FunctionProto],
        wanted: Wanted,
        names: Names,
        most_nodes: int | None,
    ) -> None:
        self._model = model
        self._root = root
        self._imports = root.opset_import if hasattr(root, "opset_import") else model.opset_import
        self._functions = functions
        self._wanted = wanted
        self._names = names
        self._left = most_nodes
        self._done = Expansion()

    def run(self) -> Expansion:
        read = {*reads(self._root), *results(self._root)}
        unread = {name for node in self._root.node for name in node.output} - read
        nodes = list(self._nodes(self._root.node, _Frame(())))
        if self._done.functions or self._done.branches:
            _put(self._root.node, nodes)
            self._sweep(unread, read)
        return self._done

    def _sweep(self, unread_before: Container[str], read_before: Container[str]) -> None:
        """Remove what nothing reads any more, such as the condition of a branch that is taken."""
        sweep(self._root, unread_before)
        if isinstance(self._root, GraphProto) and not self._model.training_info:
            still = reads(self._root) | {value.name for value in self._root.input}
            stale = {t.name for t in self._root.initializer if t.name in read_before} - still
            keep(self._root.initializer, lambda tensor: tensor.name not in stale)

    def _nodes(self, nodes: Iterable[NodeProto], frame: _Frame) -> Iterator[NodeProto]:
        """What stands in the place of `nodes`, in the names of the root."""
        for node in nodes:
            step = next(filter(None, node.output), "")
            function = self._functions.get(_key(node))
            entered = (*frame.path, Step(step))
            if function is not None and self._is_followed(function, entered, frame):
                yield from self._call(node, function, entered, frame)
            elif (branch := self._taken(node, step, frame)) is not None:
                yield from self._branch(node, branch, (*frame.path, Step(step, branch.name)), frame)
            else:
                yield self._kept(node, step, frame)

    def _is_followed(self, function: onnx.FunctionProto, path: Path, frame: _Frame) -> bool:
        if frame.calls >= _DEEPEST or not self._wanted(path):
            return False
        if self._left is not None:
            if len(function.node) > self._left:
                return False
            self._left -= len(function.node)
        return _fits(function, self._imports)

    def _call(
        self, node: NodeProto, function: onnx.FunctionProto, path: Path, frame: _Frame
    ) -> Iterator[NodeProto]:
        self._done.functions[path] = key = key_of_function(function)
        self._done.calls[key] = self._done.calls.get(key, 0) + 1
        self._import(function)
        given = [*map(frame.name, node.input), *[""] * len(function.input)]
        names = dict(zip(function.input, given, strict=False))
        outputs = [frame.name(name) for name in node.output]
        copies = self._name_outputs(function.output, outputs, names)
        self._name_inner(function.node, names, _title(node, outputs))
        attributes = _attributes(node, function, frame.attributes)
        inner = _Frame(
            path, names, attributes, _named(node, outputs, frame.caller), frame.calls + 1
        )
        yield from self._nodes(function.node, inner)
        yield from copies

    def _taken(self, node: NodeProto, step: str, frame: _Frame) -> AttributeProto | None:
        """The branch of an If that is put in its place."""
        if node.op_type != "If" or node.domain not in ("", "ai.onnx"):
            return None
        attribute: AttributeProto
        for attribute in node.attribute:
            wanted = self._wanted((*frame.path, Step(step, attribute.name)))
            if wanted and not attribute.g.sparse_initializer:
                return attribute
        return None

    def _branch(
        self, node: NodeProto, branch: AttributeProto, path: Path, frame: _Frame
    ) -> Iterator[NodeProto]:
        graph = branch.g
        outputs = [frame.name(name) for name in node.output]
        self._done.branches.append(_title(node, outputs))
        names = dict(frame.names or {})
        own = {name for inner in graph.node for name in inner.output}
        own |= {tensor.name for tensor in graph.initializer}
        for name in own:
            names.pop(name, None)
        results = [value.name for value in graph.output]
        copies = self._name_outputs(results, outputs, names, captured=set(results) - own)
        self._name_inner(graph.node, names, _title(node, outputs))
        for tensor in graph.initializer:
            names.setdefault(tensor.name, self._names.unique(tensor.name))
            yield onnx.helper.make_node("Constant", [], [names[tensor.name]], value=tensor)
        inner = dataclasses.replace(frame, path=path, names=names)
        yield from self._nodes(graph.node, inner)
        yield from copies

    def _name_outputs(
        self,
        inner: Sequence[str],
        outer: Sequence[str],
        names: dict[str, str],
        captured: Container[str] = (),
    ) -> list[NodeProto]:
        """Call the results of a body what they are called outside; what has a name is copied."""
        copies = []
        for result, name in zip(inner, outer, strict=False):
            if not name:
                continue
            if result in names or result in captured:
                source = names.get(result, result)
                copies.append(onnx.helper.make_node("Identity", [source], [name]))
            else:
                names[result] = name
        return copies

    def _name_inner(self, nodes: Iterable[NodeProto], names: dict[str, str], prefix: str) -> None:
        for node in nodes:
            for name in filter(None, node.output):
                if name not in names:
                    names[name] = self._names.unique(f"{prefix}/{name}")

    def _kept(self, node: NodeProto, step: str, frame: _Frame) -> NodeProto:
        self._done.addresses[frame.name(step)] = Address(frame.path, step)
        copy = node
        if frame.names is not None:
            copy = NodeProto()
            copy.CopyFrom(node)
            _rename(copy.input, frame.name)
            _rename(copy.output, frame.name)
        if frame.attributes is not None:
            _resolve(copy, frame.attributes)
        if frame.caller is not None:
            _inherit(copy, frame.caller)
        for attribute in copy.attribute:
            if attribute.type == AttributeProto.GRAPH and not attribute.ref_attr_name:
                path = (*frame.path, Step(step, attribute.name))
                self._inside(attribute.g, dataclasses.replace(frame, path=path))
        return copy

    def _inside(self, graph: GraphProto, frame: _Frame) -> None:
        """Expand a body that stays the body of a node, in place."""
        before = len(self._done.functions), len(self._done.branches)
        if frame.names is not None:
            names = dict(frame.names)
            own = [*(value.name for value in graph.input), *(t.name for t in graph.initializer)]
            for name in own:
                names[name] = self._names.unique(name)
            for node in graph.node:
                names.update((name, self._names.unique(name)) for name in node.output if name)
            frame = dataclasses.replace(frame, names=names)
            for named in (*graph.input, *graph.output, *graph.initializer):
                named.name = frame.name(named.name)
            del graph.value_info[:]
        nodes = list(self._nodes(graph.node, frame))
        changed = before != (len(self._done.functions), len(self._done.branches))
        if changed or frame.names is not None:
            _put(graph.node, nodes)

    def _import(self, function: onnx.FunctionProto) -> None:
        known = {entry.domain for entry in self._imports}
        for entry in function.opset_import:
            if entry.domain not in known and not (entry.domain == "ai.onnx" and "" in known):
                self._imports.append(entry)


def _put(container: Any, nodes: Iterable[NodeProto]) -> None:
    """Make `container` hold these nodes, some of which it holds."""
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del container[:]
    container.extend(kept)


def _key(node: NodeProto) -> Key:
    return node.domain, node.op_type, node.overload


def _title(node: NodeProto, outputs: Sequence[str]) -> str:
    return node.name or next(filter(None, outputs), node.op_type)


def _named(node: NodeProto, outputs: Sequence[str], caller: NodeProto | None) -> NodeProto:
    """What the nodes of its body inherit of a call, which may stand in the body of another."""
    within = f"{caller.name}/" if caller is not None else ""
    return NodeProto(name=f"{within}{_title(node, outputs)}", metadata_props=node.metadata_props)


def _inherit(node: NodeProto, caller: NodeProto) -> None:
    if node.name:
        node.name = f"{caller.name}/{node.name}"
    if not node.metadata_props:
        node.metadata_props.extend(caller.metadata_props)


def _rename(tensors: list[str], name: Callable[[str], str]) -> None:
    tensors[:] = [name(tensor) for tensor in tensors]


def _attributes(
    node: NodeProto, function: onnx.FunctionProto, outer: Mapping[str, AttributeProto] | None
) -> dict[str, AttributeProto]:
    """What the attributes of a function are in a call; those that are not there have none."""
    copy = NodeProto(attribute=node.attribute)
    if outer is not None:
        _resolve(copy, outer)
    given = {attribute.name: attribute for attribute in function.attribute_proto}
    return {**given, **{attribute.name: attribute for attribute in copy.attribute}}


def _resolve(node: NodeProto, attributes: Mapping[str, AttributeProto]) -> None:
    """Put values in place of references; a reference to what is not there goes."""
    for index in reversed(range(len(node.attribute))):
        attribute = node.attribute[index]
        if attribute.ref_attr_name:
            name, value = attribute.name, attributes.get(attribute.ref_attr_name)
            if value is None:
                del node.attribute[index]
            else:
                attribute.CopyFrom(value)
                attribute.name = name


def _fits(function: onnx.FunctionProto, imports: Iterable[onnx.OperatorSetIdProto]) -> bool:
    """Whether the nodes of a function mean the same where it is called."""
    outer = {entry.domain: entry.version for entry in imports}
    for entry in function.opset_import:
        if entry.domain in ("", "ai.onnx"):
            version = outer.get("", outer.get("ai.onnx"))
            if version not in (None, entry.version) and not _same_ops(function, version):
                return False
        elif outer.get(entry.domain, entry.version) != entry.version:
            return False
    return True


def _same_ops(function: onnx.FunctionProto, version: int) -> bool:
    own = default_opset(function.opset_import)
    assert own is not None
    for node in with_bodies(function.node):
        if node.domain in ("", "ai.onnx"):
            try:
                revisions = {
                    onnx.defs.get_schema(node.op_type, opset).since_version
                    for opset in (own, version)
                }
            except onnx.defs.SchemaError:
                return False
            if len(revisions) > 1:
                return False
    return True
