"""Tensors whose values lie in a file beside the model: find the file, read one, copy all."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto

from onnxpool.errors import ExternalDataError
from onnxpool.ops.op import Array

if TYPE_CHECKING:
    from onnxpool.model.large_tensors import LargeTensors

_PACKED_BITS = {
    "int2": 2,
    "uint2": 2,
    "int4": 4,
    "uint4": 4,
    "float4_e2m1fn": 4,
    "float6_e2m3fn": 6,
    "float6_e3m2fn": 6,
}
"""NumPy gives each element a byte of its own; stored, these have none between them."""


LEFT = "\0onnxpool: in the file of the model "
"""How the location begins of a tensor in the file of its model; no file's name holds a NUL."""


def is_external(tensor: TensorProto) -> bool:
    """Whether the values of `tensor` are in a file of their own."""
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def is_left(tensor: TensorProto) -> bool:
    """Whether the values of `tensor` were left in the file of its model (see large_tensors.py)."""
    locations = (e.value for e in tensor.external_data if e.key == "location")
    return any(isinstance(value, str) and value.startswith(LEFT) for value in locations)


def tensors_of_model(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every tensor that is stored in `model`, in graphs, bodies, functions and attributes."""
    yield from tensors_of_graph(model.graph)
    for function in model.functions:
        yield from tensors_of_nodes(function.node)
    for training in model.training_info:
        yield from tensors_of_graph(training.initialization)
        yield from tensors_of_graph(training.algorithm)


def tensors_of_graph(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from tensors_of_nodes(graph.node)


def tensors_of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from _tensors_of_attribute(attribute)


def _tensors_of_attribute(attribute: AttributeProto) -> Iterator[TensorProto]:
    if attribute.type == AttributeProto.TENSOR:
        yield attribute.t
    elif attribute.type == AttributeProto.TENSORS:
        yield from attribute.tensors
    elif attribute.type == AttributeProto.SPARSE_TENSOR:
        yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
    elif attribute.type == AttributeProto.GRAPH:
        yield from tensors_of_graph(attribute.g)
    elif attribute.type == AttributeProto.GRAPHS:
        for graph in attribute.graphs:
            yield from tensors_of_graph(graph)


@dataclasses.dataclass(frozen=True)
class Reference:
    """Where a tensor says that its values are: a file, relative to the model, and a range in it."""

    location: str
    offset: int
    length: int | None

    @classmethod
    def of(cls, tensor: TensorProto) -> Reference:
        """Read the reference of `tensor`.

        Raises:
            ExternalDataError: the location is missing, or the range is not one.
        """
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location")
        # Protobuf gives text that is not UTF-8 as bytes.
        if not location or not isinstance(location, str):
            raise ExternalDataError(f"tensor {tensor.name!r} is external but names no file")
        offset = _natural(tensor, "offset", entries.get("offset", "0"))
        length = _natural(tensor, "length", entries["length"]) if "length" in entries else None
        return cls(location, offset, length)


def _natural(tensor: TensorProto, key: str, text: str) -> int:
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 20):
        raise ExternalDataError(
            f"tensor {tensor.name!r}: {key} of its external data is {text[:40]!r}, wanted a number "
            ">= 0"
        )
    return int(text)


def locations(model: onnx.ModelProto) -> tuple[str, ...]:
    """The external files that `model` refers to, as it names them, in order of first use."""
    external = (t for t in tensors_of_model(model) if is_external(t) and not is_left(t))
    used = (Reference.of(tensor).location for tensor in external)
    return tuple(dict.fromkeys(used))


@dataclasses.dataclass(frozen=True)
class DataFolder:
    """The folder of a model, in which its external data must be.

    Attributes:
        model: the path of the model as the user gave it; it need not exist.
        left: the large tensors that were left in the file of the model.
    """

    model: Path
    left: LargeTensors | None = None

    def find(self, location: str) -> Path:
        """Return the file at `location`.

        A link may lead out of the folder of the model only into the folder of the file that the
        model itself is a link to, as in the cache of Hugging Face.

        Raises:
            ExternalDataError: the location is absolute or leaves the folder, or there is no file.
        """
        path = self.place(location)
        real, given = _real(path), self.model
        if not any(real.is_relative_to(f) for f in (_real(given.parent), _real(given).parent)):
            raise ExternalDataError(
                f"{self.model}: external data {location!r} is a link out of the folder of the "
                f"model, to {real}; put the file itself beside the model"
            )
        try:
            is_there = path.is_file()
        except OSError as error:
            raise ExternalDataError(
                f"{self.model}: external data file {location!r} cannot be read: {error.strerror}"
            ) from error
        if not is_there:
            raise ExternalDataError(
                f"{self.model}: external data file {location!r} is missing; it was expected at "
                f"{path}"
            )
        return path

    def place(self, location: str) -> Path:
        """Return the path that `location` names, whether there is a file or not.

        Raises:
            ExternalDataError: the location is absolute or leaves the folder.
        """
        relative = Path(os.path.normpath(location))
        inside = relative.parts and relative.parts[0] != os.pardir
        if not inside or relative.is_absolute() or "\0" in location:
            raise ExternalDataError(
                f"{self.model}: external data {location!r} is not inside the folder of the model; "
                "only files in that folder are read"
            )
        return self.model.parent / relative

    def holds(self, path: Path) -> bool:
        """Whether the real file behind `path` is in the folder of the model."""
        return _real(path).is_relative_to(_real(self.model.parent))

    def check(self, tensors: Iterable[TensorProto]) -> None:
        """Make sure, without reading any, that the values of all external `tensors` are there.

        Raises:
            ExternalDataError: a file is missing, too short or outside of the folder.
        """
        sizes: dict[str, int] = {}
        for tensor in filter(is_external, tensors):
            if self._is_left(tensor):
                continue
            location = Reference.of(tensor).location
            if location not in sizes:
                sizes[location] = self.find(location).stat().st_size
            self._range(tensor, sizes[location])

    def read(self, tensor: TensorProto) -> Array:
        """Read the values of one external tensor, and nothing else of its file.

        Raises:
            ExternalDataError: as `check`.
        """
        if self.left is not None and self._is_left(tensor):
            with _one_line(self.model):
                return onnx.numpy_helper.to_array(self.left.values(tensor))
        path = self.find(Reference.of(tensor).location)
        start, length = self._range(tensor, path.stat().st_size)
        with _one_line(path), path.open("rb") as file:
            file.seek(start)
            data = file.read(length)
        embedded = TensorProto(dims=tensor.dims, data_type=tensor.data_type, raw_data=data)
        return onnx.numpy_helper.to_array(embedded)

    def _is_left(self, tensor: TensorProto) -> bool:
        return self.left is not None and self.left.holds(tensor)

    def _range(self, tensor: TensorProto, file_size: int) -> tuple[int, int]:
        """Offset and length of the values of `tensor` in a file of `file_size` bytes."""
        reference = Reference.of(tensor)
        wanted = nbytes(tensor)
        if reference.length is not None and reference.length != wanted:
            raise ExternalDataError(
                f"{self.model}: tensor {tensor.name!r} needs {wanted} bytes, but its external data "
                f"in {reference.location!r} has length {reference.length}"
            )
        if reference.offset + wanted > file_size:
            raise ExternalDataError(
                f"{self.model}: external data file {reference.location!r} is too short: tensor "
                f"{tensor.name!r} ends at byte {reference.offset + wanted}, the file at {file_size}"
            )
        return reference.offset, wanted


@contextlib.contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExternalDataError(f"{path} cannot be read: {error.strerror}") from error


def nbytes(tensor: TensorProto) -> int:
    """Size of the values of `tensor` in bytes, stored raw.

    Raises:
        ExternalDataError: the element type has no raw size.
    """
    elements = 1
    for dim in tensor.dims:
        elements *= dim
    dtype = numpy_dtype(tensor.data_type)
    if dtype is None or dtype.hasobject:
        raise ExternalDataError(
            f"tensor {tensor.name!r} of element type {tensor.data_type} cannot be external"
        )
    return -(-elements * _PACKED_BITS.get(dtype.name, 8 * dtype.itemsize) // 8)


def numpy_dtype(data_type: int) -> np.dtype[Any] | None:
    """The NumPy type of a TensorProto.DataType, bfloat16 and the like from ml_dtypes."""
    try:
        return onnx.helper.tensor_dtype_to_np_dtype(data_type)
    except KeyError:
        return None


def _real(path: Path) -> Path:
    # Path.resolve raises on a loop of links; here a loop is a file that is not there.
    return Path(os.path.realpath(path))
