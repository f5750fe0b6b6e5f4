"""Cut a graph down to what computes some of its tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onnx import AttributeProto, GraphProto, NodeProto


def keep_in_front(graph: GraphProto, names: Iterable[str]) -> None:
    """Drop the nodes that none of these tensors is computed of.

    Args:
        graph: a valid one, whose nodes are in order.
        names: tensors of it.
    """
    read = set(names)
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        if read.intersection(node.output):
            kept.append(node)
            read.update(_read(node))
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _read(node: NodeProto) -> Iterator[str]:
    """What a node reads, and what the bodies in it do, their own tensors among them."""
    yield from node.input
    for attribute in node.attribute:
        bodies = [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs
        for body in bodies:
            yield from (value.name for value in body.output)
            for inner in body.node:
                yield from _read(inner)
