"""The sizes of a model's inputs that are no numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx
from onnx import GraphProto, TensorShapeProto

Place = tuple[str, int]
"""An input and an axis of it, whose size has no name."""
Sizes = Mapping[str | Place, int]
"""Numbers for the sizes of the inputs."""


def is_open(dim: TensorShapeProto.Dimension) -> bool:
    """Whether a size is no number; some writers say -1 there."""
    return not dim.HasField("dim_value") or dim.dim_value < 0


def symbols(model: onnx.ModelProto) -> list[str | Place]:
    """Every size of the inputs that is no number."""
    return list(dict.fromkeys(symbol for symbol, _ in open_sizes(model.graph)))


def open_sizes(graph: GraphProto) -> Iterator[tuple[str | Place, TensorShapeProto.Dimension]]:
    for value in graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if is_open(dim):
                yield dim.dim_param or (value.name, axis), dim
