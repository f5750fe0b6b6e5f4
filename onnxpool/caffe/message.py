"""Protobuf messages as bytes: the few kinds of fields that a net's weights are made of.

A field is its number and its kind, then its value: a number in groups of seven bits, the low ones
first; or a length in such groups, and so many bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

_LENGTH = 2
"""The kind of a field that begins with its length."""


def number(value: int) -> bytes:
    """A number that is not negative, seven bits to a byte."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def field(index: int, value: bytes | str) -> bytes:
    """A field of bytes: text, a message, or numbers that are packed."""
    data = value.encode() if isinstance(value, str) else value
    return number(index << 3 | _LENGTH) + number(len(data)) + data


def packed(values: Iterable[int]) -> bytes:
    return b"".join(map(number, values))
