"""Protobuf's wire format, as far as a model is cut into pieces and put together again by it.

A message is a sequence of fields: a tag (number and kind), and for a text, bytes or a message its
length and content. To change one field deep inside, the lengths of all that is around it change,
and nothing else does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

_DELIMITED = 2
_SIZES = {1: 8, 5: 4}
"""Bytes of the kinds whose size is fixed."""
_LONGEST_HEAD = 20
"""Bytes of a tag and a length."""

TENSOR = "TensorProto"
RAW_DATA = 9
"""The field of a TensorProto with its values."""

_CHILDREN: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto"},
    "GraphProto": {1: "NodeProto", 5: TENSOR, 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: TENSOR,
        6: "GraphProto",
        10: TENSOR,
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: TENSOR, 2: TENSOR},
}
"""Per message, its fields with tensors in them."""


class Malformed(ValueError):
    """No message as protobuf writes it."""


class Range(NamedTuple):
    """Where something lies in a file: ``start <= position < end``."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a message.

    Attributes:
        whole: with its tag.
        content: what it holds.
        delimited: whether it is a text, bytes or a message.
    """

    number: int
    whole: Range
    content: Range
    delimited: bool


def fields(file: BinaryIO, message: Range) -> Iterator[Field]:
    """The fields of the message that lies there.

    Raises:
        Malformed: it is none.
    """
    position = message.start
    while position < message.end:
        file.seek(position)
        head = file.read(_LONGEST_HEAD)
        tag, size = _varint(head, 0)
        number, kind = tag >> 3, tag & 7
        start = position + size
        if kind == _DELIMITED:
            length, more = _varint(head, size)
            start += more
            end = start + length
        elif kind == 0:
            end = start + _varint(head, size)[1]
        elif kind in _SIZES:
            end = start + _SIZES[kind]
        else:
            raise Malformed(f"kind {kind} of a field")
        if end > message.end:
            raise Malformed("a field is longer than what is around it")
        yield Field(number, Range(position, end), Range(start, end), kind == _DELIMITED)
        position = end


def child(message: str, field: Field) -> str | None:
    """The message that a field holds, if it may hold tensors."""
    return _CHILDREN[message].get(field.number) if field.delimited else None


def head(number: int, length: int) -> bytes:
    """The tag and the length in front of a content."""
    return as_varint(number << 3 | _DELIMITED) + as_varint(length)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number, and how many bytes it takes."""
    value = 0
    for index, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, index + 1
    raise Malformed("a number without an end")


def as_varint(number: int) -> bytes:
    """A number that is not negative, seven bits to a byte, the low ones first."""
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)
