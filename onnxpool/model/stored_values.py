"""The values of constants, in the model or in its external data, read when asked for."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto
from onnx_graphsurgeon.ir.tensor import LazyValues, SparseValues

from onnxpool.errors import ModelError
from onnxpool.model.external_data import DataFolder, is_external, numpy_dtype
from onnxpool.ops.op import Array

_MOST_DENSE = 1 << 26
"""Elements."""


class StoredValues(LazyValues):  # type: ignore[misc]
    """The values of a tensor in the model or in its external data, read when asked for.

    Attributes:
        tensor: the proto.
        shape: its dimensions.
        dtype: its NumPy type, bfloat16 and the like from ml_dtypes; None: not known to onnx.
    """

    def __init__(self, tensor: TensorProto, folder: DataFolder) -> None:
        self.tensor = tensor
        self.shape = tuple(tensor.dims)
        self.dtype = numpy_dtype(tensor.data_type)
        self._folder = folder

    def load(self) -> Array:
        return _read(self.tensor, self._folder)


class StoredSparseValues(SparseValues):  # type: ignore[misc]
    """As `StoredValues`, of a sparse tensor; the values come dense."""

    def __init__(self, tensor: onnx.SparseTensorProto, folder: DataFolder) -> None:
        self.tensor = tensor
        self.shape = tuple(tensor.dims)
        self.dtype = numpy_dtype(tensor.values.data_type)
        self._folder = folder

    def load(self) -> Array:
        if math.prod(self.shape) > _MOST_DENSE:
            raise ModelError(
                f"sparse tensor {self.tensor.values.name!r} has {math.prod(self.shape):,} "
                f"elements, at most {_MOST_DENSE:,} are made of it; remove it or store it dense"
            )
        values = _read(self.tensor.values, self._folder)
        indices = _read(self.tensor.indices, self._folder)
        dense = np.zeros(self.shape, values.dtype)
        if indices.ndim == 1:
            dense.reshape(-1)[indices] = values
        else:
            dense[tuple(indices.T)] = values
        return dense


def _read(tensor: TensorProto, folder: DataFolder) -> Array:
    if is_external(tensor):
        return folder.read(tensor)
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"tensor {tensor.name!r} cannot be decoded: {error}") from error
