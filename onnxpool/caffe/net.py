"""A net: its layers as text (.prototxt), and their weights as bytes (.caffemodel).

The numbers of the fields are those of Caffe's public caffe.proto.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from onnxpool.caffe.message import field, packed
from onnxpool.ops.op import Array

_NET_NAME, _NET_LAYER = 1, 100
_LAYER_NAME, _LAYER_TYPE, _LAYER_BLOBS = 1, 2, 7
_BLOB_DATA, _BLOB_SHAPE, _SHAPE_DIM = 5, 7, 1


class Word(str):
    """A value that stands without quotes, as AVE."""


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer.

    Attributes:
        name: unique in the net.
        type: such as "Convolution".
        bottoms, tops: names of what it reads, and gives.
        parameters: its message of settings, by field name: numbers, words, texts, messages, and
            lists of those for what is repeated.
        blobs: its weights.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    blobs: tuple[Array, ...] = ()


@dataclasses.dataclass(frozen=True)
class Net:
    name: str
    layers: tuple[Layer, ...]

    def text(self) -> str:
        """The net as Caffe reads it."""
        lines = [f"name: {_value(self.name)}"]
        for layer in self.layers:
            message = {
                "name": layer.name,
                "type": layer.type,
                "bottom": list(layer.bottoms),
                "top": list(layer.tops),
                **layer.parameters,
            }
            lines += ["layer {", *_lines(message, "  "), "}"]
        return "\n".join(lines) + "\n"

    def weights(self) -> bytes:
        """The weights of the layers, in single precision."""
        layers = (layer for layer in self.layers if layer.blobs)
        return field(_NET_NAME, self.name) + b"".join(
            field(_NET_LAYER, _weights_of(layer)) for layer in layers
        )


def _weights_of(layer: Layer) -> bytes:
    blobs = b"".join(field(_LAYER_BLOBS, _blob(values)) for values in layer.blobs)
    return field(_LAYER_NAME, layer.name) + field(_LAYER_TYPE, layer.type) + blobs


def _blob(values: Array) -> bytes:
    data = np.ascontiguousarray(values, "<f4").tobytes()
    shape = field(_SHAPE_DIM, packed(values.shape))
    return field(_BLOB_DATA, data) + field(_BLOB_SHAPE, shape)


def _lines(message: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in message.items():
        for each in (
            value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        ):
            if isinstance(each, Mapping):
                yield f"{indent}{name} {{"
                yield from _lines(each, indent + "  ")
                yield f"{indent}}}"
            else:
                yield f"{indent}{name}: {_value(each)}"


def _value(value: Any) -> str:
    if isinstance(value, Word):
        return value
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return f"{float(value):.9g}"  # all digits of single precision
