"""A model file: loaded without its external weights, changed where asked, saved without loss."""

from __future__ import annotations

import filecmp
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import onnx
from google.protobuf.message import DecodeError, EncodeError

from onnxpool.errors import ExternalDataError, ModelError, OutputError
from onnxpool.model import validity
from onnxpool.model.external_data import DataFolder, is_external, locations, tensors_of_model
from onnxpool.model.graphs import import_scopes
from onnxpool.model.output import Output, Progress, destination
from onnxpool.model.scope import Scope
from onnxpool.model.splice import keep, splice
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
        self, proto: onnx.ModelProto, path: Path, original: bytes | None, *, opaque: bool = False
    ) -> None:
        """Use `ModelFile.of`, `load` or `from_proto`.

        Args:
            opaque: only to be copied: it is not checked and has no scopes.
        """
        self.proto = proto
        self.folder = DataFolder(path)
        self._original = original
        if not opaque:
            self.check()
        self.folder.check(tensors_of_model(proto))
        self.scopes = () if opaque else import_scopes(proto, self.folder)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ModelFile:
        """Read the model at `path`; external weights are checked to be there, not read.

        Raises:
            ModelError: there is no such file, or it is not a valid model.
            ExternalDataError: external data is missing, too short or outside of the folder.
        """
        path = Path(path)
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
    def of(cls, model: ModelFile | onnx.ModelProto | bytes | str | os.PathLike[str]) -> ModelFile:
        """The model at a path, serialized, a copy of one in memory, or what is loaded already.

        External data of a serialized model is looked for in the working directory, as ONNX Runtime
        does.

        Raises:
            ModelError: it is not a valid model, or there is no such file.
            ExternalDataError: as `load` and `from_proto` raise it.
        """
        if isinstance(model, ModelFile):
            return model
        if isinstance(model, bytes):
            return cls.from_bytes(model, Path("model"))
        return cls.from_proto(model) if isinstance(model, onnx.ModelProto) else cls.load(model)

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
        return ModelFile(self.proto, self.path, self._original)

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

    def save(self, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
        """Write the model to `path`, and its external data beside it; all of it or nothing.

        A model that was not changed is written as the bytes that it was read from.

        Raises:
            OutputError: `path` cannot be written, or a data file of another model is in the way.
        """
        target = Path(path)
        real = destination(target)
        with Output() as output:
            for source, copy in self._data_to_copy(target, real):
                output.copy(source, copy, progress)
            output.write(self.serialize(), real)
            output.publish()

    @property
    def is_unchanged(self) -> bool:
        """Whether `serialize` gives the bytes that the model was read from."""
        return self._original is not None

    def serialize(self) -> bytes:
        """The model as a file holds it; its external data is not in there.

        Raises:
            OutputError: it is larger than a file can hold.
        """
        if self._original is not None:
            return self._original
        try:
            return bytes(self.proto.SerializeToString())
        except (EncodeError, ValueError) as error:
            raise OutputError(
                "the model is larger than a file can hold (2 GiB); save its weights as external "
                "data first"
            ) from error

    def _data_to_copy(self, target: Path, real: Path) -> Iterator[tuple[Path, Path]]:
        """The data files that are not at `target` yet, and where they go.

        Args:
            target: the name of the result, in whose folder its data is looked for.
            real: the file itself; another one where the name is a link.
        """
        places = self._data_places(target)
        if not places or self._is_at(target):
            return
        if real.parent != Path(os.path.realpath(target.parent)):
            raise OutputError(
                f"{target} is a link to {real}, and the weights of the result would have to be "
                "in both folders; name the file itself, or remove the link"
            )
        out, used = DataFolder(target), _locations_at(target)
        for copy, location in places.items():
            source = self.folder.find(location)
            if not os.path.lexists(copy):
                yield source, copy
            elif copy.exists() and out.holds(copy) and _same_content(source, copy):
                continue
            elif location in used:
                if not copy.is_symlink():
                    destination(copy)
                yield source, copy
            else:
                raise OutputError(
                    f"{copy} exists and {target} does not use it; the weights of the result go "
                    "there, so choose another folder or move that file away"
                )

    def _data_places(self, target: Path) -> dict[Path, str]:
        """Where the data files of a result at `target` would be, and how the model names them."""
        out = DataFolder(target)
        places = {out.place(location): location for location in locations(self.proto)}
        for copy, location in places.items():
            source = self.folder.find(location)
            if copy == target or (target.exists() and source.samefile(target)):
                raise OutputError(f"{target} holds the weights of the model; choose another name")
        return places

    def _is_at(self, target: Path) -> bool:
        """Whether the model came from `target`, by that very name or one in the same folder."""
        same = target.exists() and self.path.exists() and target.samefile(self.path)
        return same and target.parent.samefile(self.path.parent)


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


def _same_content(source: Path, copy: Path) -> bool:
    return source.samefile(copy) or filecmp.cmp(source, copy, shallow=False)


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
