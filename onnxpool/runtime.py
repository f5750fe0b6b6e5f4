"""ONNX Runtime with the custom-op library."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import onnx

from onnxpool.errors import LibraryError
from onnxpool.model.functions import uses_dialect
from onnxpool.ops.library import register
from onnxpool.rewrites.graph.run import kernels_missing

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def session(
    model: str | os.PathLike[str] | bytes, sess_options: Any = None, **options: Any
) -> InferenceSession:
    """An ``onnxruntime.InferenceSession`` in which the ops of the dialect run their kernels.

    Args:
        model: a path, or a serialized model.
        sess_options: an ``onnxruntime.SessionOptions``; the library is registered with it.
        options: further arguments of ``InferenceSession``, such as ``providers``.

    Raises:
        LibraryError: the library is missing, or this ONNX Runtime refuses it.
    """
    import onnxruntime

    if sess_options is None:
        sess_options = onnxruntime.SessionOptions()
    try:
        register(sess_options)
    except LibraryError as error:
        raise LibraryError(
            f"{error}; or make an onnxruntime.InferenceSession, which runs the function bodies"
        ) from error
    source = model if isinstance(model, bytes) else os.fspath(model)
    return onnxruntime.InferenceSession(source, sess_options, **options)


def register_where_used(sess_options: Any, model: onnx.ModelProto) -> bool:
    """Register the library if `model` has ops of the dialect and there is one; say whether."""
    used = uses_dialect(model) and not kernels_missing()
    if used:
        register(sess_options)
    return used
