"""Remove the nodes that a pass has left without readers."""

from __future__ import annotations

from collections.abc import Container

import onnx_graphsurgeon as gs

from onnxpool.rewrites.lift.construct import output_names


def unread(graph: gs.Graph) -> list[gs.Node]:
    """The nodes whose outputs no node, no body and no output of the graph reads."""
    outputs = output_names(graph)
    return [
        node
        for node in graph.nodes
        if not any(tensor.outputs or tensor.name in outputs for tensor in node.outputs)
    ]


def sweep(graph: gs.Graph, unread_before: Container[int]) -> None:
    """Remove unread nodes, and those that only they read, but for those of these `id`s."""
    while gone := {id(node): node for node in unread(graph) if id(node) not in unread_before}:
        for node in gone.values():
            node.inputs.clear()
        graph.nodes[:] = [node for node in graph.nodes if id(node) not in gone]
