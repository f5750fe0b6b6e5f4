"""Replace a standard node by other standard nodes that compute the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.lower.builder import Builder
from onnxpool.rewrites.lower.unsupported import Unsupported
from onnxpool.rewrites.run import RunError

Emit = Callable[[Builder, gs.Node], Sequence[gs.Tensor]]
"""(builder, the node to replace) -> a tensor per output; raises `Unsupported`."""


def _inputs(node: gs.Node) -> Sequence[gs.Tensor]:
    return list(node.inputs)


@dataclasses.dataclass(frozen=True)
class Replacement:
    """A way to write a node without its op, or without what a runtime lacks in it.

    Attributes:
        name: in words, for the report.
        emit: writes the other form.
        reads: where the piece of the graph begins that is another form then: what the node reads,
            unless nodes before it belong to it.
    """

    name: str
    emit: Emit
    reads: Callable[[gs.Node], Sequence[gs.Tensor]] = _inputs


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
    except Exception:
        builder.discard()
        raise
    return builder.replace(results)


def obstacle(graph: gs.Graph, node: gs.Node, opset: int, emit: Emit) -> str | None:
    """Why `emit` cannot write `node` otherwise; None where it can. Changes nothing."""
    builder = Builder(graph, node, opset)
    try:
        emit(builder, node)
    except (Unsupported, RunError) as reason:
        return str(reason)
    finally:
        builder.discard()
    return None
