"""Pooling spelled by standard nodes, as graphs."""

import functools
import math
from collections.abc import Callable

import numpy as np

from onnxpool.ops.windows import windows
from tests.exports.case import Array
from tests.exports.graph import Graph

HALVING = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
"""ResNet's stem. Where padding does not count, it is adaptive pooling of an odd size."""


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def cut(g: Graph, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
    return g("Slice", x, ints(start), ints(end), ints(axis), ints(step))


def reduced(g: Graph, x: str, axis: int, window: int, op_type: str) -> str:
    """The window, which `x` is, by a Reduce node, or by the pool of that kernel."""
    if op_type.startswith("Reduce"):
        return g(op_type, x, axes=[axis], keepdims=1)
    kernel = [window if spatial == axis else 1 for spatial in (2, 3)]
    return g(op_type, x, kernel_shape=kernel)


def separable(g: Graph, shape: tuple[int, ...], sizes: tuple[int, ...], op_type: str) -> list[str]:
    """Axis after axis: slice each window, reduce it, concatenate. Returns what each axis left."""
    outputs = ["X"]
    for axis, size in enumerate(sizes, start=2):
        bins = [
            reduced(g, cut(g, outputs[-1], axis, w.start, w.end), axis, w.length, op_type)
            for w in windows(shape[axis], size)
        ]
        outputs.append(g("Concat", *bins, axis=axis))
    return outputs[1:]


def per_bin(
    g: Graph, shape: tuple[int, ...], size: int, pool: Callable[[str], str]
) -> tuple[str, ...]:
    """Slice each two-dimensional window, pool it to 1x1, concatenate rows, then the plane."""
    rows = []
    for h in windows(shape[2], size):
        strip = cut(g, "X", 2, h.start, h.end)
        bins = [pool(cut(g, strip, 3, w.start, w.end)) for w in windows(shape[3], size)]
        rows.append(g("Concat", *bins, axis=3))
    return (g("Concat", *rows, axis=2),)


def phases(g: Graph, shape: tuple[int, ...], size: int, op_type: str) -> tuple[str, ...]:
    """The windows repeat every size/gcd outputs: one strided pool for each, interleaved."""
    x, dims = "X", list(shape)
    for axis in (2, 3):
        repeats = math.gcd(dims[axis], size)
        stride = dims[axis] // repeats
        pools = []
        for window in windows(dims[axis], size)[: size // repeats]:
            kernel = [window.length if a == axis else 1 for a in (2, 3)]
            strides = [stride if a == axis else 1 for a in (2, 3)]
            part = cut(g, x, axis, window.start, dims[axis])
            pool = g(op_type, part, kernel_shape=kernel, strides=strides)
            pools.append(g("Unsqueeze", pool, ints(axis + 1)))
        dims[axis] = size
        x = g("Reshape", g("Concat", *pools, axis=axis + 1), ints(*dims))
    return (x,)


def unrolled(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    """The mean of a plane as dynamo unrolls a window: two Gathers and an Add per position."""
    rows = [g("Gather", "X", ints(i), axis=2) for i in range(shape[2])]
    cells = [g("Gather", row, ints(j), axis=3) for row in rows for j in range(shape[3])]
    total = functools.reduce(lambda a, b: g("Add", a, b), cells)
    return (g("Div", total, np.array(len(cells), np.float32)),)


def averaging(length: int, size: int) -> Array:
    """``(size, length)``: row i averages window i."""
    matrix = np.zeros((size, length), np.float32)
    for row, window in zip(matrix, windows(length, size), strict=True):
        row[window.start : window.end] = 1 / window.length
    return matrix


def two_matmuls(g: Graph, shape: tuple[int, ...], rows: Array, columns: Array) -> tuple[str, ...]:
    return (g("MatMul", g("MatMul", rows, "X"), columns.T),)


def kronecker(g: Graph, shape: tuple[int, ...], size: int) -> tuple[str, ...]:
    matrix = np.kron(averaging(shape[2], size), averaging(shape[3], size)).T
    flat = g("Reshape", "X", ints(*shape[:2], shape[2] * shape[3]))
    return (g("Reshape", g("MatMul", flat, matrix), ints(*shape[:2], size, size)),)


def depthwise(g: Graph, shape: tuple[int, ...], kernel: Array, stride: int) -> tuple[str, ...]:
    weights = np.tile(kernel.astype(np.float32), (shape[1], 1, 1, 1))
    return (g("Conv", "X", weights, strides=[stride, stride], group=shape[1]),)


def reshaped_mean(g: Graph, shape: tuple[int, ...]) -> tuple[str, ...]:
    split = g("Reshape", "X", ints(*shape[:2], 6, shape[2] // 6, 6, shape[3] // 6))
    return (g("ReduceMean", split, axes=[3, 5], keepdims=0),)
