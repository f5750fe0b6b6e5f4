"""The dtype and the shape of a tensor of a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Shape


def onnx_type(dtype: Any) -> int:
    """The TensorProto.DataType of a graphsurgeon dtype: a NumPy type, that number, or None."""
    if dtype is None:
        return onnx.TensorProto.UNDEFINED
    if isinstance(dtype, int):
        return dtype
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def numpy_type(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype (ml_dtypes for bfloat16) of a graphsurgeon dtype."""
    return onnx.helper.tensor_dtype_to_np_dtype(onnx_type(dtype))


def is_float(dtype: Any) -> bool:
    return onnx_type(dtype) in (
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.DOUBLE,
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.BFLOAT16,
    )


def is_half(dtype: Any) -> bool:
    """Whether a type has 16 bits: PyTorch computes pooling in float32 there, and so do we."""
    return onnx_type(dtype) in (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


def is_integer(dtype: Any) -> bool:
    return onnx_type(dtype) in (onnx.TensorProto.INT64, onnx.TensorProto.INT32)


def shape_of(tensor: gs.Tensor) -> Shape | None:
    """The shape with unnamed sizes as None; None where nothing is known."""
    if tensor.shape is None:
        return None
    return tuple(d if isinstance(d, int) else (d or None) for d in tensor.shape)


def is_byte(dtype: Any) -> bool:
    """Whether a type is that of quantized values."""
    return onnx_type(dtype) in (onnx.TensorProto.UINT8, onnx.TensorProto.INT8)


def resized(shape: Shape, sizes: dict[int, int]) -> Shape:
    """`shape` with other sizes on some axes."""
    return tuple(sizes.get(axis, dim) for axis, dim in enumerate(shape))


def carried_from(tensor: gs.Tensor) -> gs.Tensor:
    """The tensor that nodes which move nothing but axes carry to where `tensor` is."""
    while len(tensor.inputs) == 1 and tensor.inputs[0].op in ("Identity", "Transpose", "Unsqueeze"):
        tensor = tensor.inputs[0].inputs[0]
    return tensor
