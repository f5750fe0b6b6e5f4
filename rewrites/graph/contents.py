"""What nodes and constants hold, as numbers: equal numbers, equal contents, whatever the names.

A network repeats its blocks. What is known of one of them holds for all that are built of the same
nodes, wired in the same way, around the same constants.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.exporters.onnx_exporter import OnnxExporter
from onnx_graphsurgeon.ir.tensor import SparseValues

from onnxpool.errors import ModelError
from onnxpool.rewrites.graph.constants import runs_as_constant
from onnxpool.rewrites.graph.cut import loaded, producers
from onnxpool.rewrites.graph.tensors import onnx_type

_LARGEST = 1 << 20
"""Elements of a constant that is read to be compared."""


class Contents:
    """Numbers for the nodes and constants of one graph."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._nodes: dict[int, tuple[gs.Node, int | None]] = {}
        self._constants: dict[int, tuple[gs.Tensor, int | None]] = {}
        self._examples: dict[int, gs.Node] = {}
        self._protos: dict[int, onnx.NodeProto] = {}

    def node(self, node: gs.Node) -> int | None:
        """The number of its op, its attributes, and which inputs and outputs it has.

        None where it has a body, or a large table.
        """
        if id(node) not in self._nodes:
            # The node is kept so that its id stays its own.
            self._nodes[id(node)] = node, self._number_of_node(node)
        return self._nodes[id(node)][1]

    def proto(self, number: int) -> onnx.NodeProto:
        """A node with this number, whose tensors are "i0", "i1", … and "o0", "o1", …."""
        if number not in self._protos:
            node = self._examples[number]
            proto = OnnxExporter.export_node(loaded(node))
            given = [bool(t.name or isinstance(t, gs.Constant)) for t in node.inputs]
            proto.ClearField("name")
            proto.input[:] = [f"i{i}" if is_given else "" for i, is_given in enumerate(given)]
            proto.output[:] = [f"o{i}" if name else "" for i, name in enumerate(proto.output)]
            self._protos[number] = proto
        return self._protos[number]

    def constant(self, tensor: gs.Tensor) -> int | None:
        """The number of a tensor's value, or of how it is computed of constants.

        None where it is not computed of these alone, or is not read to be compared.
        """
        if id(tensor) not in self._constants:
            for node in producers([tensor], ()):
                for index, output in enumerate(node.outputs):
                    self._constants[id(output)] = output, self._number_of_output(node, index)
            if not tensor.inputs:
                self._constants[id(tensor)] = tensor, self._number_of_constant(tensor)
        return self._constants[id(tensor)][1]

    def key(
        self, nodes: Sequence[gs.Node], inputs: Sequence[gs.Tensor], outputs: Sequence[gs.Tensor]
    ) -> Hashable | None:
        """What nodes, in graph order, make of `inputs` and constants; None where that has no key.

        Two keys are equal only if the outputs are equal functions of the inputs.
        """
        places = {tensor.name: place for place, tensor in enumerate(inputs)}
        parts: list[Hashable] = [len(places)]
        for node in nodes:
            number = self.node(node)
            read = [self._read(tensor, places) for tensor in node.inputs]
            if number is None or None in read:
                return None
            parts.append((number, *read))
            for tensor in node.outputs:
                places.setdefault(tensor.name, len(places))
        return (*parts, *(places[tensor.name] for tensor in outputs))

    def _read(self, tensor: gs.Tensor, places: dict[str, int]) -> Hashable | None:
        """Where an input of a node comes from."""
        if isinstance(tensor, gs.Constant) or (tensor.name and tensor.name not in places):
            number = self.constant(tensor)
            return None if number is None else ("constant", number)
        return places[tensor.name] if tensor.name else ""

    def _number(self, content: Hashable) -> int:
        return self._numbers.setdefault(content, len(self._numbers))

    def _number_of_node(self, node: gs.Node) -> int | None:
        attributes = [(name, self._attribute(value)) for name, value in node.attrs.items()]
        if any(value is None for _, value in attributes):
            return None
        given = tuple(bool(t.name or isinstance(t, gs.Constant)) for t in node.inputs)
        made = tuple(bool(t.name) for t in node.outputs)
        number = self._number((node.op, node.domain, *attributes, given, made))
        self._examples.setdefault(number, node)
        return number

    def _attribute(self, value: object) -> Hashable | None:
        if isinstance(value, gs.Constant):
            return self.constant(value)
        # Of these, it tells types and all values; of an array it leaves some out.
        plain = (int, float, str, bytes, list, gs.Node.AttributeRef)
        return repr(value) if isinstance(value, plain) else None

    def _number_of_output(self, node: gs.Node, index: int) -> int | None:
        read = ["" if not t.name else self._known_constant(t) for t in node.inputs]
        if None in read or not runs_as_constant(node):
            return None
        number = self.node(node)
        return None if number is None else self._number(("made", number, index, *read))

    def _known_constant(self, tensor: gs.Tensor) -> int | None:
        if not tensor.inputs and id(tensor) not in self._constants:
            self._constants[id(tensor)] = tensor, self._number_of_constant(tensor)
        return self._constants[id(tensor)][1]

    def _number_of_constant(self, tensor: gs.Tensor) -> int | None:
        if not isinstance(tensor, gs.Constant) or isinstance(tensor._values, SparseValues):
            return None
        if math.prod(tensor.shape) > _LARGEST:
            return None
        try:
            values = np.asarray(tensor.values)
        except ModelError:
            return None
        digest = hashlib.sha256(values.tobytes()).digest()
        return self._number((onnx_type(tensor.dtype), values.shape, digest))
