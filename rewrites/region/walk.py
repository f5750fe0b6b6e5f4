"""The shapes of a graph's tensors at chosen sizes of its inputs, node by node.

onnx infers the outputs of one node from the shapes of its inputs and from the values of those that
are shapes, axes and the like. These are integers that the graph computes of shapes: whoever asks
for a walk computes them by running the graph (see trials.py). No weight is read. What onnx's
inference lets pass and no runtime does is refused here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array, is_confirmed
from onnxpool.rewrites.graph.contents import Contents
from onnxpool.rewrites.graph.tensors import onnx_type

Concrete = tuple[int, ...]
Value = Callable[[gs.Tensor], Array | None]
"""What a tensor that depends on shapes and constants alone is; None where it is not known."""

LARGEST_OPERAND = 1024
"""Elements. A larger tensor is no shape, axis or window bound."""
_SLIDING = ("AveragePool", "MaxPool", "LpPool", "Conv")
_SHAPING = ("Reshape", "Expand", "Slice", "Tile", "ConstantOfShape", "Range", "Resize", "Upsample")
_AXES = ("Pad", "Unsqueeze", "Squeeze", "Split", "TopK", "OneHot", "CenterCropPad", "AffineGrid")
_WITH_VALUES = frozenset((*_SHAPING, *_AXES, "AdaptiveAveragePool", "AdaptiveMaxPool"))
"""The ops, beside reductions, whose output shapes depend on values."""


class Fails(Exception):
    """A node that does not run at these shapes; the message says why."""


@dataclasses.dataclass
class State:
    """What is known at one size of the inputs.

    Attributes:
        shapes: per name of a tensor; None where inference cannot tell.
        failed: per name of a tensor whose node fails, why.
    """

    sizes: Mapping[str, int]
    shapes: dict[str, Concrete | None]
    failed: dict[str, str] = dataclasses.field(default_factory=dict)


class Walk:
    """Infers shapes of single nodes, and remembers what it inferred of nodes that are alike."""

    def __init__(self, opset: int, contents: Contents) -> None:
        self._opsets = {"": opset}
        self._imports = [onnx.helper.make_opsetid("", opset)]
        self._contents = contents
        self._known: dict[tuple[object, ...], tuple[Concrete | None, ...] | str] = {}

    def over(self, nodes: Iterable[gs.Node], state: State, value: Value) -> None:
        """Infer the outputs of nodes that come in graph order, as far as they are not known."""
        for node in nodes:
            if any(t.name and t.name not in state.shapes for t in node.outputs):
                self._infer(node, state, value)

    def _infer(self, node: gs.Node, state: State, value: Value) -> None:
        inputs = [_shape(tensor, state) for tensor in node.inputs]
        operands = [
            value(t) if _is_operand(node, i, t) else None for i, t in enumerate(node.inputs)
        ]
        found = self._found(node, inputs, operands)
        if isinstance(found, str):
            state.failed.update({t.name: found for t in node.outputs})
            found = (_would_be(node, inputs),) * len(node.outputs)
        for tensor, shape in zip(node.outputs, found, strict=True):
            state.shapes[tensor.name] = _declared(tensor, state) if shape is None else shape

    def _found(
        self, node: gs.Node, inputs: Sequence[Concrete | None], operands: Sequence[Array | None]
    ) -> tuple[Concrete | None, ...] | str:
        """The shapes of its outputs, or why it fails."""
        number = None if node.op == "Constant" else self._contents.node(node)
        if number is None:
            return (None,) * len(node.outputs)
        types = tuple(onnx_type(tensor.dtype) for tensor in node.inputs)
        values = tuple(o if o is None else (o.dtype, o.shape, o.tobytes()) for o in operands)
        key = (number, types, tuple(inputs), values)
        if key not in self._known:
            try:
                self._known[key] = self._outputs(number, node, inputs, operands)
            except Fails as reason:
                self._known[key] = str(reason)
        return self._known[key]

    def _outputs(
        self,
        number: int,
        node: gs.Node,
        inputs: Sequence[Concrete | None],
        operands: Sequence[Array | None],
    ) -> tuple[Concrete | None, ...]:
        """Raises:
        Fails: it does not run at these shapes.
        """
        _refuse(node, inputs)
        if node.op == "Reshape":
            return (_reshaped(node, inputs[0], operands[1]),)
        unknown = (None,) * len(node.outputs)
        domain = "" if node.domain in (None, "ai.onnx") else node.domain
        try:
            schema = onnx.defs.get_schema(node.op, self._opsets.get(domain, 1), domain)
        except onnx.defs.SchemaError:
            return unknown
        proto = self._contents.proto(number)
        types, values = {}, {}
        given = zip(proto.input, node.inputs, inputs, operands, strict=True)
        try:
            for name, tensor, shape, operand in given:
                if name:
                    dtype = onnx_type(tensor.dtype) if operand is None else _type_of(operand)
                    types[name] = onnx.helper.make_tensor_type_proto(dtype, shape)
                    if operand is not None:
                        values[name] = onnx.numpy_helper.from_array(operand, name)
            found = onnx.shape_inference.infer_node_outputs(
                schema, proto, types, values, opset_imports=self._imports
            )
        except onnx.shape_inference.InferenceError as error:
            raise Fails(str(error).strip().splitlines()[0]) from error
        except (RuntimeError, ValueError, KeyError):
            return unknown
        return tuple(_known_shape(found.get(name)) for name in proto.output)


def _is_operand(node: gs.Node, index: int, tensor: gs.Tensor) -> bool:
    if not tensor.name or (index == 0 and node.op not in ("ConstantOfShape", "Range")):
        return False
    return node.op in _WITH_VALUES or node.op.startswith("Reduce")


def _would_be(node: gs.Node, inputs: Sequence[Concrete | None]) -> Concrete | None:
    """What a sum or product with a constant of another size would have made: the other operand."""
    if node.op not in ("Add", "Sub", "Mul", "Div") or None in inputs:
        return None
    pairs = zip(node.inputs, inputs, strict=True)
    others = [s for t, s in pairs if s is not None and not isinstance(t, gs.Constant)]
    return others[0] if len(others) == 1 else None


def _shape(tensor: gs.Tensor, state: State) -> Concrete | None:
    if isinstance(tensor, gs.Constant):
        return tuple(tensor.shape)
    return state.shapes[tensor.name] if tensor.name in state.shapes else _declared(tensor, state)


def _declared(tensor: gs.Tensor, state: State) -> Concrete | None:
    """A shape of numbers and of names that the inputs confirm, as the file was inferred."""
    if tensor.shape is None or tensor.name in state.failed:
        return None
    dims = [state.sizes.get(d) if is_confirmed(d) else d for d in tensor.shape]
    known = tuple(dim for dim in dims if isinstance(dim, int))
    return known if len(known) == len(dims) else None


def _type_of(array: Array) -> int:
    return int(onnx.helper.np_dtype_to_tensor_dtype(array.dtype))


def _known_shape(type_: onnx.TypeProto | None) -> Concrete | None:
    if type_ is None or not type_.tensor_type.HasField("shape"):
        return None
    dims = type_.tensor_type.shape.dim
    known = all(dim.HasField("dim_value") for dim in dims)
    return tuple(dim.dim_value for dim in dims) if known else None


def _reshaped(node: gs.Node, x: Concrete | None, target: Array | None) -> Concrete | None:
    """Raises:
    Fails: the target holds another number of elements.
    """
    if target is None:
        return None
    sizes = [int(n) for n in target.reshape(-1)]
    if not node.attrs.get("allowzero", 0):
        if x is None and 0 in sizes:
            return None
        sizes = [(x or ())[i] if n == 0 and i < len(x or ()) else n for i, n in enumerate(sizes)]
    if x is None:
        return tuple(sizes) if min(sizes, default=0) >= 0 else None
    rest = math.prod(n for n in sizes if n != -1)
    if -1 in sizes and rest > 0 and math.prod(x) % rest == 0:
        sizes[sizes.index(-1)] = math.prod(x) // rest
    if min(sizes, default=0) < 0 or math.prod(sizes) != math.prod(x):
        raise Fails(f"Reshape of {list(x)} to {target.tolist()}")
    return tuple(sizes)


def _refuse(node: gs.Node, inputs: Sequence[Concrete | None]) -> None:
    """Raises:
    Fails: a window is longer than what it slides over, or a weight is for other channels.
    """
    x = inputs[0] if inputs else None
    if node.op not in _SLIDING or x is None:
        return
    weight = inputs[1] if node.op == "Conv" else None
    kernel = node.attrs.get("kernel_shape") or (weight or ())[2:]
    k = len(kernel)
    if not k or len(x) != k + 2:
        return
    if weight is not None and x[1] != weight[1] * node.attrs.get("group", 1):
        raise Fails(f"{node.op} of {x[1]} channels with a weight for {weight[1]}")
    if node.attrs.get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER"):
        return
    pads = node.attrs.get("pads") or [0] * 2 * k
    dilations = node.attrs.get("dilations") or [1] * k
    axes = zip(x[2:], kernel, dilations, pads[:k], pads[k:], strict=True)
    for length, size, dilation, begin, end in axes:
        if length + begin + end < dilation * (size - 1) + 1:
            raise Fails(f"windows of {size} over {length}")


def small_constant(tensor: gs.Tensor) -> Array | None:
    """The value of a constant that may be a shape; None where it is none, or large."""
    if not isinstance(tensor, gs.Constant) or int(np.prod(tensor.shape)) > LARGEST_OPERAND:
        return None
    return np.asarray(tensor.values)
