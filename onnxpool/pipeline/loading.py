"""Whether ONNX Runtime loads a model: the last check before one is written; a note of inspect."""

from __future__ import annotations

import os
from pathlib import Path

import onnx

from onnxpool.errors import CheckError
from onnxpool.model.bodies import with_bodies
from onnxpool.model.external_data import is_external, nbytes, tensors_of_model
from onnxpool.model.file import ModelFile
from onnxpool.rewrites.graph.run import RunError, Runner, kernels_missing
from onnxpool.rewrites.lower.function_body import is_body

LARGEST = 128 << 20
"""Weights up to this many bytes are loaded."""

_OWN = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")

BRANCHES = (
    " (where a branch of an If does not fit the sizes that are fixed, what decides has to be "
    "constant: an initializer, with --freeze-inputs if it is an input too)"
)


def check_loading(
    before: str | os.PathLike[str] | bytes | onnx.ModelProto, after: ModelFile
) -> list[str]:
    """Load a rewritten model in ONNX Runtime, with the kernels too where it has use for them.

    Args:
        before: the model as it came: what ONNX Runtime never took is no fault of the result.

    Returns:
        What to tell: why that was not done, or that the model as it came is not loaded either.

    Raises:
        CheckError: it loads the model as it came, and not the result.
    """
    size = weights(after.proto)
    if size > LARGEST:
        return [
            f"not loaded by ONNX Runtime before it was written: {size >> 20} MB of weights, more "
            f"than {LARGEST >> 20}"
        ]
    after.fill()
    folder = after.path.parent
    has_kernels = any(map(is_body, after.proto.functions)) and not kernels_missing()
    try:
        for kernels in (False, True) if has_kernels else (False,):
            Runner(after.proto, folder, kernels=kernels)
    except RunError as error:
        if reason := _refusal(before, folder):
            return [f"ONNX Runtime loads neither the model as it came nor the result: {reason}"]
        hint = BRANCHES if _has_branches(after.proto) else ""
        raise CheckError(
            f"ONNX Runtime loads the model as it came, and not the result: {error}{hint}; nothing "
            "was written"
        ) from error
    return []


def note(model: str | os.PathLike[str] | bytes | onnx.ModelProto, file: ModelFile) -> str:
    """Why ONNX Runtime does not load a model of its own ops; empty where it does, or is not asked.

    Args:
        file: the same, read.
    """
    nodes = [n for scope in file.scopes for n in with_bodies(scope.proto.node)]
    if any(n.domain not in _OWN for n in nodes) or weights(file.proto) > LARGEST:
        return ""
    reason = _refusal(model, file.path.parent)
    return f"ONNX Runtime does not load the model as it is: {reason}" if reason else ""


def weights(model: onnx.ModelProto) -> int:
    """How many bytes a model has, with its external data."""
    elsewhere = sum(nbytes(t) for t in tensors_of_model(model) if is_external(t))
    return int(model.ByteSize()) + elsewhere


def _has_branches(model: onnx.ModelProto) -> bool:
    return any(node.op_type == "If" for node in with_bodies(model.graph.node))


def _refusal(model: str | os.PathLike[str] | bytes | onnx.ModelProto, folder: Path) -> str:
    """Why ONNX Runtime does not load the model as it came; empty where it does."""
    if isinstance(model, bytes):
        model = onnx.load_from_string(model)
    source = model if isinstance(model, onnx.ModelProto) else os.fspath(model)
    try:
        Runner(source, folder)
    except RunError as error:
        return str(error)
    return ""
