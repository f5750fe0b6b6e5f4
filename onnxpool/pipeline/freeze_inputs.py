"""Initializers that a caller may override, because they are inputs as well: made constant."""

from __future__ import annotations

from collections.abc import Sequence

from onnxpool.errors import ArgumentError
from onnxpool.model import shapes
from onnxpool.model.file import ModelFile
from onnxpool.model.graphs import OVERRIDABLE_SINCE_IR

ALL = "all"
_MOST_NAMED = 8


def freeze(file: ModelFile, names: str | Sequence[str]) -> ModelFile:
    """The model with these initializers no inputs any more; `file` itself where nothing changes.

    Args:
        names: of initializers that are inputs, or "all".

    Raises:
        ArgumentError: one is no such initializer.
    """
    names = (names,) if isinstance(names, str) else names
    both = _initializers_that_are_inputs(file)
    for name in names:
        if name != ALL and name not in both:
            known = ", ".join(both) or "there are none"
            raise ArgumentError(
                f"{name!r} is no initializer that is also an input, so it cannot be frozen; those "
                f"are: {known}"
            )
    frozen = overridable(file) if ALL in names else set(names) & set(overridable(file))
    if not frozen:
        return file
    inputs = file.proto.graph.input
    for index in reversed(range(len(inputs))):
        if inputs[index].name in frozen:
            del inputs[index]
    file.mark_changed()
    file = file.reimported()
    shapes.infer(file)
    return file


def note(file: ModelFile) -> str | None:
    """That a caller may override initializers, which is why they are not taken for constants."""
    names = overridable(file)
    if not names:
        return None
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return (
        f"{', '.join(names[:_MOST_NAMED])}{more}: initializers that are inputs too, so that a "
        "caller may give others; --freeze-inputs NAME or all makes them constant"
    )


def overridable(file: ModelFile) -> list[str]:
    """The initializers of the main graph that a caller may override."""
    return _initializers_that_are_inputs(file) if _may_override(file) else []


def _may_override(file: ModelFile) -> bool:
    return bool(file.proto.ir_version >= OVERRIDABLE_SINCE_IR)


def _initializers_that_are_inputs(file: ModelFile) -> list[str]:
    graph = file.proto.graph
    stored = {tensor.name for tensor in graph.initializer}
    stored |= {sparse.values.name for sparse in graph.sparse_initializer}
    return [value.name for value in graph.input if value.name in stored]
