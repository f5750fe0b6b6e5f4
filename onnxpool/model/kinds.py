"""The kinds of model that Python holds in memory, and the way back to each.

torch and onnx_ir are never imported here for a model that is not of theirs: where there is a model
of a package, the package is loaded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from onnxpool.errors import ArgumentError, ExternalDataError
from onnxpool.model.file import ModelFile

if TYPE_CHECKING:
    import onnx_ir
    from torch.onnx import ONNXProgram

    Model = str | os.PathLike[str] | bytes | onnx.ModelProto | ONNXProgram | onnx_ir.Model
    """What a model is given as."""

Plain = str | os.PathLike[str] | bytes | onnx.ModelProto
"""What `ModelFile.of` takes, beside what is loaded."""

_LARGEST = 1 << 31
"""Bytes that a ModelProto can be written with."""


def plain(model: Any) -> Any:
    """A model of torch or onnx_ir as a ModelProto with its weights; others as they are.

    Raises:
        ArgumentError: it is no model.
        ExternalDataError: its weights are in files, and too large to be in a ModelProto.
    """
    if isinstance(model, str | os.PathLike | bytes | onnx.ModelProto | ModelFile):
        return model
    if _is_program(model):
        model = model.model
    if not _is_ir(model):
        raise ArgumentError(
            f"a value of type {type(model).__name__} is no model; wanted a path, bytes, an "
            "onnx.ModelProto, a torch.onnx.ONNXProgram or an onnx_ir.Model"
        )
    return _proto(model)


def is_onnx(model: Any) -> bool:
    """Whether a value in memory is an ONNX model, of whatever kind."""
    kinds = bytes | onnx.ModelProto | ModelFile
    return isinstance(model, kinds) or _is_program(model) or _is_ir(model)


def name_of(model: Any) -> str:
    """The path of a model, for people."""
    if isinstance(model, ModelFile):
        return str(model.path)
    return os.fspath(model) if isinstance(model, str | os.PathLike) else "the model"


def like(given: Any, proto: onnx.ModelProto, serialized: bytes | None, folder: Path | None) -> Any:
    """A model in the kind of `given`; a ModelProto where that was a path.

    Args:
        serialized: the bytes of `proto`, where bytes were given.
        folder: where the external data of `proto` is.
    """
    if isinstance(given, bytes):
        return serialized
    if not (_is_program(given) or _is_ir(given)):
        return proto
    ir = sys.modules["onnx_ir"]
    model = ir.from_proto(proto)
    if folder is not None:
        ir.external_data.set_base_dir(model.graph, folder)
    return model if _is_ir(given) else type(given)(model, given.exported_program)


def _is_program(model: Any) -> bool:
    torch = sys.modules.get("torch.onnx")
    return torch is not None and isinstance(model, torch.ONNXProgram)


def _is_ir(model: Any) -> bool:
    ir = sys.modules.get("onnx_ir")
    return ir is not None and isinstance(model, ir.Model)


def _proto(model: onnx_ir.Model) -> onnx.ModelProto:
    ir = sys.modules["onnx_ir"]
    graphs = [model.graph, *(function.graph for function in model.functions.values())]
    values = (value for graph in graphs for value in graph.initializers.values())
    tensors = [value.const_value for value in values if value.const_value is not None]
    if sum(tensor.nbytes for tensor in tensors) >= _LARGEST:
        raise ExternalDataError(
            "the model has weights of more than 2 GiB, which a ModelProto cannot hold; save it, "
            "with its weights as external data, and give the path"
        )
    proto = ir.to_proto(model)
    folders = {str(t.base_dir) for t in tensors if isinstance(t, ir.ExternalTensor)}
    _load(proto, folders)
    return proto  # type: ignore[no-any-return]


def _load(proto: onnx.ModelProto, folders: Iterable[str]) -> None:
    """Read what is stored outside, which is looked for in the one folder that there is."""
    folders = list(folders)
    if len(folders) > 1:
        raise ExternalDataError(
            f"the model has weights in {len(folders)} folders ({', '.join(sorted(folders))}); save "
            "it with its weights in one, and give the path"
        )
    for folder in folders:
        onnx.load_external_data_for_model(proto, folder)
