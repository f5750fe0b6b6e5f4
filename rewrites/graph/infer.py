"""onnx's shape inference, within a bound on memory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import onnx

from onnxpool.ops import register_schemas
from onnxpool.rewrites.graph import limits, worker
from onnxpool.rewrites.graph.session import TooLarge

_MOST_MEMORY = 192 << 20
_OF_MODEL = 16
"""Bytes that it may take beside, and for each byte of the model."""

_LOCK = threading.RLock()  # To infer a call is to infer a body.


def infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with what onnx infers; it raises all sorts where it does not infer.

    To follow values, onnx writes a list for every vector that it meets, however long: one of 10^12
    elements is a Range of 200 bytes. Where that takes too much, values are not followed. The call
    holds the lock of the interpreter, so that no other thread of Python meets its limit; a lock of
    our own, that no other takes the limit for the one of the process. Where the system keeps no
    process within its memory, a worker infers, which may be ended.
    """
    if not limits.KEPT_BY_SYSTEM:
        return _infer_apart(model)
    allowed = limits.current()
    with _LOCK, _bounded(_MOST_MEMORY + _OF_MODEL * model.ByteSize()):
        if allowed.follows_values:
            try:
                return onnx.shape_inference.infer_shapes(model, data_prop=True)
            except MemoryError:
                allowed.follows_values = False
        return onnx.shape_inference.infer_shapes(model)


def _infer_apart(model: onnx.ModelProto) -> onnx.ModelProto:
    """Raises:
    RunError: onnx infers nothing, or not within the limits.
    """
    allowed, data = limits.current(), model.SerializeToString()
    bounds = allowed.seconds, _MOST_MEMORY + _OF_MODEL * len(data)
    if allowed.follows_values:
        try:
            return _parsed(worker.apart(_inferred, (data, True), *bounds))
        except TooLarge:
            allowed.follows_values = False
    return _parsed(worker.apart(_inferred, (data, False), *bounds))


def _inferred(model: bytes, follows_values: bool) -> bytes:
    """What a worker does."""
    register_schemas()
    inferred = onnx.shape_inference.infer_shapes(_parsed(model), data_prop=follows_values)
    return bytes(inferred.SerializeToString())


def _parsed(data: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.ParseFromString(data)
    return model


@contextlib.contextmanager
def _bounded(more: int) -> Iterator[None]:
    """Let this process have so much more memory than it has."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + more
    if before[0] != resource.RLIM_INFINITY:
        size = min(size, before[0])
    resource.setrlimit(resource.RLIMIT_AS, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
