"""Put other nodes in the place of a node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import RunError
from onnxpool.rewrites.graph.unsupported import Unsupported

Emit = Callable[[Builder, gs.Node], Sequence[gs.Tensor]]
"""(builder, the node to replace) -> a tensor per output; raises `Unsupported`."""


def replace(graph: gs.Graph, node: gs.Node, opset: int, emit: Emit) -> list[gs.Node]:
    """Put what `emit` writes in the place of `node`; the outputs keep their names.

    Returns:
        The new nodes.

    Raises:
        Unsupported: this node cannot be written so; the graph is as it was.
    """
    builder = Builder(graph, node, opset)
    try:
        results = emit(builder, node)
        builder.check()
    except Exception:
        builder.discard()
        raise
    return builder.replace(results)


def obstacle(graph: gs.Graph, node: gs.Node, opset: int, emit: Emit) -> str | None:
    """Why `emit` cannot write `node` otherwise; None where it can. Changes nothing."""
    builder = Builder(graph, node, opset)
    try:
        emit(builder, node)
        builder.check()
    except (Unsupported, RunError) as reason:
        return str(reason)
    finally:
        builder.discard()
    return None
