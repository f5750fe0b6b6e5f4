"""Values and sizes at which a graph and its look-alike part ways."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]
Shape = tuple[int, ...]

_LARGEST = 2048
"""The greatest integer constant that is taken for a size."""
_MOST_ELEMENTS = 1 << 17
_MOST_IMPULSES = 16


def shapes(model: onnx.ModelProto, *others: onnx.ModelProto) -> list[Shape]:
    """The shapes of X to try: the one that is declared, or many where sizes are open.

    An open size goes through the small numbers, around every integer c of the graph (c-1, c, c+1,
    2c, 2c+1), around its root and its half, as products of sizes are compared with it too, and
    beyond all of them. Where several are open they are equal first, then differ.

    Args:
        others: models whose integers count too.
    """
    (x,) = model.graph.input
    dims = [d.dim_value if d.HasField("dim_value") else d.dim_param for d in _dims(x)]
    symbols = [d for d in dict.fromkeys(dims) if isinstance(d, str)]
    if not symbols:
        return [tuple(d for d in dims if isinstance(d, int))]
    lengths = _lengths((model, *others))
    chosen = []
    for step in (0, 3):
        for i, length in enumerate(lengths):
            numbers = {s: lengths[(i + j * step) % len(lengths)] for j, s in enumerate(symbols)}
            numbers |= {s: 1 + i % 2 for s in symbols if s.startswith("N")}
            shape = tuple(numbers[d] if isinstance(d, str) else d for d in dims)
            if math.prod(shape) <= _MOST_ELEMENTS and (step == 0 or length <= 64):
                chosen.append(shape)
        if len(symbols) == 1 + any(s.startswith("N") for s in symbols):
            break
    return list(dict.fromkeys(chosen))


def _dims(value: onnx.ValueInfoProto) -> Any:
    return value.type.tensor_type.shape.dim


def _lengths(models: Sequence[onnx.ModelProto]) -> list[int]:
    lengths = {1, 2, 3, 4, 5, 7, 8, 12, 13, 31, 64}
    for c in set().union(*map(_integers, models)):
        lengths |= {c - 1, c, c + 1, 2 * c, 2 * c + 1, math.isqrt(c) + 1, math.isqrt(c) + 2, c // 2}
    greatest = max(lengths)
    return sorted(n for n in {*lengths, greatest + 7, 2 * greatest + 3} if n > 0)


def _integers(model: onnx.ModelProto) -> set[int]:
    """The whole numbers that stand anywhere in a model, and the quotients of floats by a power."""
    found: set[float] = set()

    def collect(nodes: Any) -> None:
        for node in nodes:
            for a in node.attribute:
                found.update((a.i, *a.ints, a.f))
                if a.HasField("t"):
                    found.update(_numbers(a.t))
                for graph in (a.g, *a.graphs):
                    collect(graph.node)
                    found.update(n for t in graph.initializer for n in _numbers(t))

    collect(model.graph.node)
    for function in model.functions:
        collect(function.node)
    found.update(n for t in model.graph.initializer for n in _numbers(t))
    whole = (abs(int(n)) for n in found if math.isfinite(n) and float(n).is_integer())
    return {n for n in whole if 2 <= n <= _LARGEST}


def _numbers(tensor: onnx.TensorProto) -> list[float]:
    values = numpy_helper.to_array(tensor)
    if values.size > 64:
        return []
    return [float(v) for v in values.astype(np.float64).reshape(-1)]


def values(
    model: onnx.ModelProto, shape: Shape, *, few: bool = False
) -> Iterator[tuple[str, Array]]:
    """Named inputs of a shape, in the type of X.

    Args:
        few: only those that tell most; for all but the first of many sizes.
    """
    (x,) = model.graph.input
    dtype = helper.tensor_dtype_to_np_dtype(x.type.tensor_type.elem_type)
    rng = np.random.default_rng(zlib.crc32(repr(shape).encode()))
    if dtype == np.bool_:
        yield "random", rng.integers(0, 2, shape).astype(bool)
    elif dtype.kind in "iu":
        yield from _whole_numbers(rng, shape, dtype)
    else:
        drawn = _few(rng, shape) if few else _numbers_of(rng, shape, dtype)
        for name, value in drawn:
            with np.errstate(over="ignore", under="ignore"):
                yield name, np.asarray(value).astype(dtype)


def _few(rng: np.random.Generator, shape: Shape) -> Iterator[tuple[str, Array]]:
    normal = rng.standard_normal(shape)
    yield "normal", normal
    yield "zeros", np.zeros(shape)
    yield "rising", np.arange(math.prod(shape)).reshape(shape) / 8
    yield "large", normal * 1e4
    yield from _impulses(rng, shape, 4)


def _numbers_of(
    rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]
) -> Iterator[tuple[str, Array]]:
    limits: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    normal = rng.standard_normal(shape)
    yield "normal", normal
    yield "zeros", np.zeros(shape)
    yield "minus zeros", -np.zeros(shape)
    yield "ones", np.ones(shape)
    yield "constant", np.full(shape, -3.7)
    yield "rising", np.arange(math.prod(shape)).reshape(shape) / 8
    yield "falling", -np.arange(math.prod(shape)).reshape(shape) / 8
    yield "ties", rng.integers(-2, 2, shape)
    yield "negative", -1 - rng.random(shape)
    yield "positive", 0.5 + rng.random(shape)
    yield "activations", np.maximum(normal, 0)
    yield from ((f"normal x {scale:g}", normal * scale) for scale in (1e-6, 1e-3, 50, 1e4, 1e6))
    yield "about 700 to 7000", rng.uniform(700, 7000, shape)
    yield "about 65504", rng.uniform(4e4, 9e4, shape)
    yield "1e-30", normal * 1e-30
    yield "1e30", normal * 1e30
    yield "all scales", rng.choice((-1, 1), shape) * 10.0 ** rng.uniform(-12, 12, shape)
    yield "subnormal", rng.integers(-9, 9, shape) * float(limits.smallest_subnormal)
    # Nearer to the limit one spelling of a sum overflows where another does not.
    yield "greatest / 4096", rng.choice((-1, 1), shape) * float(limits.max) / 4096
    yield from _impulses(rng, shape, _MOST_IMPULSES)
    yield "a dip", 2 - _impulse(rng, shape, 0, math.prod(shape))
    yield "infinities", _every(13, -np.inf, _every(7, np.inf, rng.standard_normal(shape)))
    yield "minus infinity", np.full(shape, -np.inf)
    yield "NaN", _every(11, np.nan, rng.standard_normal(shape))
    yield "one NaN", _every(math.prod(shape), np.nan, rng.standard_normal(shape))


def _impulses(rng: np.random.Generator, shape: Shape, most: int) -> Iterator[tuple[str, Array]]:
    """One element per plane is not 0: its weight in every output, free of other rounding."""
    plane = math.prod(shape[2:]) if len(shape) > 2 else math.prod(shape[1:])
    count = math.prod(shape) // max(plane, 1)
    runs = -(-plane // max(count, 1))
    for run in np.unique(np.linspace(0, runs - 1, min(runs, most)).astype(int)):
        yield f"impulses {run}", _impulse(rng, shape, run * count, plane)


def _impulse(rng: np.random.Generator, shape: Shape, first: int, plane: int) -> Array:
    x = np.zeros((math.prod(shape) // max(plane, 1), plane))
    rows = np.arange(len(x))
    x[rows, (first + rows) % max(plane, 1)] = rng.choice((-1, 1), len(x)) * rng.uniform(
        1, 2, len(x)
    )
    return x.reshape(shape)


def _every(step: int, value: float, x: Array) -> Array:
    x.reshape(-1)[step // 2 :: step] = value
    return x


def _whole_numbers(
    rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]
) -> Iterator[tuple[str, Array]]:
    limits = np.iinfo(dtype)
    yield "random", rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    yield "small", rng.integers(0, 5, shape).astype(dtype)
    yield "zeros", np.zeros(shape, dtype)
    yield "least", np.full(shape, limits.min, dtype)
    yield "greatest", np.full(shape, limits.max, dtype)
    yield "rising", np.arange(math.prod(shape)).reshape(shape).astype(dtype)
