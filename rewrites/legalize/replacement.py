"""A replacement: a way to write a standard node as other standard nodes that compute the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.replace import Emit


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
