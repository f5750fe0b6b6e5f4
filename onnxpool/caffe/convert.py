"""An ONNX model as a net: each node becomes one layer or a few, or it is refused by name.

Tensors keep their names, and a layer has the name of what it gives, so that it can be asked for.
What is constant is read here; the sizes of all others are known. A node that only passes its input
on becomes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from onnxpool.caffe.net import Layer, Net, Word
from onnxpool.errors import TargetError
from onnxpool.ops.op import Array

Emit = Callable[["Writer", onnx.NodeProto], Iterable[Layer]]


class Writer:
    """What is known of a model while its layers are written.

    Attributes:
        shapes: of the tensors, by name.
        constants: the values of those that are constant.
    """

    def __init__(self, model: onnx.ModelProto, folder: str) -> None:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        graph = inferred.graph
        self.constants: dict[str, Array] = {
            t.name: onnx.numpy_helper.to_array(t, folder) for t in graph.initializer
        }
        self.shapes: dict[str, tuple[int, ...]] = {
            name: value.shape for name, value in self.constants.items()
        }
        for value in (*graph.input, *graph.value_info, *graph.output):
            dims = value.type.tensor_type.shape.dim
            if all(d.HasField("dim_value") for d in dims):
                self.shapes[value.name] = tuple(d.dim_value for d in dims)
        self._same: dict[str, str] = {}

    def attributes(self, node: onnx.NodeProto) -> dict[str, Any]:
        return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}

    def shape(self, name: str, node: onnx.NodeProto) -> tuple[int, ...]:
        if name not in self.shapes:
            raise refusal(node, f"the sizes of {name!r} are not known; say --input-shape")
        return self.shapes[name]

    def constant(self, node: onnx.NodeProto, index: int, what: str) -> Array:
        """The value of an input, which has to be constant."""
        name = node.input[index] if index < len(node.input) else ""
        if name not in self.constants:
            raise refusal(node, f"its {what} would have to be constant")
        return self.constants[name]

    def number(self, name: str) -> float | None:
        """The value of a constant of one element; None where it is none."""
        value = self.constants.get(name)
        return float(value.item()) if value is not None and value.size == 1 else None

    def blob(self, name: str) -> str:
        """The name under which a tensor is in the net."""
        return self._same.get(name, name)

    def pass_on(self, node: onnx.NodeProto) -> Sequence[Layer]:
        self._same[node.output[0]] = self.blob(node.input[0])
        return ()

    def slice(
        self, node: onnx.NodeProto, axis: int, points: Sequence[int], names: Sequence[str]
    ) -> Layer:
        """A layer of the parts between `points`; those without a name are for nobody.

        A layer of several tops cannot have the name of each, so that none is named after it.
        """
        first = node.output[0]
        tops = tuple(f"{name or first}/part {k}" for k, name in enumerate(names))
        self._same.update({name: top for name, top in zip(names, tops, strict=True) if name})
        settings = {"slice_param": {"axis": axis, "slice_point": list(points)}}
        return Layer(f"{first}/slice", "Slice", (self.blob(node.input[0]),), tops, settings)

    def layer(
        self,
        kind: str,
        node: onnx.NodeProto,
        parameters: dict[str, Any] | None = None,
        blobs: Sequence[Array] = (),
        bottoms: Sequence[str] | None = None,
        top: str = "",
    ) -> Layer:
        """A layer of the first input, unless others are named, that gives the first output."""
        read = [node.input[0]] if bottoms is None else bottoms
        name = top or node.output[0]
        names = tuple(map(self.blob, read))
        return Layer(name, kind, names, (name,), parameters or {}, tuple(blobs))


def refusal(node: onnx.NodeProto, reason: str) -> TargetError:
    name = node.name or node.output[0]
    return TargetError(
        f"Caffe: {node.op_type} node {name!r} has no layer there: {reason}; nothing was written"
    )


def convert(model: onnx.ModelProto, folder: Path | None = None) -> Net:
    """The model as a net.

    Args:
        folder: holds its external data.
        model: of float32, with fixed sizes; as `onnxpool.rewrite` writes it for the target caffe.

    Raises:
        TargetError: a node, an input or an output has no layer.
    """
    from onnxpool.caffe.layers import LAYERS

    writer = Writer(model, str(folder or ""))
    initial = {tensor.name for tensor in model.graph.initializer}
    layers = [_input(value) for value in model.graph.input if value.name not in initial]
    for node in model.graph.node:
        emit = LAYERS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if node.op_type == "Constant":
            (value,) = (a.t for a in node.attribute if a.name == "value")
            writer.constants[node.output[0]] = onnx.numpy_helper.to_array(value)
        elif emit is None:
            raise refusal(node, "this op is none of those that are written")
        elif len([name for name in node.output if name]) > 1 and node.op_type != "Split":
            raise refusal(node, "it has several outputs")
        else:
            layers += emit(writer, node)
    given = {top for layer in layers for top in layer.tops}
    for value in model.graph.output:
        if value.name not in given:
            layers.append(_renamed(writer, value.name, given))
    return Net(model.graph.name or "net", tuple(layers))


def _input(value: onnx.ValueInfoProto) -> Layer:
    dims = value.type.tensor_type.shape.dim
    if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise TargetError(f"Caffe: input {value.name!r} is not float32; nothing was written")
    if not dims or not all(d.dim_value > 0 for d in dims):
        raise TargetError(
            f"Caffe: the sizes of input {value.name!r} are open; say --input-shape; nothing was "
            "written"
        )
    shape = {"shape": {"dim": [d.dim_value for d in dims]}}
    return Layer(value.name, "Input", (), (value.name,), {"input_param": shape})


def _renamed(writer: Writer, name: str, given: set[str]) -> Layer:
    source = writer.blob(name)
    if source not in given:
        raise TargetError(f"Caffe: output {name!r} is constant; nothing was written")
    return Layer(name, "Power", (source,), (name,), {"power_param": {"power": 1.0}})


def is_per_channel(value: Array, shape: Sequence[int]) -> bool:
    """Whether a constant has a number for each channel of ``(N, C, …)``, once broadcast."""
    full = (1,) * (len(shape) - value.ndim) + value.shape
    return len(shape) > 1 and len(full) == len(shape) and math.prod(full) == full[1] == shape[1]


def words(text: str) -> Word:
    return Word(text)


def vector(value: Array) -> Array:
    return np.asarray(value, np.float32).reshape(-1)
