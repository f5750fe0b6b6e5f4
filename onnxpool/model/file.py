"""A model file: loaded without its external weights, changed where asked, saved without loss."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, get_args

import onnx
from google.protobuf.message import DecodeError, EncodeError

from onnxpool.errors import ExternalDataError, ModelError, OutputError, check_choice
from onnxpool.model import placement, validity
from onnxpool.model.external_data import (
    DataFolder,
    is_external,
    is_left,
    locations,
    tensors_of_model,
)
from onnxpool.model.file_content import FileChanged
from onnxpool.model.graphs import import_scopes
from onnxpool.model.large_tensors import LARGE_FILE, LargeTensors, length
from onnxpool.model.output import Output, Progress, destination
from onnxpool.model.placement import Way
from onnxpool.model.scope import Scope
from onnxpool.model.splice import keep, splice
from onnxpool.model.wire import Malformed, Range
from onnxpool.ops import DOMAIN, VERSION

_LARGEST = (1 << 31) - 1
_IR_OF_FUNCTIONS = 8


class ModelFile:
    """A model, its graphs to work on, and the way back to a file.

    Attributes:
        proto: the model; its external tensors are references.
        scopes: the graphs of the model, bodies of control flow before what is around them, and
            functions before the main graph, which is last.
        folder: where the external data is.
    """

    def __init__(
        self,
        proto: onnx.ModelProto,
        path: Path,
        original: bytes | LargeTensors | None,
        left: LargeTensors | None = None,
        *,
        opaque: bool = False,
    ) -> None:
        """Use `ModelFile.of`, `load` or `from_proto`.

        Args:
            original: the file that `proto` is, as long as it is unchanged.
            left: what of it is not in `proto`.
            opaque: only to be copied: it is not checked and has no scopes.
        """
        self.proto = proto
        self.folder = DataFolder(path, left)
        self._original = original
        if not opaque:
            self.check()
        self.folder.check(tensors_of_model(proto))
        self.scopes = () if opaque else import_scopes(proto, self.folder)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, whole: bool = True) -> ModelFile:
        """Read the model at `path`; external weights are checked to be there, not read.

        Args:
            whole: else the large tensors of a large file are left in it (see large_tensors.py),
                until `fill`.

        Raises:
            ModelError: there is no such file, or it is not a valid model.
            ExternalDataError: external data is missing, too short or outside of the folder.
        """
        path = Path(path)
        if not whole and (left := _large(path)):
            proto = _without_large(left, path)
            if proto is not None:
                return cls(proto, path, left, left)
        return cls.from_bytes(_read(path), path)

    @classmethod
    def from_bytes(cls, data: bytes, path: Path, *, opaque: bool = False) -> ModelFile:
        """Take the bytes of a model file that is, or could be, at `path`.

        Args:
            opaque: as `__init__` takes it.

        Raises:
            ModelError, ExternalDataError: as `load`.
        """
        return cls(_parse(path, data), path, data, opaque=opaque)

    @classmethod
    def from_proto(cls, proto: onnx.ModelProto, folder: Path | None = None) -> ModelFile:
        """Take a copy of `proto`, whose external data is in `folder`.

        Raises:
            ModelError: it is not a valid model.
            ExternalDataError: external data is missing, too short or outside of the folder; or
                there is some and `folder` is not given.
        """
        if folder is None and any(is_external(tensor) for tensor in tensors_of_model(proto)):
            raise ExternalDataError("the model has external data; say in which folder, or its path")
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        return cls(copy, (folder or Path()) / "model", None)

    @classmethod
    def of(
        cls,
        model: ModelFile | onnx.ModelProto | bytes | str | os.PathLike[str],
        *,
        whole: bool = True,
    ) -> ModelFile:
        """The model at a path, serialized, a copy of one in memory, or what is loaded already.

        External data of a serialized model is looked for in the working directory, as ONNX Runtime
        does.

        Args:
            whole: as `load` takes it.

        Raises:
            ModelError: it is not a valid model, or there is no such file.
            ExternalDataError: as `load` and `from_proto` raise it.
        """
        if isinstance(model, ModelFile):
            return model
        if isinstance(model, bytes):
            return cls.from_bytes(model, Path("model"))
        if isinstance(model, onnx.ModelProto):
            return cls.from_proto(model)
        return cls.load(model, whole=whole)

    @classmethod
    def to_copy(cls, model: onnx.ModelProto | bytes | str | os.PathLike[str]) -> ModelFile:
        """A model of which nothing more is wanted than to write it again.

        Raises:
            ModelError, ExternalDataError: as `of`, but for what is said of its ops.
        """
        if isinstance(model, onnx.ModelProto):
            model = model.SerializeToString()
        if isinstance(model, bytes):
            return cls.from_bytes(model, Path("model"), opaque=True)
        return cls.from_bytes(_read(Path(model)), Path(model), opaque=True)

    def reimported(self) -> ModelFile:
        """The same model with new graphs, made from what `proto` holds now."""
        return ModelFile(self.proto, self.path, self._original, self.folder.left)

    def fill(self) -> None:
        """Read what was left in the file: `proto` is the whole model then.

        Raises:
            ModelError: the file is not what it was.
        """
        left = self.folder.left
        if left is None:
            return
        try:
            for tensor in filter(is_left, tensors_of_model(self.proto)):
                tensor.CopyFrom(left.values(tensor))
        except OSError as error:
            raise ModelError(f"{self.path} cannot be read: {error.strerror}") from error
        self.folder = DataFolder(self.path)

    @property
    def path(self) -> Path:
        """Where the model came from, for messages and for external data."""
        return self.folder.model

    @property
    def main(self) -> Scope:
        return self.scopes[-1]

    @property
    def opset(self) -> int:
        """Version of the default domain in the main graph; 0: it uses no op of that domain."""
        return self.main.opset

    def check(self) -> None:
        """Let onnx check the model, weights aside.

        Raises:
            ModelError: the model is not valid.
        """
        validity.check(self.proto, self.path)

    def splice(self) -> bool:
        """Put the changes of the scopes into `proto`; return whether there were any."""
        changed = splice(self.proto, self.scopes)
        if changed:
            self._original = None
        return changed

    def mark_changed(self) -> None:
        """Say that `proto` is not what was read any more."""
        self._original = None

    def set_opset(self, opset: int) -> None:
        """Say that every graph and function is of `opset` now; older readers get an older IR.

        The graphs in `scopes` keep what they were until the model is imported again.
        """
        self.mark_changed()
        for imports in (self.proto.opset_import, *(f.opset_import for f in self.proto.functions)):
            for entry in imports:
                if entry.domain in ("", "ai.onnx"):
                    entry.version = opset
        needed = max(
            onnx.helper.find_min_ir_version_for(self.proto.opset_import, ignore_unknown=True),
            _IR_OF_FUNCTIONS if self.proto.functions else validity.IR_OF_PLAIN_INITIALIZERS,
        )
        older = opset < self.opset
        self._set_ir_version(needed if older else max(needed, self.proto.ir_version))

    def set_functions(self, functions: Sequence[onnx.FunctionProto]) -> None:
        """Carry these functions and no others; a reader of models without any gets a newer IR.

        The scopes are those of the functions before until the model is imported again.
        """
        self._original = None
        kept = [onnx.FunctionProto.FromString(f.SerializeToString()) for f in functions]
        del self.proto.functions[:]
        self.proto.functions.extend(kept)
        if kept:
            self._set_ir_version(max(self.proto.ir_version, _IR_OF_FUNCTIONS))
        # Once ONNX Runtime has put a function in place of its call, the model has what is in it.
        imports = self.proto.opset_import
        if any(f.domain == DOMAIN for f in kept) and all(i.domain != DOMAIN for i in imports):
            imports.append(onnx.helper.make_opsetid(DOMAIN, VERSION))

    def _set_ir_version(self, ir_version: int) -> None:
        """Initializers that had to be inputs as well were constants, and stay that."""
        if self.proto.ir_version < validity.IR_OF_PLAIN_INITIALIZERS <= ir_version:
            stored = {tensor.name for tensor in self.proto.graph.initializer}
            keep(self.proto.graph.input, lambda value: value.name not in stored)
        self.proto.ir_version = ir_version

    def save(
        self,
        path: str | os.PathLike[str],
        progress: Progress | None = None,
        weights: Way = "copy",
    ) -> bool:
        """Write the model to `path`, and bring its external data there; all of it or nothing.

        A model that was not changed is written as the bytes that it was read from.

        Args:
            weights: how the data comes into another folder (see placement.py).

        Returns:
            Whether what is written are the bytes that it was read from.

        Raises:
            OutputError: `path` cannot be written, a data file of another model is in the way, or
                the data cannot come there so.
            ArgumentError: there is no such way.
        """
        check_choice("weights", weights, get_args(Way))
        target = Path(path)
        real = destination(target)
        with Output() as output:
            proto = self.proto
            if weights == "reference":
                proto = placement.referring(proto, self.folder, target)
            else:
                used = _locations_at(target) if locations(proto) else ()
                for source, copy in placement.to_bring(proto, self.folder, target, used):
                    if weights == "link":
                        output.link(source, copy, target.parent)
                    else:
                        output.copy(source, copy, progress)
            unchanged = self.is_unchanged and proto is self.proto
            output.write(self._chunks(proto, self._original if unchanged else None), real)
            output.publish()
        return unchanged

    @property
    def is_unchanged(self) -> bool:
        """Whether `serialize` gives the bytes that the model was read from."""
        return self._original is not None

    def serialize(self) -> bytes:
        """The model as a file holds it; its external data is not in there.

        Raises:
            OutputError: it is larger than a file can hold, or the file that it came from is not
                what it was.
        """
        try:
            return b"".join(self._chunks(self.proto, self._original))
        except FileChanged as error:
            raise OutputError(f"{error.strerror}") from error

    def _chunks(
        self, proto: onnx.ModelProto, original: bytes | LargeTensors | None
    ) -> Iterator[bytes]:
        """What a file holds of `proto`, or of the original where that is the same."""
        left = self.folder.left
        if isinstance(original, bytes):
            yield original
        elif original is not None:
            yield from original.chunks([Range(0, original.size)])
        elif left is not None:
            pieces = left.pieces(proto)
            if sum(map(length, pieces)) > _LARGEST:
                raise _too_large_to_write()
            yield from left.chunks(pieces)
        else:
            try:
                yield bytes(proto.SerializeToString())
            except (EncodeError, ValueError) as error:
                raise _too_large_to_write() from error


def _too_large_to_write() -> OutputError:
    return OutputError(
        "the model is larger than a file can hold (2 GiB); save its weights as external data first"
    )


def _large(path: Path) -> LargeTensors | None:
    """A file that is large, to be read in part; None for any other, and where that cannot be."""
    if not hasattr(os, "pread"):
        return None
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or not LARGE_FILE <= found.st_size <= _LARGEST:
            return None
        return LargeTensors(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return None


def _without_large(left: LargeTensors, path: Path) -> onnx.ModelProto | None:
    """The model without its large tensors; None where it is not read so."""
    try:
        proto = _parse(path, left.model_without())
    except (Malformed, ModelError, OSError, ValueError):
        return None
    return proto if left.fits(proto) else None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            kind = os.fstat(file.fileno()).st_mode
            if stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
                raise ModelError(f"{path} is a device, wanted an ONNX file")
            if os.fstat(file.fileno()).st_size > _LARGEST:
                raise _too_large(path)
            data = file.read() if stat.S_ISREG(kind) else read_stream(file, path)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise ModelError(f"{path} is a folder, wanted an ONNX file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{path} cannot be read: {reason}") from error
    if not data:
        raise ModelError(f"{path} is empty, wanted an ONNX model")
    return data


def read_stream(stream: BinaryIO, path: Path) -> bytes:
    """What a pipe holds, which may have no end.

    Raises:
        ModelError: it is more than a model can be.
    """
    chunks, size = [], 0
    while chunk := stream.read(1 << 20):
        chunks.append(chunk)
        size += len(chunk)
        if size > _LARGEST:
            raise _too_large(path)
    return b"".join(chunks)


def _too_large(path: Path) -> ModelError:
    return ModelError(f"{path} is larger than an ONNX file can be (2 GiB)")


def _locations_at(path: Path) -> tuple[str, ...]:
    """The data files of the model that is at `path`, if there is one."""
    try:
        return locations(read_proto(path))
    except (ModelError, ExternalDataError):
        return ()


def read_proto(path: Path) -> onnx.ModelProto:
    """The model at `path`, unchecked.

    Raises:
        ModelError: there is none.
    """
    return _parse(path, _read(path))


def _parse(path: Path, data: bytes) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(f"{path} is not an ONNX model, or is truncated") from error
    return proto
