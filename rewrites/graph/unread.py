"""Remove the nodes that a pass has left without readers."""

from __future__ import annotations

from collections.abc import Container, Iterable

import onnx_graphsurgeon as gs


def output_names(graph: gs.Graph) -> set[str]:
    """Names of the outputs of a graph and of all bodies in it."""
    graphs = [graph]
    for each in graphs:
        values = (value for node in each.nodes for value in node.attrs.values())
        graphs.extend(value for value in values if isinstance(value, gs.Graph))
    return {tensor.name for g in graphs for tensor in g.outputs}


def unread(graph: gs.Graph) -> list[gs.Node]:
    """The nodes whose outputs no node, no body and no output of the graph reads."""
    outputs = output_names(graph)
    return [node for node in graph.nodes if not _is_read(node, outputs)]


def used_outputs(node: gs.Node, outputs: Container[str]) -> list[gs.Variable]:
    """The outputs of a node that something reads; where nothing reads any, all of them.

    Args:
        outputs: names of the outputs of the graph and of the bodies in it.
    """
    named = [y for y in node.outputs if y.name]
    return [y for y in named if y.outputs or y.name in outputs] or named


def remove_unread(graph: gs.Graph, nodes: Iterable[gs.Node]) -> None:
    """Remove those of `nodes`, and of the nodes that only they read, that nothing reads.

    What a body reads from around it stays.
    """
    outputs = output_names(graph)
    own = {id(node) for node in graph.nodes}
    candidates = list(nodes)
    removed: set[int] = set()
    while candidates:
        node = candidates.pop()
        if id(node) in removed or id(node) not in own or _is_read(node, outputs):
            continue
        removed.add(id(node))
        candidates.extend(producer for tensor in node.inputs for producer in tensor.inputs)
        node.inputs.clear()
        node.outputs.clear()
    graph.nodes[:] = [node for node in graph.nodes if id(node) not in removed]


def sweep(graph: gs.Graph, unread_before: Container[int]) -> None:
    """Remove unread nodes, and those that only they read, but for those of these `id`s."""
    remove_unread(graph, [node for node in unread(graph) if id(node) not in unread_before])


def _is_read(node: gs.Node, outputs: Container[str]) -> bool:
    return any(tensor.outputs or tensor.name in outputs for tensor in node.outputs)
