"""A model of the corpus, and the pools in it."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import onnx
import pytest
from _pytest.mark import ParameterSet
from numpy.typing import NDArray

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool, GeMPool

Array = NDArray[Any]
Reference = Callable[[Array], tuple[Array, ...]]


@dataclasses.dataclass(frozen=True)
class Pool:
    """A construct in a model, as one op of the dialect.

    Attributes:
        op: the op, its output size in numbers (a kept axis by its size). The levels of a pyramid
            are listed as pools of their own.
        p: the exponents of a GeMPool.
        indices: whether the Indices of an AdaptiveMaxPool are used.
        native: whether standard nodes do it already, as well as it can be done: one AveragePool,
            MaxPool, Global or Reduce node, and those that find the indices of its maxima.
    """

    op: AdaptiveAveragePool | AdaptiveMaxPool | GeMPool
    p: tuple[float, ...] = ()
    indices: bool = False
    native: bool = False

    def __call__(self, x: Array) -> tuple[Array, ...]:
        """The outputs of the op alone."""
        outputs = self.op.reference(x, *([np.array(self.p, x.dtype)] if self.p else []))
        return outputs if self.indices else outputs[:1]


def average(*output_size: int, native: bool = False) -> Pool:
    return Pool(AdaptiveAveragePool(output_size), native=native)


def maximum(*output_size: int, indices: bool = False, native: bool = False) -> Pool:
    return Pool(AdaptiveMaxPool(output_size), indices=indices, native=native)


def generalised(*output_size: int, p: tuple[float, ...], epsilon: float | None = 1e-6) -> Pool:
    return Pool(GeMPool(output_size, epsilon), p=p)


@dataclasses.dataclass(frozen=True)
class Case:
    """A model of the corpus.

    Attributes:
        name: unique in the corpus.
        shape: the shape of the model's one input, which is called "X".
        expected: the pools in the model, in the order of its outputs or levels. A pool to 1 of a
            single slice is not listed.
        bare: the model's outputs are those of `expected`, and nothing else happens in it.
        positive: the model is meant for positive input only.
    """

    name: str
    shape: tuple[int, ...]
    expected: tuple[Pool, ...]
    _: dataclasses.KW_ONLY
    dtype: str = "float32"
    bare: bool = True
    positive: bool = False

    @property
    def lifted(self) -> tuple[Pool, ...]:
        """The pools that no single node does; where there is none, a rewrite changes nothing."""
        return tuple(pool for pool in self.expected if not pool.native)

    @property
    def runnable(self) -> bool:
        """Whether ONNX Runtime takes the model as it is."""
        return True

    def sample(self, rng: np.random.Generator) -> Array:
        x = rng.standard_normal(self.shape).astype(self.dtype)
        return np.abs(x) + x.dtype.type(0.1) if self.positive else x

    def model(self) -> onnx.ModelProto:
        raise NotImplementedError

    def reference(self) -> Reference | None:
        raise NotImplementedError


@functools.cache
def _serialized(case: Case) -> bytes:
    return case.model().SerializeToString()


def parameters(cases: Iterable[Case]) -> list[ParameterSet]:
    """For pytest.mark.parametrize: all tests of a case on one worker, which exports it once."""
    return [pytest.param(c, id=c.name, marks=pytest.mark.xdist_group(c.name)) for c in cases]


def load(case: Case) -> tuple[onnx.ModelProto, Reference | None]:
    """The model of a case, and what it should compute: None for a hand-written look-alike."""
    return onnx.load_from_string(_serialized(case)), case.reference()
