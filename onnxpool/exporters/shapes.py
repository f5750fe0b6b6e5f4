"""Sizes to trace at, and which of them are to be dynamic."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from onnxpool.errors import ExportError

Shape = tuple[int, ...]

_SPATIAL = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}


def dynamic_axes(shapes: Sequence[Shape]) -> Iterator[dict[int, str]]:
    """For each input ``(N, C, D1, …, Dk)``, the names of its axes but C.

    Inputs after the first one get names of their own, because their sizes may be others.
    """
    for number, shape in enumerate(shapes):
        suffix = str(number + 1) if number else ""
        spatial = range(2, len(shape))
        names = _SPATIAL.get(len(spatial), tuple(f"D{i + 1}" for i in range(len(spatial))))
        named = {0: "N", **dict(zip(spatial, names, strict=True))}
        yield {axis: name + suffix for axis, name in named.items()}


def traced_shape(shape: Shape) -> Shape:
    """A shape like `shape` that does not tie what is to be dynamic.

    torch.export takes a size of 1 for a constant and may take equal sizes for one, so the batch is
    2 and no two spatial axes are equal: 1x3x224x224 becomes 2x3x224x256. An axis grows by the
    greatest power of two that divides it, so that a stride that fits goes on to fit.
    """
    spatial: list[int] = []
    for size in shape[2:]:
        while size in spatial or size < 2:
            size += max(size & -size, 1)
        spatial.append(size)
    return (max(shape[0], 2), *shape[1:2], *spatial)


def fixed_at(places: Collection[tuple[int, int]], dynamic_shapes: Any) -> Any:
    """`dynamic_shapes` of tensors without some axes, each given as numbers of input and axis.

    Raises:
        ExportError: dynamic_shapes is nested.
    """
    if not places:
        return dynamic_shapes
    named = isinstance(dynamic_shapes, Mapping)
    entries = list(dynamic_shapes.values() if named else dynamic_shapes)
    for number, axis in places:
        entry = entries[number] if number < len(entries) else None
        if isinstance(entry, list | tuple):
            entry = dict(enumerate(entry))
        if not isinstance(entry, Mapping) or axis not in entry:
            raise ExportError(
                f"axis {axis} of input {number} cannot be dynamic; leave it out of dynamic_shapes"
            )
        entries[number] = {i: dim for i, dim in entry.items() if i != axis}
    return dict(zip(dynamic_shapes, entries, strict=True)) if named else tuple(entries)
