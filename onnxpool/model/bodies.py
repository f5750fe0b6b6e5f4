"""The graphs that nodes of control flow run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
from onnx import AttributeProto, GraphProto


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


def with_inner(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph, and all those that its nodes run."""
    yield graph
    for node in graph.node:
        for body in bodies(node):
            yield from with_inner(body)
