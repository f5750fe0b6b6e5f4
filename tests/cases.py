"""The case table: what every implementation of the dialect is tested on.

A case is an op, an input shape and how the input is drawn. Its expected value is what PyTorch
computes in float64. The table drives the NumPy references (tests/ops), every lowering strategy
(tests/rewrites/lower) and whatever else claims to compute an op.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from onnxpool.ops import KEEP, AdaptiveAveragePool, AdaptiveMaxPool, GeMPool, Op, PyramidPool
from onnxpool.ops.op import Array

Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator, Shape], Array]


def normal(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.standard_normal(shape)


def positive(rng: np.random.Generator, shape: Shape) -> Array:
    """Activations: half of them zero, as behind a ReLU."""
    return np.maximum(rng.standard_normal(shape), 0)


def ties(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.integers(-2, 2, shape).astype(np.float64)


def negative(rng: np.random.Generator, shape: Shape) -> Array:
    return -1 - rng.random(shape)


def nan(rng: np.random.Generator, shape: Shape) -> Array:
    """Every eleventh element is a NaN, so that some windows see one, two or none."""
    return _every(11, np.nan, rng.standard_normal(shape))


def infinite(rng: np.random.Generator, shape: Shape) -> Array:
    return _every(13, -np.inf, _every(7, np.inf, rng.standard_normal(shape)))


def minus_infinity(rng: np.random.Generator, shape: Shape) -> Array:
    return np.full(shape, -np.inf)


def arange(rng: np.random.Generator, shape: Shape) -> Array:
    return np.arange(np.prod(shape), dtype=np.float64).reshape(shape)


def _every(step: int, value: float, x: Array) -> Array:
    x.reshape(-1)[step // 2 :: step] = value
    return x


@dataclasses.dataclass(frozen=True)
class Case:
    """One op on one input.

    Attributes:
        op: the op.
        shape: the shape of X.
        draw: how X is drawn.
        p: the exponents of a GeMPool.
        outputs: how many outputs are asked for.
    """

    op: Op
    shape: Shape
    draw: Draw = normal
    p: tuple[float, ...] = ()
    outputs: int = 1

    def __str__(self) -> str:
        fields = (f for f in dataclasses.fields(self.op) if f.name != "levels")
        attributes = [str(getattr(self.op, f.name)).replace(" ", "") for f in fields]
        shape = "x".join(map(str, self.shape))
        p = [f"p={','.join(map(str, self.p))}"] if self.p else []
        indices = ["indices"] if self.op_type is AdaptiveMaxPool and self.outputs > 1 else []
        op = self.op.op_type()
        return "-".join([op, shape, *attributes, *p, *indices, self.draw.__name__])

    @property
    def op_type(self) -> type[Op]:
        return type(self.op)

    def inputs(self, dtype: Any = np.float32) -> tuple[Array, ...]:
        """X, and p where the op has one, the same in every run."""
        rng = np.random.default_rng(zlib.crc32(str(self).encode()))
        x = self.draw(rng, self.shape).astype(dtype)
        return (x, np.array(self.p, dtype)) if self.p else (x,)

    def expected(self, dtype: Any = np.float32, compute: Any = np.float64) -> tuple[Array, ...]:
        """What PyTorch makes, in type `compute`, of the inputs as they are in `dtype`."""
        import torch

        tensors = [torch.tensor(i.astype(compute)) for i in self.inputs(dtype)]
        return tuple(y.numpy() for y in _torch(self, *tensors))


def _torch(case: Case, x: Any, p: Any = None) -> Sequence[Any]:
    op = case.op
    if isinstance(op, AdaptiveAveragePool):
        return [_pool("avg", x, op.output_size)]
    if isinstance(op, AdaptiveMaxPool):
        return _pool("max", x, op.output_size, return_indices=True)[: case.outputs]
    if isinstance(op, GeMPool):
        p = p.reshape(-1, *(1,) * len(op.output_size))
        clamped = x if op.epsilon is None else x.clamp(min=op.epsilon)
        return [_pool("avg", clamped.pow(p), op.output_size).pow(1 / p)]
    assert isinstance(op, PyramidPool)
    kind = "avg" if op.mode == "average" else "max"
    return [_pool(kind, x, size) for size in op.sizes()]


def _pool(kind: str, x: Any, size: Sequence[int], **arguments: bool) -> Any:
    import torch.nn.functional as F  # noqa: N812

    pool = getattr(F, f"adaptive_{kind}_pool{len(size)}d")
    plane = x.shape[-len(size) :]
    numbers = [dim if bins == KEEP else bins for dim, bins in zip(plane, size, strict=True)]
    return pool(x, numbers, **arguments)


SIZES: tuple[tuple[Shape, Shape], ...] = (
    # 1-D
    ((2, 3, 14), (4,)),
    ((2, 3, 7), (4,)),
    ((2, 3, 12), (4,)),  # divisible
    ((3, 13), (6,)),  # unbatched; equal windows that overlap
    ((2, 3, 5), (9,)),  # larger than the input
    ((2, 3, 1), (3,)),  # windows of one element
    ((2, 3, 7), (1,)),
    ((2, 3, 7), (7,)),  # kept, as it happens
    ((2, 3, 300), (70,)),
    # 2-D
    ((2, 3, 13, 7), (6, 4)),
    ((1, 4, 12, 8), (3, 2)),
    ((3, 7, 13), (4, 6)),
    ((2, 3, 5, 4), (7, 9)),
    ((2, 3, 9, 7), (1, 1)),
    ((9, 7, 5), (1, 1)),
    ((2, 3, 9, 7), (KEEP, 3)),
    ((2, 3, 9, 7), (4, KEEP)),
    ((2, 3, 9, 7), (KEEP, KEEP)),
    ((2, 3, 9, 7), (1, 3)),
    ((2, 3, 4, 1), (5, 1)),
    ((0, 3, 9, 7), (4, 3)),  # empty batch
    ((0, 3, 9, 7), (1, 1)),
    ((1, 2, 40, 45), (6, 7)),  # too large for the Kronecker form
    ((1, 2, 40, 45), (KEEP, 7)),
    ((1, 2, 60, 40), (5, 4)),  # equal windows, too large for one AveragePool
    # 3-D
    ((2, 3, 5, 7, 9), (2, 3, 4)),
    ((3, 4, 6, 8), (2, 3, 4)),
    ((1, 2, 2, 3, 2), (3, 5, 3)),
    ((2, 2, 3, 4, 5), (1, 1, 1)),
    ((2, 2, 3, 4, 5), (KEEP, 2, 3)),
    ((2, 2, 3, 4, 5), (2, KEEP, 1)),
    ((1, 2, 9, 10, 11), (4, 3, 5)),
)

AVERAGE = (
    *(Case(AdaptiveAveragePool(size), shape) for shape, size in SIZES),
    *(
        Case(AdaptiveAveragePool(size), shape, draw)
        for draw in (nan, infinite)
        for shape, size in (
            ((2, 3, 14), (4,)),
            ((2, 3, 13, 7), (6, 4)),
            ((2, 3, 14, 9), (4, 5)),
            ((2, 3, 40, 45), (6, 7)),
            ((2, 2, 5, 7, 9), (2, 3, 4)),
        )
    ),
)

MAX = tuple(
    Case(AdaptiveMaxPool(size), shape, draw, outputs=outputs)
    for shape, size in SIZES
    for draw in (normal, ties, negative)
    for outputs in (1, 2)
) + tuple(
    Case(AdaptiveMaxPool(size), shape, draw, outputs=outputs)
    for shape, size in (((2, 3, 14), (4,)), ((2, 3, 13, 7), (6, 4)), ((2, 2, 5, 7, 9), (4, 6, 8)))
    for draw in (nan, infinite, minus_infinity)
    for outputs in (1, 2)
)

GEM = tuple(
    Case(GeMPool(size, epsilon), shape, draw, p)
    for shape, size in (
        ((2, 3, 9, 7), (1, 1)),
        ((2, 3, 13, 7), (6, 4)),
        ((3, 13, 13), (3, 3)),
        ((2, 3, 14), (4,)),
        ((2, 3, 5, 4, 5), (2, 1, KEEP)),
    )
    for p in ((1.0,), (2.0,), (3.0,), (5.0,), (2.87,), (1.5, 3.0, 4.25))
    for epsilon, draw in ((1e-6, positive), (1e-6, normal), (None, positive))
) + tuple(
    # Negative bases: an even power takes them, an odd one makes a negative mean without a root.
    Case(GeMPool((1, 1), None), (2, 3, 9, 7), draw, (p,))
    for p, draw in ((2.0, normal), (4.0, normal), (2.5, normal), (3.0, negative))
)

PYRAMID = tuple(
    Case(PyramidPool(sum(sizes, ()), len(sizes), mode), shape, draw, outputs=len(sizes))
    for mode, draw in (("average", normal), ("max", negative))
    for shape, sizes in (
        ((1, 3, 13, 13), ((1, 1), (2, 2), (3, 3), (6, 6))),
        ((2, 3, 12, 12), ((1, 1), (2, 2), (3, 3), (6, 6))),  # nested
        ((1, 2, 33, 45), ((1, 1), (2, 2), (3, 3), (6, 6))),  # a shared product
        ((2, 33, 33), ((6, 6), (1, 1), (6, 6))),  # unbatched, one level twice
        ((1, 2, 40, 30), ((KEEP, 3), (8, KEEP), (KEEP, KEEP), (8, 3))),
        ((2, 3, 50), ((1,), (2,), (3,), (6,))),
        ((2, 3, 5), ((2,), (4,), (8,))),
        ((1, 2, 9, 10, 11), ((1, 1, 1), (2, 2, 2), (4, 3, 5))),
        ((0, 3, 13, 13), ((1, 1), (6, 6))),
    )
)

CASES: tuple[Case, ...] = (*AVERAGE, *MAX, *GEM, *PYRAMID)
