"""Which node of one graph is which node of another, though tensors may have other names.

    forward     the same op, attributes and inputs, from the inputs of the graph on
    by name     the same op, and an output of the same name
    backward    the same op, from the outputs on, and from what is matched by name

Constants are what they hold; external ones are the place that they are at, which is not read.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence

from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto

from onnxpool.model.external_data import is_external

_BODIES = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
"""What these hold are graphs of their own."""


class Graph:
    """The nodes of a graph, as they are matched.

    Attributes:
        inputs, outputs: names.
        constants: per name of an initializer, what it holds.
        producers: per name of a tensor, the number of its node.
    """

    def __init__(self, proto: GraphProto | FunctionProto) -> None:
        self.nodes: Sequence[NodeProto] = proto.node
        is_function = isinstance(proto, FunctionProto)
        tensors = () if isinstance(proto, FunctionProto) else proto.initializer
        self.constants = {tensor.name: fingerprint(tensor) for tensor in tensors}
        self.inputs = [x if is_function else x.name for x in proto.input]
        self.inputs = [name for name in self.inputs if name not in self.constants]
        self.outputs = [y if is_function else y.name for y in proto.output]
        pairs = ((name, i) for i, node in enumerate(self.nodes) for name in node.output if name)
        self.producers = dict(pairs)

    def producer(self, tensor: str) -> int | None:
        return self.producers.get(tensor)


@dataclasses.dataclass
class Match:
    """What is found of two graphs.

    Attributes:
        nodes: per number of a node of the second, that of the first.
        tensors: per name of a tensor of the second, that of the first.
    """

    a: Graph
    b: Graph
    nodes: dict[int, int] = dataclasses.field(default_factory=dict)
    tensors: dict[str, str] = dataclasses.field(default_factory=dict)

    def token(self, name: str) -> tuple[str, str] | None:
        """What a tensor of the second is in the first; None where that is not known."""
        if name in self.b.constants:
            return "constant", self.b.constants[name]
        if name not in self.b.producers:
            return "tensor", self.tensors.get(name, name)
        return ("tensor", self.tensors[name]) if name in self.tensors else None

    def token_of_first(self, name: str) -> tuple[str, str]:
        constant = self.a.constants.get(name)
        return ("tensor", name) if constant is None else ("constant", constant)

    def pair(self, a: int, b: int) -> None:
        self.nodes[b] = a
        self.tensors.update(zip(self.b.nodes[b].output, self.a.nodes[a].output, strict=False))


def match(a: Graph, b: Graph) -> Match:
    found = Match(a, b)
    found.tensors.update(_pairs(b.inputs, a.inputs))
    _forward(found)
    _backward(found, [*_by_name(found), *_pairs(b.outputs, a.outputs)])
    _forward(found)
    return found


def _pairs(b: Sequence[str], a: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Those of one name; the others by their place, where there are as many."""
    both = set(a) & set(b)
    yield from ((name, name) for name in b if name in both)
    rest = [[name for name in names if name not in both] for names in (b, a)]
    if len(rest[0]) == len(rest[1]):
        yield from zip(*rest, strict=True)


def _forward(found: Match) -> None:
    taken = set(found.nodes.values())
    known: dict[object, collections.deque[int]] = collections.defaultdict(collections.deque)
    for i, node in enumerate(found.a.nodes):
        if i not in taken:
            tokens: tuple[object, ...] = tuple(map(found.token_of_first, node.input))
            known[kind(node), attributes(node), tokens].append(i)
    for i, node in enumerate(found.b.nodes):
        if i in found.nodes:
            continue
        tokens = tuple(map(found.token, node.input))
        same = known.get((kind(node), attributes(node), tokens))
        if same and None not in tokens:
            found.pair(same.popleft(), i)


def _by_name(found: Match) -> Iterator[tuple[str, str]]:
    for name, b in found.b.producers.items():
        a = found.a.producer(name)
        if (
            a is not None
            and b not in found.nodes
            and kind(found.a.nodes[a]) == kind(found.b.nodes[b])
        ):
            yield name, name


def _backward(found: Match, tensors: Iterable[tuple[str, str]]) -> None:
    """Match what gives these tensors of the second and the first, and what that is made of."""
    taken = set(found.nodes.values())
    pending = collections.deque(tensors)
    while pending:
        name, other = pending.popleft()
        b, a = found.b.producer(name), found.a.producer(other)
        if a is None or b is None or b in found.nodes or a in taken:
            continue
        theirs, ours = found.a.nodes[a], found.b.nodes[b]
        if kind(theirs) == kind(ours):
            found.pair(a, b)
            taken.add(a)
            pending.extend(zip(ours.input, theirs.input, strict=False))


def kind(node: NodeProto) -> tuple[str, str, int]:
    domain = "" if node.domain == "ai.onnx" else node.domain
    return domain, node.op_type, len(node.output)


def attributes(node: NodeProto) -> tuple[tuple[str, str], ...]:
    """The names and values of the attributes that are no graphs."""
    plain = (a for a in node.attribute if a.type not in _BODIES)
    return tuple(sorted((a.name, _hash([_attribute(a)])) for a in plain))


def _attribute(attribute: AttributeProto) -> bytes:
    if attribute.type == AttributeProto.TENSOR:
        return fingerprint(attribute.t).encode()
    value = AttributeProto()
    value.CopyFrom(attribute)
    value.ClearField("doc_string")
    return bytes(value.SerializeToString(deterministic=True))


def fingerprint(tensor: TensorProto) -> str:
    """Equal for tensors with the same values, stored in the same way."""
    head = f"{tensor.data_type} {list(tensor.dims)}".encode()
    if is_external(tensor):
        place = ((e.key, e.value) for e in tensor.external_data if e.key != "checksum")
        return _hash([head, repr(sorted(place)).encode()])
    values = TensorProto()
    values.CopyFrom(tensor)
    for field in ("name", "doc_string", "metadata_props"):
        values.ClearField(field)
    return _hash([head, values.SerializeToString(deterministic=True)])


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
