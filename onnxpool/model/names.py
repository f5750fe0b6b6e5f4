"""Every name in a model, so that new ones differ from all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
from onnx import GraphProto

from onnxpool.model.bodies import bodies


class Names:
    """Every name in a model, of tensors and nodes, so that new ones differ from all."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._taken: set[str] | None = None

    def unique(self, base: str) -> str:
        """Return `base`, or `base` with the first number that makes it new; it is taken then."""
        if self._taken is None:
            self._taken = set(_names_of_model(self._model))
        name, number = base, 0
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name


def _names_of_model(model: onnx.ModelProto) -> Iterator[str]:
    yield from _names_of_graph(model.graph)
    for function in model.functions:
        yield from (*function.input, *function.output)
        yield from _names_of_nodes(function.node)
    for training in model.training_info:
        yield from _names_of_graph(training.initialization)
        yield from _names_of_graph(training.algorithm)


def _names_of_graph(graph: GraphProto) -> Iterator[str]:
    yield from (v.name for v in (*graph.input, *graph.output, *graph.value_info))
    yield from (t.name for t in graph.initializer)
    yield from (t.values.name for t in graph.sparse_initializer)
    yield from _names_of_nodes(graph.node)


def _names_of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        yield node.name
        yield from node.input
        yield from node.output
        for body in bodies(node):
            yield from _names_of_graph(body)
