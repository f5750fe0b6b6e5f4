"""ONNX Runtime with the custom-op library."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import onnx

from onnxpool.errors import LibraryError
from onnxpool.model.functions import uses_dialect
from onnxpool.ops.library import register
from onnxpool.rewrites.graph.run import kernels_missing

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


_CPU = "CPUExecutionProvider"


def session(
    model: str | os.PathLike[str] | bytes,
    sess_options: Any = None,
    *,
    library: bool | None = None,
    **options: Any,
) -> InferenceSession:
    """An ``onnxruntime.InferenceSession`` in which the ops of the dialect run their kernels.

    The kernels are for the CPU. Where another provider comes first, a node that runs one would be
    an island on the CPU, with a copy there and back, so the library is left out with a warning:
    the function bodies are inlined, and the provider gets their standard ops.

    Args:
        model: a path, or a serialized model.
        sess_options: an ``onnxruntime.SessionOptions``; the library is registered with it.
        library: whether to register it whatever the providers are; None decides by the first.
        options: further arguments of ``InferenceSession``, such as ``providers``.

    Raises:
        LibraryError: the library is missing, or this ONNX Runtime refuses it.
    """
    import onnxruntime

    if sess_options is None:
        sess_options = onnxruntime.SessionOptions()
    first = _first_provider(options.get("providers"))
    if library is None and first != _CPU:
        warnings.warn(
            f"the kernels of onnxpool are for the CPU, and {first} comes first: their library is "
            "left out, and the function bodies run; library=True registers it, and library=False "
            "leaves it out without this warning",
            stacklevel=2,
        )
    if library or (library is None and first == _CPU):
        _register(sess_options)
    source = model if isinstance(model, bytes) else os.fspath(model)
    return onnxruntime.InferenceSession(source, sess_options, **options)


def _register(sess_options: Any) -> None:
    try:
        register(sess_options)
    except LibraryError as error:
        raise LibraryError(
            f"{error}; or make an onnxruntime.InferenceSession, which runs the function bodies"
        ) from error


def _first_provider(providers: Sequence[Any] | None) -> str:
    """The name of the provider that is asked for nodes first; ONNX Runtime's own choice is the CPU.

    Each is a name, or a name with options.
    """
    first = next(iter(providers or ()), _CPU)
    return str(first if isinstance(first, str) else first[0])


def register_where_used(sess_options: Any, model: onnx.ModelProto) -> bool:
    """Register the library if `model` has ops of the dialect and there is one; say whether."""
    used = uses_dialect(model) and not kernels_missing()
    if used:
        register(sess_options)
    return used
