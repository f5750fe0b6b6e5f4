"""onnx's shape inference, within a bound on memory."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import onnx

from onnxpool.rewrites.graph import limits

_MOST_MEMORY = 192 << 20
_OF_MODEL = 16
"""Bytes that it may take beside, and for each byte of the model."""

_LOCK = threading.RLock()  # To infer a call is to infer a body.


def infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with what onnx infers; it raises all sorts where it does not infer.

    To follow values, onnx writes a list for every vector that it meets, however long: one of 10^12
    elements is a Range of 200 bytes. Where that takes too much, values are not followed. The call
    holds the lock of the interpreter, so that no other thread of Python meets its limit; a lock of
    our own, that no other takes the limit for the one of the process.
    """
    allowed = limits.current()
    with _LOCK, _bounded(_MOST_MEMORY + _OF_MODEL * model.ByteSize()):
        if allowed.follows_values:
            try:
                return onnx.shape_inference.infer_shapes(model, data_prop=True)
            except MemoryError:
                allowed.follows_values = False
        return onnx.shape_inference.infer_shapes(model)


@contextlib.contextmanager
def _bounded(more: int) -> Iterator[None]:
    """Let this process have so much more memory than it has, where the system can see to that."""
    mapped = Path("/proc/self/statm")
    if sys.platform == "win32" or not mapped.exists():
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    size = int(mapped.read_text().split()[0]) * resource.getpagesize() + more
    if before[0] != resource.RLIM_INFINITY:
        size = min(size, before[0])
    resource.setrlimit(resource.RLIMIT_AS, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
