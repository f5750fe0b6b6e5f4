"""What the types of a model say of its tensors."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np
import onnx
from onnx import TypeProto

from onnxpool.model.external_data import numpy_dtype
from onnxpool.ops.op import Shape

GENERATED_SYMBOL = "unk__"
"""onnx numbers unknown dims; each inference starts again, so the names say nothing."""


def dtype_and_shape(declared: TypeProto) -> tuple[np.dtype[Any] | None, Shape | None]:
    """What a type says of a tensor; None for what it does not say."""
    tensor = getattr(declared, declared.WhichOneof("value") or "tensor_type")
    if not hasattr(tensor, "shape"):
        return None, None
    dims = tuple(_dim(dim) for dim in tensor.shape.dim)
    return numpy_dtype(tensor.elem_type), dims if tensor.HasField("shape") else None


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return dim.dim_param or None


def without_shape(known: TypeProto | None) -> TypeProto | None:
    if known is None or not known.HasField("tensor_type"):
        return known
    return onnx.helper.make_tensor_type_proto(known.tensor_type.elem_type, None)


def without_axis(known: TypeProto | None, axis: int) -> TypeProto | None:
    if known is None or not known.tensor_type.HasField("shape"):
        return known
    copy = TypeProto()
    copy.CopyFrom(known)
    dims = copy.tensor_type.shape.dim
    if -len(dims) <= axis < len(dims):
        del dims[axis]
        return copy
    return without_shape(known)


def without_generated_sizes(known: TypeProto, symbols: Container[str]) -> TypeProto:
    """Without the names of sizes that onnx made up, which mean something else elsewhere."""
    copy = TypeProto()
    copy.CopyFrom(known)
    for dim in copy.tensor_type.shape.dim:
        if dim.dim_param.startswith(GENERATED_SYMBOL) and dim.dim_param not in symbols:
            dim.ClearField("dim_param")
    return copy
