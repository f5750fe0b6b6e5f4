"""What a reader calls the sizes that a model leaves open: N, H and W for s77, s53 and s0.

A name that an exporter has made up says nothing, so that it is shown as the axis of the input whose
size it is. A name in words stays. An expression, such as (s53 - 1)//2, is no name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from onnxpool.model.scope import Scope
from onnxpool.rewrites.region.size import axis_names

Names = Mapping[str, str]
"""What is shown for each size of the inputs that has a name."""

_IN_WORDS = re.compile(r"[A-Za-z_]+")


def size_names(scope: Scope) -> Names:
    """The names of the open sizes that the inputs of the model have; none in a function."""
    while scope.outer is not None:
        scope = scope.outer
    found: dict[str, str] = {}
    for x in scope.graph.inputs:
        for size, axis in _open_axes(x.shape or ()):
            if size not in found:
                found[size] = size if _IN_WORDS.fullmatch(size) else _unused(axis, found)
    return found


def _open_axes(dims: Sequence[int | str | None]) -> Iterator[tuple[str, str]]:
    """The names of sizes, and of the axes ``(N, C, D1, …, Dk)`` or ``(N, D1, …, Dk, C)``."""
    k = len(dims) - 2
    spatial = "L" if k == 1 else axis_names(k)
    last = k > 0 and isinstance(dims[-1], int) and not isinstance(dims[1], int)
    axes = f"N{spatial}C" if last else f"NC{spatial}"
    for size, axis in zip(dims, axes, strict=False):
        if isinstance(size, str) and size and axis != "?":
            yield size, axis


def _unused(axis: str, found: Names) -> str:
    """`axis`, or `axis` with a number where that stands for another size."""
    count = sum(name.rstrip("0123456789") == axis for name in found.values())
    return f"{axis}{count + 1}" if count else axis


def in_words(shape: Sequence[int | str | None] | None, names: Names) -> str:
    """Such as "Nx8xHx7"; "?" stands for what is not known, or is an expression."""
    if shape is None:
        return "?"
    return "x".join(_size(dim, names) for dim in shape)


def _size(dim: int | str | None, names: Names) -> str:
    if isinstance(dim, str):
        return names.get(dim, dim if _IN_WORDS.fullmatch(dim) else "?")
    return "?" if dim is None else str(dim)
