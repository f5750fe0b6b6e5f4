"""In what two models differ, as their graphs are written: nodes, ops, shapes, constants.

What they compute is another question: `onnxpool.compare`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import onnx
import onnx_graphsurgeon as gs
from onnx import NodeProto

from onnxpool.model import kinds, shapes
from onnxpool.model.bodies import with_bodies
from onnxpool.model.file import ModelFile
from onnxpool.model.match import Graph, Match, attributes, match
from onnxpool.model.scope import Scope
from onnxpool.model.size_names import in_words, size_names
from onnxpool.rewrites.graph.tensors import onnx_type, shape_of

if TYPE_CHECKING:
    from onnxpool.model.kinds import Model


@dataclasses.dataclass(frozen=True)
class Fact:
    """Something that is one thing before and another after; empty where it is not there.

    Attributes:
        what: such as "opset", "input 'x'" or "tensor 'y'".
    """

    what: str
    before: str
    after: str


@dataclasses.dataclass(frozen=True)
class Changed:
    """A node that is in both, and not the same.

    Attributes:
        scope: the graph that it is in, such as "main graph".
        node: its name in the second model, or that of its output.
        changes: in words.
    """

    scope: str
    node: str
    op: str
    changes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Replaced:
    """Nodes that hang together, and what is in their place; either may be nothing.

    Attributes:
        at: the tensors that the rest of the second model reads of them; of the first, where
            nothing is in their place.
        before, after: how many of which op.
    """

    scope: str
    at: tuple[str, ...]
    before: dict[str, int]
    after: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Part:
    """Some nodes of a graph.

    Attributes:
        scope: the graph; None where there is none of its name.
        given_on: those of their outputs that are read outside of them.
    """

    scope: Scope | None
    nodes: tuple[NodeProto, ...]
    given_on: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Replacement:
    """`Replaced`, with the nodes themselves."""

    replaced: Replaced
    before: Part
    after: Part


@dataclasses.dataclass(frozen=True)
class Diff:
    """In what two models differ.

    Attributes:
        a, b: the models.
        model: facts about the models as a whole, and their inputs and outputs.
        ops: per op whose number is another, how many nodes there are before and after.
        nodes: before and after, bodies included.
        same_nodes: how many are the same in both.
        replaced, changed: what is not.
        shapes: tensors that are in both, with another type or shape.
        constants: initializers of one name with other values, or in one of the models only.
    """

    a: str
    b: str
    model: tuple[Fact, ...]
    ops: dict[str, tuple[int, int]]
    nodes: tuple[int, int]
    same_nodes: int
    replaced: tuple[Replaced, ...]
    changed: tuple[Changed, ...]
    shapes: tuple[Fact, ...]
    constants: tuple[Fact, ...]

    @property
    def same(self) -> bool:
        return not (self.model or self.replaced or self.changed or self.shapes or self.constants)

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "same": self.same}


def diff(a: Model | ModelFile, b: Model | ModelFile) -> Diff:
    """Say in what two models differ; both are loaded, neither is run.

    Args:
        a, b: each a path, bytes, a ModelProto, an ONNXProgram of torch or an onnx_ir.Model.

    Raises:
        OnnxpoolError: one of them cannot be read.
    """
    before, after = map(_loaded, (a, b))
    scopes = list(_same_scopes(before.scopes, after.scopes))
    counts = [Counter(_ops(file.scopes)) for file in (before, after)]
    return Diff(
        a=kinds.name_of(a),
        b=kinds.name_of(b),
        model=tuple(_model_facts(before, after)),
        ops={
            op: (counts[0][op], counts[1][op])
            for op in sorted(counts[0] | counts[1])
            if counts[0][op] != counts[1][op]
        },
        nodes=(counts[0].total(), counts[1].total()),
        same_nodes=sum(len(pair.found.nodes) - len(list(pair.changed())) for pair in scopes),
        replaced=tuple(each.replaced for pair in scopes for each in pair.replacements()),
        changed=tuple(each for pair in scopes for each in pair.changed()),
        shapes=tuple(each for pair in scopes for each in pair.shapes()),
        constants=tuple(each for pair in scopes for each in pair.constants()),
    )


def replacements(a: Model | ModelFile, b: Model | ModelFile) -> list[Replacement]:
    """What `Diff.replaced` tells, with the nodes: to be drawn.

    Raises:
        OnnxpoolError: one of them cannot be read.
    """
    before, after = map(_loaded, (a, b))
    pairs = _same_scopes(before.scopes, after.scopes)
    return [each for pair in pairs for each in pair.replacements()]


def _loaded(model: Model | ModelFile) -> ModelFile:
    file = ModelFile.of(kinds.plain(model))
    shapes.infer(file)
    return file


def _ops(scopes: Sequence[Scope]) -> Iterator[str]:
    """Of every node; those in bodies are in scopes of their own."""
    return (node.op_type for scope in scopes for node in scope.proto.node)


def _model_facts(a: ModelFile, b: ModelFile) -> Iterator[Fact]:
    facts = [_facts_of(file) for file in (a, b)]
    for what in dict.fromkeys([*facts[0], *facts[1]]):
        before, after = (each.get(what, "") for each in facts)
        if before != after:
            yield Fact(what, before, after)


def _facts_of(file: ModelFile) -> dict[str, str]:
    proto = file.proto
    found = {"IR version": str(proto.ir_version)}
    found |= {
        f"opset{' of ' * bool(o.domain)}{o.domain}": str(o.version) for o in proto.opset_import
    }
    found["producer"] = f"{proto.producer_name} {proto.producer_version}".strip()
    found |= {f"function {f.domain}::{f.name}": f"{len(f.node)} nodes" for f in proto.functions}
    for kind, tensors in (("input", file.main.graph.inputs), ("output", file.main.graph.outputs)):
        for tensor in tensors:
            found[f"{kind} {tensor.name!r}"] = _type(tensor, file.main)
    return found


def _type(tensor: gs.Tensor, scope: Scope) -> str:
    dtype = onnx.TensorProto.DataType.Name(onnx_type(tensor.dtype)).lower()
    return f"{dtype} {in_words(shape_of(tensor), size_names(scope)) or 'scalar'}"


def _same_scopes(a: Sequence[Scope], b: Sequence[Scope]) -> Iterator[_Pair]:
    """The graphs of one name, and each that is in one model only, beside nothing."""
    before, after = ({scope.name: scope for scope in scopes} for scopes in (a, b))
    for name in dict.fromkeys([*reversed(before), *reversed(after)]):
        yield _Pair(name, before.get(name), after.get(name))


class _Pair:
    """Two graphs of one name; one may not be there."""

    def __init__(self, name: str, a: Scope | None, b: Scope | None) -> None:
        self._name, self._a, self._b = name, a, b
        protos = (scope.proto if scope else onnx.GraphProto() for scope in (a, b))
        self.found: Match = match(*map(Graph, protos))

    def changed(self) -> Iterator[Changed]:
        for b, a in self.found.nodes.items():
            before, after = self.found.a.nodes[a], self.found.b.nodes[b]
            if words := (*_other_attributes(before, after), *self._other_inputs(before, after)):
                yield Changed(self._name, _node_name(after), after.op_type, words)

    def _other_inputs(self, before: NodeProto, after: NodeProto) -> Iterator[str]:
        if len(before.input) != len(after.input):
            yield f"{len(before.input)} → {len(after.input)} inputs"
            return
        for i, (old, new) in enumerate(zip(before.input, after.input, strict=True)):
            token = self.found.token(new)
            # What is replaced is told as such, and not at each node that reads it.
            if token is None or token == self.found.token_of_first(old):
                continue
            if token[0] == "constant" and old == new:
                yield f"other values in {new!r}"
            else:
                yield f"input {i}: {old or 'none'!r} → {new or 'none'!r}"

    def replacements(self) -> Iterator[Replacement]:
        found = self.found
        gone = set(range(len(found.a.nodes))) - set(found.nodes.values())
        new = set(range(len(found.b.nodes))) - set(found.nodes)
        groups = _Groups()
        for side, graph, numbers in (("a", found.a, gone), ("b", found.b, new)):
            for i in sorted(numbers):
                groups.add((side, i))
                for name in graph.nodes[i].input:
                    if (j := graph.producer(name)) in numbers:
                        groups.join((side, i), (side, j))
        for name, other in self._boundary():
            a, b = found.a.producer(other), found.b.producer(name)
            if a in gone and b in new:
                groups.join(("a", a), ("b", b))
        for group in groups.all():
            sides = [[i for side, i in sorted(group) if side == which] for which in "ab"]
            before, after = (
                Part(scope, tuple(graph.nodes[i] for i in side), tuple(_ends(graph, side)))
                for scope, graph, side in zip(
                    (self._a, self._b), (found.a, found.b), sides, strict=True
                )
            )
            replaced = Replaced(
                self._name,
                after.given_on if after.nodes else before.given_on,
                *(dict(Counter(n.op_type for n in part.nodes)) for part in (before, after)),
            )
            yield Replacement(replaced, before, after)

    def _boundary(self) -> Iterator[tuple[str, str]]:
        """Tensors of the second and the first that stand for each other behind what is replaced."""
        found = self.found
        for b, a in found.nodes.items():
            yield from zip(found.b.nodes[b].input, found.a.nodes[a].input, strict=False)
        yield from zip(found.b.outputs, found.a.outputs, strict=False)
        yield from ((name, name) for name in found.b.producers if name in found.a.producers)

    def shapes(self) -> Iterator[Fact]:
        if self._a is None or self._b is None:
            return
        before, after = _tensors(self._a), _tensors(self._b)
        same = {name: name for name in after if name in before} | self.found.tensors
        for new, old in same.items():
            if new in after and old in before and new in self.found.b.producers:
                types = _type(before[old], self._a), _type(after[new], self._b)
                if types[0] != types[1]:
                    yield Fact(f"tensor {new!r}", *types)

    def constants(self) -> Iterator[Fact]:
        a, b = self.found.a.constants, self.found.b.constants
        moved = set(a.values()) & set(b.values())
        for name in dict.fromkeys([*a, *b]):
            if a.get(name) == b.get(name) or {a.get(name), b.get(name)} <= {*moved, None}:
                continue
            words = [_constant(scope, name) for scope in (self._a, self._b)]
            if words[0] == words[1]:
                words[1] += ", other values"
            yield Fact(f"constant {name!r}", words[0], words[1])


def _other_attributes(before: NodeProto, after: NodeProto) -> Iterator[str]:
    old, new = dict(attributes(before)), dict(attributes(after))
    values = [
        {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute} for n in (before, after)
    ]
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield f"{name} {_value(values[0].get(name))} → {_value(values[1].get(name))}"


def _value(value: object) -> str:
    if value is None:
        return "absent"
    if isinstance(value, onnx.TensorProto):
        return f"a tensor of shape {list(value.dims)}"
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    text = str(list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _constant(scope: Scope | None, name: str) -> str:
    tensors = getattr(scope.proto, "initializer", ()) if scope else ()
    for tensor in tensors:
        if tensor.name == name:
            dtype = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
            return f"{dtype} {'x'.join(map(str, tensor.dims)) or 'scalar'}"
    return ""


def _tensors(scope: Scope) -> dict[str, gs.Tensor]:
    return {t.name: t for node in scope.graph.nodes for t in node.outputs if t.name}


def _node_name(node: NodeProto) -> str:
    return node.name or next((name for name in node.output if name), "")


def _ends(graph: Graph, numbers: Sequence[int]) -> Iterator[str]:
    """The outputs of these nodes that are read outside of them."""
    inside = set(numbers)
    read = {
        name
        for i, node in enumerate(graph.nodes)
        if i not in inside
        for each in with_bodies([node])
        for name in each.input
    }
    for i in numbers:
        yield from (n for n in graph.nodes[i].output if n in read or n in graph.outputs)


class _Groups:
    """Things that hang together."""

    def __init__(self) -> None:
        self._above: dict[Any, Any] = {}

    def add(self, thing: Any) -> None:
        self._above.setdefault(thing, thing)

    def join(self, one: Any, other: Any) -> None:
        self.add(one)
        self.add(other)
        self._above[self._top(one)] = self._top(other)

    def all(self) -> list[list[Any]]:
        found: dict[Any, list[Any]] = {}
        for thing in self._above:
            found.setdefault(self._top(thing), []).append(thing)
        return list(found.values())

    def _top(self, thing: Any) -> Any:
        while self._above[thing] != thing:
            self._above[thing] = thing = self._above[self._above[thing]]
        return thing
