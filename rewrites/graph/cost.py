"""What running a model would cost, known from shapes alone and before anything runs.

Shapes follow node by node from those of the inputs, and from the small values that say how large
others are (small_values). An op counts what it reads, makes and multiplies. Only ops for which that
is a bound are known here: loops, branches, recurrences, strings and what has no schema are not.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto

from onnxpool.ops.op import Array
from onnxpool.rewrites.graph import small_values

Dims = tuple[int, ...]

_MOST_NODES = 5_000
"""Visited; functions are walked once per call."""
_DEEPEST_CALL = 8
_STANDARD = ("", "ai.onnx")


@dataclasses.dataclass(frozen=True)
class Cost:
    """Attributes:
    given: elements that are there before it runs: inputs and weights.
    made: elements of the outputs of all nodes, and of sparse weights where they are dense.
    size: bytes of all of these.
    operations: elements read, made and multiplied.
    """

    given: int
    made: int
    size: int
    operations: int


def cost(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> Cost | None:
    """What a run on these inputs costs; None where that is not known beforehand."""
    walk = _Walk(model)
    try:
        walk.start(inputs)
        walk.over(model.graph.node, walk.known, 0)
    except _Unknown:
        return None
    return Cost(walk.given, walk.made, walk.size, walk.operations)


class _Unknown(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class _Tensor:
    dtype: int
    dims: Dims
    value: Array | None = None

    @property
    def count(self) -> int:
        return math.prod(self.dims)

    @property
    def size(self) -> int:
        return self.count * _itemsize(self.dtype)


_Known = dict[str, _Tensor]


class _Walk:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.given = self.made = self.size = self.operations = 0
        self.known: _Known = {}
        self._model = model
        self._functions = {(f.domain, f.name): f for f in model.functions}
        self._opsets = {_domain(o.domain): o.version for o in model.opset_import}
        self._nodes = 0

    def start(self, inputs: Mapping[str, Array]) -> None:
        graph = self._model.graph
        for tensor in graph.initializer:
            self._give(tensor.name, _stored(tensor))
        for name, value in inputs.items():
            dtype = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
            small = value if value.size <= small_values.MOST else None
            self._give(name, _Tensor(int(dtype), tuple(value.shape), small))
        for sparse in graph.sparse_initializer:
            dense = _Tensor(sparse.values.data_type, tuple(sparse.dims))
            self.known[sparse.values.name] = dense
            self._make(dense)

    def over(self, nodes: Sequence[NodeProto], known: _Known, depth: int) -> None:
        for node in nodes:
            self._nodes += 1
            function = self._functions.get((node.domain, node.op_type))
            if self._nodes > _MOST_NODES or depth > _DEEPEST_CALL:
                raise _Unknown
            inputs = [known[name] if name else None for name in node.input if _has(name, known)]
            if function is not None:
                outputs = self._call(function, node, inputs, depth)
            else:
                outputs = self._outputs(node, inputs)
                self.operations += self._work(node, inputs, outputs)
                for made in outputs:
                    self._make(made)
            known.update((n, t) for n, t in zip(node.output, outputs, strict=False) if n)

    def _call(
        self,
        function: onnx.FunctionProto,
        node: NodeProto,
        inputs: Sequence[_Tensor | None],
        depth: int,
    ) -> list[_Tensor]:
        given = {a.name: a for a in (*function.attribute_proto, *node.attribute)}
        inner = {n: t for n, t in zip(function.input, inputs, strict=False) if t is not None}
        # An input that is left out reads as "" in the body.
        left_out = set(function.input) - set(inner)
        body = [_resolved(n, given, left_out) for n in function.node]
        self.over(body, inner, depth + 1)
        return [inner[name] for name in function.output if _has(name, inner)]

    def _outputs(self, node: NodeProto, inputs: Sequence[_Tensor | None]) -> list[_Tensor]:
        if node.op_type == "Constant" and node.domain in _STANDARD:
            return [_constant(node)]
        if node.op_type in ("Shape", "Size") and inputs[0] is not None:
            return [_of_value(_size_value(node, inputs[0]))]
        if node.domain in _STANDARD and len(node.output) == 1 and inputs:
            values = [t if t is None else t.value for t in inputs]
            if not any(t is not None and t.value is None for t in inputs):
                value = small_values.compute(node, values)
                if value is not None:
                    return [_of_value(value)]
        if node.op_type == "OneHot" and node.domain in _STANDARD:
            return [_one_hot(node, inputs)]
        return self._inferred(node, inputs)

    def _inferred(self, node: NodeProto, inputs: Sequence[_Tensor | None]) -> list[_Tensor]:
        version = self._opsets.get(_domain(node.domain), 1)
        types: dict[str, onnx.TypeProto] = {}
        values: dict[str, TensorProto] = {}
        for name, tensor in zip(node.input, inputs, strict=True):
            if tensor is not None:
                types[name] = onnx.helper.make_tensor_type_proto(tensor.dtype, tensor.dims)
                if tensor.value is not None:
                    values[name] = onnx.numpy_helper.from_array(tensor.value)
        try:
            schema = onnx.defs.get_schema(node.op_type, version, _domain(node.domain))
            found = onnx.shape_inference.infer_node_outputs(
                schema,
                node,
                types,
                values,
                opset_imports=list(self._model.opset_import),
                ir_version=self._model.ir_version,
            )
        except Exception as error:  # it raises all sorts, and none says what a run would cost
            raise _Unknown from error
        return [_known(found.get(name)) for name in node.output if name]

    def _work(
        self, node: NodeProto, inputs: Sequence[_Tensor | None], outputs: Sequence[_Tensor]
    ) -> int:
        if not is_bounded(node.domain, node.op_type):
            raise _Unknown
        rule = _RULES[node.op_type]
        given = [tensor for tensor in inputs if tensor is not None]
        made = sum(t.count for t in outputs)
        return sum(t.count for t in given) + made + rule(node, given, made)

    def _give(self, name: str, tensor: _Tensor) -> None:
        self.known[name] = tensor
        self.given += tensor.count
        self.size += tensor.size

    def _make(self, tensor: _Tensor) -> None:
        self.made += tensor.count
        self.size += tensor.size


def is_bounded(domain: str, op_type: str) -> bool:
    """Whether shapes say what a node costs at the most."""
    return domain in _STANDARD and op_type in _RULES


def _has(name: str, known: _Known) -> bool:
    if name and name not in known:
        raise _Unknown
    return True


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _itemsize(dtype: int) -> int:
    try:
        return max(1, onnx.helper.tensor_dtype_to_np_dtype(dtype).itemsize)
    except KeyError as error:
        raise _Unknown from error


def _stored(tensor: TensorProto) -> _Tensor:
    dims = tuple(tensor.dims)
    value = None
    if math.prod(dims) <= small_values.MOST and not tensor.external_data:
        try:
            value = onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise _Unknown from error
    return _Tensor(tensor.data_type, dims, value)


def _of_value(value: Array) -> _Tensor:
    dtype = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
    small = value if value.size <= small_values.MOST else None
    return _Tensor(int(dtype), tuple(value.shape), small)


def _size_value(node: NodeProto, x: _Tensor) -> Array:
    if node.op_type == "Size":
        return np.asarray(x.count, np.int64)
    return np.asarray(x.dims[_integer(node, "start", 0) : _integer(node, "end", None)], np.int64)


def _constant(node: NodeProto) -> _Tensor:
    (attribute,) = node.attribute
    if attribute.ref_attr_name:
        raise _Unknown  # Whoever calls the function gives it.
    value = onnx.helper.get_attribute_value(attribute)
    match attribute.name:
        case "value":
            return _stored(value)
        case "value_float" | "value_floats":
            return _of_value(np.asarray(value, np.float32))
        case "value_int" | "value_ints":
            return _of_value(np.asarray(value, np.int64))
    raise _Unknown


def _one_hot(node: NodeProto, inputs: Sequence[_Tensor | None]) -> _Tensor:
    indices, depth, values = inputs
    if indices is None or depth is None or values is None or depth.value is None:
        raise _Unknown
    axis = _integer(node, "axis", -1) % (len(indices.dims) + 1)
    size = int(depth.value.reshape(-1)[0])
    return _Tensor(values.dtype, (*indices.dims[:axis], size, *indices.dims[axis:]))


def _known(type_: onnx.TypeProto | None) -> _Tensor:
    if type_ is None or not type_.tensor_type.HasField("shape"):
        raise _Unknown
    dims = type_.tensor_type.shape.dim
    if not all(dim.HasField("dim_value") for dim in dims):
        raise _Unknown
    return _Tensor(type_.tensor_type.elem_type, tuple(dim.dim_value for dim in dims))


def _resolved(
    node: NodeProto, given: Mapping[str, onnx.AttributeProto], left_out: set[str]
) -> NodeProto:
    """A node of a function as this call runs it."""
    if not left_out.intersection(node.input) and not any(a.ref_attr_name for a in node.attribute):
        return node
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = ["" if name in left_out else name for name in node.input]
    del copy.attribute[:]
    for attribute in node.attribute:
        source = given.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if source is not None:
            copy.attribute.add().CopyFrom(source)
            copy.attribute[-1].name = attribute.name
    return copy


def _integer(node: NodeProto, name: str, default: Any) -> Any:
    return next((a.i for a in node.attribute if a.name == name), default)


def _integers(node: NodeProto, name: str) -> list[int]:
    return next((list(a.ints) for a in node.attribute if a.name == name), [])


_Rule = Callable[[NodeProto, Sequence[_Tensor], int], int]
"""The operations of a node beside what it reads and makes."""


def _none(_: NodeProto, _inputs: Sequence[_Tensor], _made: int) -> int:
    return 0


def _times(factor: int) -> _Rule:
    return lambda _, inputs, made: factor * (made + sum(t.count for t in inputs))


def _products(_: NodeProto, inputs: Sequence[_Tensor], made: int) -> int:
    x = inputs[0].dims
    return made * (x[-1] if x else 1)


def _gemm(node: NodeProto, inputs: Sequence[_Tensor], made: int) -> int:
    return made * inputs[0].dims[0 if _integer(node, "transA", 0) else 1]


def _convolution(_: NodeProto, inputs: Sequence[_Tensor], made: int) -> int:
    return made * math.prod(inputs[1].dims[1:])


def _transposed_convolution(_: NodeProto, inputs: Sequence[_Tensor], _made: int) -> int:
    return inputs[0].count * math.prod(inputs[1].dims[1:])


def _windows(node: NodeProto, _inputs: Sequence[_Tensor], made: int) -> int:
    return made * math.prod(_integers(node, "kernel_shape"))


def _resize(node: NodeProto, inputs: Sequence[_Tensor], made: int) -> int:
    if _integer(node, "antialias", 0):
        return made * max(inputs[0].dims, default=1)
    return 64 * made


def _sort(_: NodeProto, inputs: Sequence[_Tensor], _made: int) -> int:
    return 64 * inputs[0].count


_COPYING = """
Cast CastLike Concat Constant ConstantOfShape DepthToSpace DequantizeLinear Dropout Expand EyeLike
Flatten Gather GatherElements GatherND Identity OneHot Pad QuantizeLinear Range Reshape
ReverseSequence ScatterElements ScatterND Shape Size Slice SpaceToDepth Split Squeeze Tile
Transpose Trilu Unsqueeze Upsample
"""
_ELEMENTWISE = """
Abs Add And BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil Clip Div Equal Floor Greater
GreaterOrEqual HardSigmoid HardSwish IsInf IsNaN LeakyRelu Less LessOrEqual Max Mean Min Mod Mul
Neg Not Or PRelu Reciprocal Relu Round Sign Sqrt Sub Sum ThresholdedRelu Where Xor
"""
_FUNCTIONS = """
Acos Acosh Asin Asinh Atan Atanh BatchNormalization Celu Cos Cosh Elu Erf Exp Gelu
GroupNormalization Hardmax InstanceNormalization LayerNormalization Log LogSoftmax LpNormalization
MeanVarianceNormalization Mish Pow RMSNormalization Selu Sigmoid Sin Sinh Softmax Softplus Softsign
Tan Tanh
"""
_REDUCTIONS = """
ArgMax ArgMin CumSum GlobalAveragePool GlobalLpPool GlobalMaxPool ReduceL1 ReduceL2 ReduceLogSum
ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
"""
_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys((_COPYING + _ELEMENTWISE).split(), _none),
    **dict.fromkeys(_FUNCTIONS.split(), _times(10)),
    **dict.fromkeys(_REDUCTIONS.split(), _times(4)),
    **dict.fromkeys(("AveragePool", "MaxPool", "LpPool"), _windows),
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Gemm": _gemm,
    "MatMul": _products,
    "Resize": _resize,
    "TopK": _sort,
}
"""Per standard op: what it does beside reading and making."""
