"""Cut a graph down to what computes some of its tensors."""

from __future__ import annotations

from collections.abc import Iterable

from onnx import GraphProto, NodeProto

from onnxpool.model.splice import node_reads


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
            read.update(node_reads(node))
    del graph.node[:]
    graph.node.extend(reversed(kept))
