"""The lengths of an open axis that decide what a graph computes there.

A graph can treat one length differently from the next only by a number that it holds, or by one
that it makes of two: a bound of a slice, the other operand of a Min, a divisor. So the lengths to
try lie around every such number, at its double, and beyond all of them; and, because windows
depend on the remainder of the length by their number, one for each remainder.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array

_SMALL = range(1, 14)
_LARGEST_LIST = 1024
"""Elements."""
_TO_THE_END = 1 << 30
"""What is greater stands for the end of an axis."""
_MOST_POSITIONS = 1 << 13
"""Of a plane whose axes are alike. Longer axes are tried one by one, with the others short."""
MOST_COMBINED = 24
"""Numbers. Of more, what two of them make is left out."""


def lengths(numbers: Iterable[int], bins: Iterable[int] = ()) -> list[int]:
    """The lengths to try of one axis.

    Args:
        numbers: integers that the graph holds.
        bins: how many windows there are on the axis, where that is fixed.
    """
    held = sorted({abs(n) for n in numbers if 1 < abs(n) < _TO_THE_END})
    bins = [b for b in bins if b > 0]
    tried = {*_SMALL, *held}
    for n in (*held, *_made_of(held)):
        tried |= {n - 1, n, n + 1, 2 * n, 2 * n + 1}
    beyond = max(tried) + 2
    for count in bins:
        multiple = -(-beyond // count) * count
        tried |= {multiple + rest for rest in range(count)}
        tried |= {n for rest in range(count) for n in (count + rest, 2 * count + rest)}
    return sorted(n for n in {*tried, beyond} if n > 0)


def _made_of(held: Sequence[int]) -> set[int]:
    """Numbers that one operation makes of two."""
    if len(held) > MOST_COMBINED:
        return set()
    made: set[int] = set()
    for a, b in itertools.combinations_with_replacement(held, 2):
        made |= {a + b, b - a, -(-b // a), b // a}
        if a * b <= 4 * max(held):
            made.add(a * b)
    roots = {round(n**0.5) for n in held}
    return {n for n in made | roots if n > 1}


def integers_of(
    nodes: Iterable[gs.Node], x: gs.Tensor, constant: Callable[[gs.Tensor], Array]
) -> set[int]:
    """The integers that nodes hold: in attributes, and in operands that they do not make.

    Args:
        x: what they depend on.
        constant: gives the value of a constant tensor.
    """
    nodes = list(nodes)
    made = {x.name, *(t.name for node in nodes for t in node.outputs)}
    found: set[int] = set()
    for node in nodes:
        for attribute in node.attrs.values():
            found.update(
                _whole(attribute.values if isinstance(attribute, gs.Constant) else attribute)
            )
        for tensor in node.inputs:
            if tensor.name and tensor.name not in made and not _is_table(tensor):
                found.update(_whole(constant(tensor)))
    return found


def _is_table(tensor: gs.Tensor) -> bool:
    """Whether it is a table of positions or weights, which is compared with no size."""
    return isinstance(tensor, gs.Constant) and math.prod(tensor.shape) > _LARGEST_LIST


def _whole(values: object) -> Iterator[int]:
    if isinstance(values, str | bytes | gs.Graph) or values is None:
        return
    array: Array = np.asarray(values)
    if array.dtype.kind not in "iuf" or not array.size:
        return
    if array.size > _LARGEST_LIST:
        return
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    yield from (int(n) for n in np.unique(finite) if n == int(n))


def squares_and_strips(axes: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Sizes of several axes: all alike, and each one alone with the others short.

    Args:
        axes: per axis the lengths to try.
    """
    if not axes:
        return [()]
    longest = max(len(axis) for axis in axes)
    alike = [tuple(axis[min(i, len(axis) - 1)] for axis in axes) for i in range(longest)]
    alike = [sizes for sizes in alike if math.prod(sizes) <= _MOST_POSITIONS] or alike[:1]
    strips = [
        tuple(length if i == axis else _nearest(base, axes[i]) for i in range(len(axes)))
        for axis, base in itertools.product(range(len(axes)), (1, 2, 5))
        for length in axes[axis]
    ]
    return list(dict.fromkeys([*alike, *strips])) if len(axes) > 1 else alike


def _nearest(length: int, lengths: Sequence[int]) -> int:
    return min(lengths, key=lambda other: abs(other - length))
