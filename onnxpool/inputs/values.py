"""The inputs of a model, and seeded values for them in several distributions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from onnxpool.errors import ArgumentError
from onnxpool.ops.op import Array

Generator = np.random.Generator
Draw = Callable[[Generator, Sequence[int]], Array]

_HALF = np.finfo(np.float16)
_HALF_EXTREMES = np.array(
    [0.0, _HALF.smallest_subnormal, _HALF.smallest_normal, 1.0, float(_HALF.max)]
)


def _half_extremes(rng: Generator, shape: Sequence[int]) -> Array:
    return np.asarray(rng.choice(_HALF_EXTREMES, shape) * rng.choice([-1.0, 1.0], shape))


DISTRIBUTIONS: Mapping[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "positive": lambda rng, shape: rng.uniform(0, 1, shape),
    "negative": lambda rng, shape: rng.uniform(-2, -1, shape),
    # 3/4: a constant whose sums are exact, so that no mean of it may differ by rounding.
    "constant": lambda rng, shape: np.full(shape, 0.75),
    "large": lambda rng, shape: 1e4 * rng.standard_normal(shape),
    "tiny": lambda rng, shape: 1e-6 * rng.standard_normal(shape),
    "float16 extremes": _half_extremes,
}
"""What floating-point inputs are drawn from."""

INTEGERS = "integers"
"""The one distribution of a model without floating-point inputs."""


@dataclasses.dataclass(frozen=True)
class ModelInput:
    """An input that has to be given.

    Attributes:
        dims: numbers, and symbols; a size without a name has the input and the axis as its symbol.
            None where the model does not say the rank.
    """

    name: str
    dtype: np.dtype[Any]
    dims: tuple[int | str, ...] | None

    @property
    def is_float(self) -> bool:
        return bool(np.issubdtype(self.dtype, np.floating))


def model_inputs(model: onnx.ModelProto) -> list[ModelInput]:
    """The inputs of `model` that no initializer gives.

    Raises:
        ArgumentError: an input is no tensor, or of a dtype that cannot be drawn.
    """
    initialized = {tensor.name for tensor in model.graph.initializer}
    return [_model_input(v) for v in model.graph.input if v.name not in initialized]


def _model_input(value: onnx.ValueInfoProto) -> ModelInput:
    tensor = value.type.tensor_type
    if value.type.WhichOneof("value") != "tensor_type":
        raise ArgumentError(f"input {value.name!r} is no tensor; onnxpool draws tensors only")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if dtype.kind not in "fiub":
        name = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise ArgumentError(
            f"input {value.name!r} is of type {name}; onnxpool draws float16, float32, float64, "
            "integers and bool"
        )
    dims = None
    if tensor.HasField("shape"):
        dims = tuple(
            d.dim_value if _is_known(d) else d.dim_param or f"{value.name}[{axis}]"
            for axis, d in enumerate(tensor.shape.dim)
        )
    return ModelInput(value.name, dtype, dims)


def _is_known(dim: onnx.TensorShapeProto.Dimension) -> bool:
    """Whether a size is a number; some writers say -1 where it is open."""
    return dim.HasField("dim_value") and dim.dim_value >= 0


def distributions(inputs: Sequence[ModelInput]) -> tuple[str, ...]:
    return tuple(DISTRIBUTIONS) if any(i.is_float for i in inputs) else (INTEGERS,)


def draw(
    inputs: Sequence[ModelInput],
    shapes: Sequence[Sequence[int]],
    distribution: str,
    seed: int,
) -> dict[str, Array]:
    """Values for all inputs: the same for the same arguments.

    Integers are drawn from the whole range of 8 bits, else from 0 and 1, which are small enough to
    be an index of anything.
    """
    rng = np.random.default_rng(seed)
    return {
        i.name: _floats(rng, i.dtype, shape, distribution)
        if i.is_float
        else _integers(rng, i.dtype, shape)
        for i, shape in zip(inputs, shapes, strict=True)
    }


def _floats(rng: Generator, dtype: np.dtype[Any], shape: Sequence[int], name: str) -> Array:
    limit = float(np.finfo(dtype).max)
    return np.clip(DISTRIBUTIONS[name](rng, shape), -limit, limit).astype(dtype)


def _integers(rng: Generator, dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
    if dtype.kind == "b" or dtype.itemsize > 1:
        return rng.integers(0, 2, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
