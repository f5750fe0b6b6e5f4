"""Large tensors stay in the file of their model: in memory is the model without their bytes.

A model of 1.9 GB is its graph, and weights that no rewrite looks at. Parsing them, and writing them
again, holds each several times. So of a large file the graph alone is parsed; a tensor whose values
are large says, as one with external data does, where they lie: in the model's own file. To write
the model, what is in memory is serialized, and the bytes of each such tensor are put back, as they
came.
"""

from __future__ import annotations

import io
import os
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import onnx
from onnx import TensorProto

from onnxpool.errors import ExternalDataError
from onnxpool.model import wire
from onnxpool.model.external_data import LEFT, is_left, nbytes, tensors_of_model
from onnxpool.model.file_content import FileChanged
from onnxpool.model.wire import Range

LARGE_FILE = 64 << 20
_LARGE_TENSOR = 1 << 16
_CHUNK = 1 << 24

Piece = bytes | Range
"""Of what is written: bytes, or where they lie in the file that was read."""


class _Left(NamedTuple):
    """A tensor in the file, its values there, and what is in memory of it."""

    message: Range
    raw: Range
    rest: bytes


class LargeTensors:
    """The file of a model, and which of its bytes are not in memory.

    The file is held open: another may take its name, as a rewrite in place does.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """Take over a descriptor of the file, for as long as this is used."""
        self._path = path
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)
        self._found = self._state()
        self._mark = f"{LEFT}{uuid.uuid4().hex}"
        self._tensors: dict[int, _Left] = {}
        self.size = self._found[0]

    def model_without(self) -> bytes:
        """The model, serialized, without the bytes of its large tensors.

        Raises:
            wire.Malformed: it is no message.
            OSError: it cannot be read.
        """
        file = io.BufferedReader(_Positioned(self._descriptor), 1 << 16)
        return b"".join(self._without(file, Range(0, self.size), "ModelProto"))

    def _without(self, file: BinaryIO, message: Range, kind: str) -> Iterator[bytes]:
        start = message.start
        for field in wire.fields(file, message):
            child = wire.child(kind, field)
            if child is None or field.content.length < _LARGE_TENSOR:
                continue
            if child == wire.TENSOR:
                content = self._leave(file, field.content)
            else:
                content = b"".join(self._without(file, field.content, child))
            if content is None:
                continue
            yield self.read(Range(start, field.whole.start))
            yield wire.head(field.number, len(content))
            yield content
            start = field.whole.end
        yield self.read(Range(start, message.end))

    def _leave(self, file: BinaryIO, message: Range) -> bytes | None:
        """A tensor without its values; None for one that stays as it is."""
        found = list(wire.fields(file, message))
        raw = [f.content for f in found if f.number == wire.RAW_DATA and f.delimited]
        rest = [f.whole for f in found if f.number != wire.RAW_DATA]
        if len(raw) != 1 or sum(r.length for r in rest) > _LARGE_TENSOR:
            return None
        tensor = TensorProto.FromString(b"".join(map(self.read, rest)))
        if tensor.data_location or tensor.external_data or not _fills(tensor, raw[0].length):
            return None
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", self._mark), ("offset", str(raw[0].start))):
            tensor.external_data.add(key=key, value=value)
        left = bytes(tensor.SerializeToString())
        self._tensors[raw[0].start] = _Left(message, raw[0], left)
        return left

    def fits(self, model: onnx.ModelProto) -> bool:
        """Whether `model`, parsed, holds the tensors that were left, each once and as it was left.

        A message that comes in two parts is one when it is parsed.
        """
        left = [t.SerializeToString() for t in tensors_of_model(model) if is_left(t)]
        return sorted(left) == sorted(each.rest for each in self._tensors.values())

    def holds(self, tensor: TensorProto) -> bool:
        """Whether the values of a tensor that says so are here."""
        return any(e.key == "location" and e.value == self._mark for e in tensor.external_data)

    def values(self, tensor: TensorProto) -> TensorProto:
        """A tensor with its values.

        Raises:
            FileChanged: the file ends before.
        """
        whole = TensorProto()
        whole.ParseFromString(self.read(self._tensors[_offset(tensor)].message))
        if whole.name != tensor.name:  # else one without a name would get an empty one
            whole.name = tensor.name
        return whole

    def pieces(self, model: onnx.ModelProto) -> list[Piece]:
        """What `model` is as a file, the tensors that were left in theirs as they are there."""
        data = model.SerializeToString()
        return self._pieces(io.BytesIO(data), data, Range(0, len(data)), "ModelProto")

    def _pieces(self, file: BinaryIO, data: bytes, message: Range, kind: str) -> list[Piece]:
        found: list[Piece] = []
        start, mark = message.start, self._mark.encode()
        for field in wire.fields(file, message):
            child = wire.child(kind, field)
            if child is None or data.find(mark, *field.content) < 0:
                continue
            content = (
                self._whole(data[slice(*field.content)])
                if child == wire.TENSOR
                else self._pieces(file, data, field.content, child)
            )
            found.append(data[start : field.whole.start])
            found.append(wire.head(field.number, sum(map(length, content))))
            found += content
            start = field.whole.end
        found.append(data[start : message.end])
        return found

    def _whole(self, content: bytes) -> list[Piece]:
        tensor = TensorProto.FromString(content)
        left = self._tensors[_offset(tensor)]
        if content == left.rest:
            return [left.message]
        for field in ("data_location", "external_data"):
            tensor.ClearField(field)
        return [tensor.SerializeToString(), wire.head(wire.RAW_DATA, left.raw.length), left.raw]

    def chunks(self, pieces: list[Piece]) -> Iterator[bytes]:
        """The bytes of the pieces, a few at a time.

        Raises:
            FileChanged: the file is not what it was.
        """
        for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            for start in range(piece.start, piece.end, _CHUNK):
                yield self.read(Range(start, min(start + _CHUNK, piece.end)))
        if self._state() != self._found:
            raise FileChanged(self._path)

    def read(self, place: Range) -> bytes:
        """Raises:
        FileChanged: the file ends before.
        """
        data = os.pread(self._descriptor, place.length, place.start)
        while len(data) < place.length:
            start = place.start + len(data)
            more = os.pread(self._descriptor, place.end - start, start)
            if not more:
                raise FileChanged(self._path)
            data += more
        return data

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self._descriptor)
        return found.st_size, found.st_mtime_ns


def length(piece: Piece) -> int:
    return piece.length if isinstance(piece, Range) else len(piece)


def _fills(tensor: TensorProto, size: int) -> bool:
    """Whether so many bytes are the values of `tensor`."""
    try:
        return min(tensor.dims, default=1) >= 0 and nbytes(tensor) == size
    except ExternalDataError:
        return False


def _offset(tensor: TensorProto) -> int:
    return next(int(e.value) for e in tensor.external_data if e.key == "offset")


class _Positioned(io.RawIOBase):
    """A descriptor as a file with a position of its own, which closes with nobody."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + (self._position if whence == os.SEEK_CUR else 0)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = os.pread(self._descriptor, len(view), self._position)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
