"""Windows that are nearly adaptive: floor stride, rounded bounds, symmetrical, ceil starts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

from tests.lookalikes.lookalike import Lookalike, lookalike
from tests.lookalikes.pieces import Span, adaptive, bins, plane_bins

Table = Callable[[int, int], list[Span]]

_OPS = ("ReduceMean", "ReduceMax")
_SIZES = ((7, 3), (11, 4), (13, 6), (15, 6), (17, 5))


def _floor_stride(length: int, count: int) -> list[Span]:
    stride = length // count
    kernel = length - (count - 1) * stride
    return [(i * stride, i * stride + kernel) for i in range(count)]


def _rounded(length: int, count: int) -> list[Span]:
    edges = [math.floor(i * length / count + 0.5) for i in range(count + 1)]
    return list(itertools.pairwise(edges))


def _side_by_side(length: int, count: int) -> list[Span]:
    edges = [i * length // count for i in range(count + 1)]
    return list(itertools.pairwise(edges))


def _ceil_start(length: int, count: int) -> list[Span]:
    return [(-(-i * length // count), -(-(i + 1) * length // count)) for i in range(count)]


def _symmetrical(length: int, count: int) -> list[Span]:
    half = [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
    return [
        *half[: count // 2],
        *[(length - e, length - s) for s, e in half[: -(-count // 2)]][::-1],
    ]


def _longest(length: int, count: int) -> list[Span]:
    kernel = max(e - s for s, e in adaptive(length, count))
    return [
        (min(s, length - kernel), min(s, length - kernel) + kernel)
        for s, _ in adaptive(length, count)
    ]


def _remainder_last(length: int, count: int) -> list[Span]:
    size = length // count
    return [*[(i * size, (i + 1) * size) for i in range(count - 1)], ((count - 1) * size, length)]


def _remainder_first(length: int, count: int) -> list[Span]:
    return [(length - e, length - s) for s, e in _remainder_last(length, count)][::-1]


def _linspace(length: int, count: int) -> list[Span]:
    kernel = -(-length // count)
    starts = [round(i * (length - kernel) / max(count - 1, 1)) for i in range(count)]
    return [(s, s + kernel) for s in starts]


_TABLES: dict[str, Table] = {
    "floor stride": _floor_stride,
    "rounded": _rounded,
    "side by side": _side_by_side,
    "ceil starts": _ceil_start,
    "symmetrical": _symmetrical,
    "all of the longest": _longest,
    "remainder last": _remainder_last,
    "remainder first": _remainder_first,
    "evenly spaced": _linspace,
}


def graphs() -> Iterator[Lookalike]:
    for name, table in _TABLES.items():
        for length, count in _SIZES:
            op = _OPS[(length + len(name)) % 2]
            spans = table(length, count)
            text, constants = bins(spans, 2, op)
            title = f"{op} {length} to {count}, {name}"
            right = spans == adaptive(length, count)
            yield lookalike(title, text, (1, 2, length), found=right, **constants)
    for name in ("rounded", "side by side"):
        for op in _OPS:
            text, constants = plane_bins(_TABLES[name](7, 3), adaptive(8, 3), op)
            yield lookalike(f"{op} of a plane, rows {name}", text, (1, 2, 7, 8), **constants)
    yield from _pools()


def _pools() -> Iterator[Lookalike]:
    """One AveragePool or MaxPool in the place of adaptive pooling."""
    for op in ("AveragePool", "MaxPool"):
        for length, count in _SIZES:
            stride = length // count
            kernel = length - (count - 1) * stride
            yield lookalike(
                f"{op} {length} to {count} by floor stride",
                f"Y = {op}<kernel_shape=[{kernel}, {kernel}], strides=[{stride}, {stride}]>(X)",
                (1, 2, length, length),
            )
        for length, count in ((14, 7), (15, 6)):
            k = round(length / count)
            yield lookalike(
                f"{op} {length} to {count}, SAME_UPPER",
                f'Y = {op}<kernel_shape=[{k}, {k}], strides=[{k}, {k}], auto_pad="SAME_UPPER">(X)',
                (1, 2, length, length),
            )
        for k, s in ((8, 8), (7, 7), (4, 2)):
            yield lookalike(
                f"{op} {k} by {s} of an open plane",
                f"Y = {op}<kernel_shape=[{k}, {k}], strides=[{s}, {s}]>(X)",
                ("N", 2, "H", "W"),
            )
        yield lookalike(
            f"an ordinary {op} beside a frozen head",
            f"A = {op}<kernel_shape=[4, 4], strides=[4, 4]>(X)\n"
            "p = AveragePool<kernel_shape=[8, 8], strides=[8, 8]>(X)\n"
            "f = Flatten(p)\nB = Gemm<transB=1>(f, w)",
            ("N", 2, "H", "W"),
            out=("A", "B"),
            w=[[0.5, -1.0], [2.0, 0.25], [1.0, 1.0]],
        )
