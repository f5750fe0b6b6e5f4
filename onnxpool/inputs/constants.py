"""The numbers that a piece of a graph contains: what it computes may change around each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.constants import head

_MOST_ELEMENTS = 64
"""Of a constant that is read whole; of a larger one, a table or a trained weight, come the first,
and the ends of its range where it is no weight."""
_LARGEST_TABLE = 1 << 20


def integers(nodes: Iterable[gs.Node], *, signed: bool = False) -> list[int]:
    """The positive whole numbers among the constants and attributes of `nodes`, ascending.

    A size may be computed in floating point, so a whole number of any type counts.

    Args:
        signed: the negative ones, too, and those that are too large for a size.
    """
    found: set[int] = set()
    for values in _values(nodes):
        if values.dtype.kind in "iuf" and values.size:
            numbers = values.astype(np.float64)
            whole = numbers[np.isfinite(numbers) & (numbers == np.floor(numbers))]
            found.update(int(n) for n in whole if signed or 0 < n < _LARGEST_TABLE)
    return sorted(found)


def floats(nodes: Iterable[gs.Node]) -> list[float]:
    """The magnitudes of the floating-point constants and attributes of `nodes`, ascending."""
    found: set[float] = set()
    for values in _values(nodes):
        if values.dtype.kind not in "iub":
            magnitudes = np.abs(values.astype(np.float64))
            found.update(magnitudes[np.isfinite(magnitudes) & (magnitudes > 0)].tolist())
    return sorted(found)


def _values(nodes: Iterable[gs.Node]) -> Iterator[Array]:
    for node in nodes:
        for tensor in (*node.inputs, *node.attrs.values()):
            if isinstance(tensor, gs.Constant):
                yield _read(tensor)
        for value in node.attrs.values():
            if isinstance(value, (int, float, list)) and not _is_text(value):
                yield np.asarray(value).reshape(-1)


def _is_text(value: object) -> bool:
    return isinstance(value, list) and any(not isinstance(each, (int, float)) for each in value)


def _read(constant: gs.Constant) -> Array:
    size = int(np.prod(constant.shape))
    if size <= _MOST_ELEMENTS:
        return np.asarray(constant.values).reshape(-1)
    first = head(constant, _MOST_ELEMENTS // 4)
    if first.dtype.kind not in "iu" or size > _LARGEST_TABLE:
        return first
    values = np.asarray(constant.values)
    return np.concatenate([first, [values.min(), values.max(), values.max() + 1]])
