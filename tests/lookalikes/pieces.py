"""Text of graphs that several families use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Span = tuple[int, int]
Piece = tuple[str, dict[str, Any]]
"""Nodes, one a line, and their constants."""


def adaptive(length: int, bins: int) -> list[Span]:
    """Where PyTorch's adaptive windows start and end."""
    return [(i * length // bins, -(-(i + 1) * length // bins)) for i in range(bins)]


def bins(
    spans: Sequence[Span], axis: int, op: str = "ReduceMean", x: str = "X", y: str = "Y"
) -> Piece:
    """A Slice and a reduction per window, and their Concat."""
    lines, constants = [], {f"{y}_axis": [axis]}
    for i, (start, end) in enumerate(spans):
        constants |= {f"{y}_s{i}": [start], f"{y}_e{i}": [end]}
        lines.append(f"{y}_t{i} = Slice({x}, {y}_s{i}, {y}_e{i}, {y}_axis)")
        lines.append(f"{y}_r{i} = {op}<axes=[{axis}], keepdims=1>({y}_t{i})")
    parts = ", ".join(f"{y}_r{i}" for i in range(len(spans)))
    return "\n".join([*lines, f"{y} = Concat<axis={axis}>({parts})"]), constants


def plane_bins(rows: Sequence[Span], columns: Sequence[Span], op: str = "ReduceMean") -> Piece:
    """Separable windows over the last two of four axes."""
    first, a = bins(rows, 2, op, "X", "rows")
    second, b = bins(columns, 3, op, "rows", "Y")
    return f"{first}\n{second}", a | b


def volume_bins(
    tables: Sequence[Sequence[Span]],
    axes: Sequence[int],
    op: str = "ReduceMean",
    x: str = "X",
    y: str = "Y",
) -> Piece:
    """A Slice and a reduction of several axes at once per window, and Concats along each of them.

    Args:
        tables: the windows of each of `axes`.
    """
    lines: list[str] = []
    constants: dict[str, Any] = {f"{y}_axes": list(axes)}

    def part(chosen: tuple[int, ...]) -> str:
        depth, name = len(chosen), f"{y}_{'_'.join(map(str, chosen))}"
        if depth < len(axes):
            parts = ", ".join(part((*chosen, i)) for i in range(len(tables[depth])))
            name = name if chosen else y
            lines.append(f"{name} = Concat<axis={axes[depth]}>({parts})")
            return name
        spans = [table[i] for table, i in zip(tables, chosen, strict=True)]
        constants[f"{name}_s"], constants[f"{name}_e"] = map(list, zip(*spans, strict=True))
        lines.append(f"{name}_t = Slice({x}, {name}_s, {name}_e, {y}_axes)")
        lines.append(f"{name} = {op}<axes={list(axes)}, keepdims=1>({name}_t)")
        return name

    part(())
    return "\n".join(lines), constants


def matrix(length: int, spans: Sequence[Span]) -> np.ndarray[Any, Any]:
    """Averaging weights (length, windows)."""
    weights = np.zeros((length, len(spans)), np.float32)
    for i, (start, end) in enumerate(spans):
        weights[start:end, i] = 1 / (end - start)
    return weights


_BINS = bins(adaptive(7, 4), 2, y="m")

MEANS: dict[str, tuple[str, tuple[int | str, ...], dict[str, Any]]] = {
    # What gives m from X, the dims of X, and constants.
    "last": ("m = ReduceMean<axes=[-1]>(X)", (1, 4, 64), {}),
    "plane": ("m = ReduceMean<axes=[2, 3]>(X)", (2, 3, 6, 5), {}),
    "dropped": ("m = ReduceMean<axes=[2, 3], keepdims=0>(X)", (2, 3, 6, 5), {}),
    "gap": ("m = GlobalAveragePool(X)", (1, 4, 8, 8), {}),
    "kernel": ("m = AveragePool<kernel_shape=[4, 4], strides=[4, 4]>(X)", (1, 2, 8, 8), {}),
    "whole kernel": ("m = AveragePool<kernel_shape=[6, 5]>(X)", (1, 2, 6, 5), {}),
    "separable": (
        "w = ReduceMean<axes=[3]>(X)\nm = ReduceMean<axes=[2]>(w)",
        (1, 3, 6, 5),
        {},
    ),
    "sum": ("s = ReduceSum(X, ax)\nm = Mul(s, n)", (1, 3, 6, 5), {"ax": [2, 3], "n": 1 / 30}),
    "divided": ("s = ReduceSum(X, ax)\nm = Div(s, n)", (1, 3, 6, 5), {"ax": [2, 3], "n": 30.0}),
    "bins": (_BINS[0], (1, 3, 7), _BINS[1]),
    "matrix": ("m = MatMul(X, w)", (2, 3, 7), {"w": matrix(7, adaptive(7, 4))}),
    "reshaped": (
        "r = Reshape(X, sh)\nm = ReduceMean<axes=[-1]>(r)",
        (2, 3, 6, 5),
        {"sh": [2, 3, -1]},
    ),
    "nhwc": ("m = ReduceMean<axes=[1, 2]>(X)", (2, 6, 5, 3), {}),
    "tokens": ("m = ReduceMean<axes=[1], keepdims=0>(X)", (2, 12, 5), {}),
    "open": ("m = ReduceMean<axes=[2, 3]>(X)", ("N", 3, "H", "W"), {}),
}
