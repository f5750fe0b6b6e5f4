"""Protobuf messages as bytes: the few kinds of fields that a net's weights are made of."""

from __future__ import annotations

from collections.abc import Iterable

from onnxpool.model.wire import as_varint, head


def field(index: int, value: bytes | str) -> bytes:
    """A field of bytes: text, a message, or numbers that are packed."""
    data = value.encode() if isinstance(value, str) else value
    return head(index, len(data)) + data


def packed(values: Iterable[int]) -> bytes:
    return b"".join(map(as_varint, values))
