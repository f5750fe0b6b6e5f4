"""The body of a dialect op as an ONNX function: one for all nodes of a model.

    X (N, C, D1, …, Dk) or (C, D1, …, Dk), as (N, C, D1, D2, D3) with axes of 1 filled in
    → the op at sizes that the graph computes, lowered as dynamic.py does → Y in the rank of X

The body reads output_size and epsilon from the node that calls it, and sizes from X, so it is the
definition of the op at every rank, size and attribute value. ONNX Runtime folds what depends on
sizes alone when it loads a model in which those are known.

A function has one body per name. `overload` would allow several, but ONNX Runtime 1.20 takes the
last of them for every node, and 1.31 the first for nodes inside other functions.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.exporters.onnx_exporter import OnnxExporter
from onnx_graphsurgeon.util.misc import convert_from_onnx_attr_type

from onnxpool.ops import COMPUTED, DIALECT, DOMAIN, KEEP, Op
from onnxpool.rewrites import lower
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import numpy_type
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.lower.dynamic import INT64
from onnxpool.rewrites.lower.gem_pool import gem_of_computed_size
from onnxpool.rewrites.lower.pyramid_upsample import upsample_and_join

MIN_OPSET = 12
"""The first in which Constant takes a list of integers, and so an attribute of the function."""

MIN_IR_VERSION = 8
"""The first with functions in a model."""

_MOST_AXES = 3
_END = np.iinfo(np.int64).max


class Bodies:
    """The function bodies of the dialect in one model.

    Attributes:
        in_model: by op type, those that it came with.
        added: those that it needs besides.
        opset: of those that are added, where it is not that of the graph that calls them.
    """

    def __init__(self, functions: Iterable[onnx.FunctionProto], opset: int | None = None) -> None:
        self.opset = opset
        self.in_model = {f.name: f for f in functions if is_body(f)}
        self.added: dict[str, onnx.FunctionProto] = {}

    @property
    def all(self) -> tuple[onnx.FunctionProto, ...]:
        return (*self.in_model.values(), *self.added.values())

    def provide(self, signature: Signature) -> None:
        """Have a body for nodes of this signature.

        Raises:
            Unsupported: there is another body under this name, or none can be had.
        """
        body, name = function_body(signature), signature.op_type
        known = self.in_model.get(name) or self.added.setdefault(name, body)
        if known != body:
            found = known.doc_string.partition(". ")[0] or "something else"
            raise Unsupported(
                f"a model has one body per op, and that of {name} is for {found}, not for "
                f"{signature}"
            )


def is_body(proto: onnx.FunctionProto | onnx.GraphProto) -> bool:
    """Whether this is a function, the body of an op of the dialect."""
    if not isinstance(proto, onnx.FunctionProto) or proto.domain != DOMAIN:
        return False
    return any(op.op_type() == proto.name for op in DIALECT)


@dataclasses.dataclass(frozen=True)
class Signature:
    """What the body of an op depends on; everything else it reads as it runs.

    Attributes:
        op_type: of the dialect.
        dtype: of X, a ``TensorProto.DataType``.
        opset: version of the default domain.
        inputs, outputs: how many the node has.
        attributes: the names of those that the node gives.
        mode: of a PyramidPool.
        position: of X in a PyramidUpsample.
    """

    op_type: str
    dtype: int
    opset: int
    inputs: int
    outputs: int
    attributes: tuple[str, ...]
    mode: str = ""
    position: int = 0

    @classmethod
    def of(cls, op: Op, dtype: int, opset: int, *, inputs: int, outputs: int) -> Signature:
        attributes = op.attributes()
        mode, position = attributes.get("mode", ""), attributes.get("position", 0)
        return cls(op.op_type(), dtype, opset, inputs, outputs, tuple(attributes), mode, position)

    def __str__(self) -> str:
        dtype = onnx.TensorProto.DataType.Name(self.dtype).lower()
        mode = f" {self.mode}" * bool(self.mode)
        counts = f"{_counted(self.inputs, 'input')}, {_counted(self.outputs, 'output')}"
        given = ", ".join(self.attributes)
        behind = f" behind {_counted(self.position, 'level')}" * bool(self.position)
        return (
            f"{self.op_type}{mode}{behind} in {dtype}, opset {self.opset}, {counts}, with {given}"
        )


@functools.cache
def function_body(signature: Signature) -> onnx.FunctionProto:
    """The function that nodes of this signature call where no kernel is registered.

    Raises:
        Unsupported: a function cannot express it in this opset.
    """
    if signature.opset < MIN_OPSET:
        raise Unsupported(
            f"opset {signature.opset} is below {MIN_OPSET}, the first in which a function body "
            "reads attributes; convert the model first"
        )
    dtype = numpy_type(signature.dtype)
    node = gs.Node(
        signature.op_type,
        signature.op_type,
        inputs=[gs.Variable(name, type_) for name, type_ in _inputs(signature, dtype)],
        outputs=[gs.Variable(name) for name in _output_names(signature)],
        domain=DOMAIN,
    )
    inputs, outputs = list(node.inputs), list(node.outputs)
    function = gs.Function(
        signature.op_type,
        DOMAIN,
        nodes=[node],
        inputs=inputs,
        outputs=outputs,
        opset=signature.opset,
        import_domains=[onnx.helper.make_opsetid("", signature.opset)],
        attrs=dict.fromkeys(signature.attributes),
    )
    b = Builder(function, node, signature.opset)
    b.replace(_FORMS[signature.op_type](b, inputs, signature))
    for inner in [n for n in function.nodes if n.domain == DOMAIN]:
        _lower(function, inner, signature.opset)
    proto: onnx.FunctionProto = OnnxExporter.export_function(function)
    proto.doc_string = (
        f"{signature}. Without a kernel for {DOMAIN}::{signature.op_type}, this runs."
    )
    return proto


def _inputs(signature: Signature, dtype: np.dtype[Any]) -> list[tuple[str, np.dtype[Any]]]:
    types = [dtype if p.type_str == "T" else INT64 for p in _schema(signature).inputs]
    names = [p.name for p in _schema(signature).inputs]
    named = list(zip(names, types, strict=True))
    if signature.op_type == "PyramidUpsample":
        x, (name, type_) = named
        return [x, *((f"{name}_{level}", type_) for level in range(1, signature.inputs))]
    return named[: signature.inputs]


def _output_names(signature: Signature) -> list[str]:
    names = [p.name for p in _schema(signature).outputs]
    if signature.op_type == "PyramidPool":
        return [f"{names[0]}_{level + 1}" for level in range(signature.outputs)]
    return names[: signature.outputs]


def _schema(signature: Signature) -> onnx.defs.OpSchema:
    return next(op.schema for op in DIALECT if op.op_type() == signature.op_type)


class _AnyRank:
    """The planes of X, of whatever rank, as three axes behind a batch and channels."""

    def __init__(self, b: Builder, x: gs.Tensor, k: gs.Tensor, *, fill_behind: bool = False):
        """Take the last `k` axes, an int64 vector of one element, as those of the planes.

        Args:
            fill_behind: whether the axes of 1 come behind them. An average is computed from the
                last axis on and a maximum from the first, and a full pass over X for nothing is
                spared where an axis of 1 has its turn at the end.
        """
        self._b = b
        self._fill_behind = fill_behind
        shape = _vector(b, "Shape", x)
        first = _vector(b, "Sub", _vector(b, "Shape", shape), k)
        end = b.integers([_END])
        self._lead = _vector(b, "Slice", shape, b.integers([0]), first)
        self._plane = _vector(b, "Slice", shape, first, end)
        batch_and_channels = _vector(
            b, "Slice", self._concat(b.integers([1]), self._lead), b.integers([-2]), end
        )
        five = self._concat(batch_and_channels, self.three(self._plane))
        self.x = b.node("Reshape", [x, five], (None,) * 5)

    def size(self, output_size: gs.Tensor, computed: gs.Tensor | None = None) -> gs.Tensor:
        """The sizes in numbers, ``(k,)``: KEEP from X, COMPUTED from the input."""
        b = self._b
        if computed is not None:
            is_computed = _vector(b, "Equal", output_size, b.integers([COMPUTED]), dtype=bool)
            output_size = _vector(b, "Where", is_computed, computed, output_size, dtype=INT64)
        is_kept = _vector(b, "Equal", output_size, b.integers([KEEP]), dtype=bool)
        return _vector(b, "Where", is_kept, self._plane, output_size, dtype=INT64)

    def three(self, sizes: gs.Tensor) -> gs.Tensor:
        """`sizes` of k axes for three."""
        b, ones = self._b, self._b.integers([1] * _MOST_AXES)
        if self._fill_behind:
            filled = self._concat(sizes, ones)
            return _vector(b, "Slice", filled, b.integers([0]), b.integers([_MOST_AXES]))
        filled = self._concat(ones, sizes)
        return _vector(b, "Slice", filled, b.integers([-_MOST_AXES]), b.integers([_END]))

    def back(self, y: gs.Tensor, sizes: gs.Tensor) -> gs.Tensor:
        """`y` in the rank of X; `sizes` are those of its planes, ``(k,)``."""
        return self._b.node("Reshape", [y, self._concat(self._lead, sizes)], None)

    def _concat(self, *parts: gs.Tensor) -> gs.Variable:
        return self._b.node("Concat", parts, (None,), axis=0)


def _adaptive_pool(
    b: Builder, inputs: Sequence[gs.Tensor], signature: Signature
) -> list[gs.Tensor]:
    x, *computed = inputs
    output_size = _attribute(b, "output_size")
    is_max = signature.op_type == "AdaptiveMaxPool"
    planes = _AnyRank(b, x, _vector(b, "Shape", output_size), fill_behind=is_max)
    sizes = planes.size(output_size, *computed)
    results = _pool(b, signature.op_type, planes, sizes, signature.outputs)
    return [planes.back(y, sizes) for y in results]


def _gem_pool(b: Builder, inputs: Sequence[gs.Tensor], signature: Signature) -> list[gs.Tensor]:
    x, p = inputs
    output_size = _attribute(b, "output_size")
    epsilon = [_attribute(b, "epsilon")] if "epsilon" in signature.attributes else []
    planes = _AnyRank(b, x, _vector(b, "Shape", output_size))
    sizes = planes.size(output_size)
    y = _planar(b, "GeMPool", planes.x, planes.three(sizes), p, *epsilon)
    return [planes.back(y, sizes)]


def _pyramid_pool(b: Builder, inputs: Sequence[gs.Tensor], signature: Signature) -> list[gs.Tensor]:
    is_max = signature.mode == "max"
    op_type = "AdaptiveMaxPool" if is_max else "AdaptiveAveragePool"
    table = b.node(
        "Reshape",
        [_attribute(b, "output_sizes"), b.integers([signature.outputs, -1])],
        (signature.outputs, None),
    )
    levels = [
        b.node("Gather", [table, b.integer(level)], (None,), axis=0)
        for level in range(signature.outputs)
    ]
    planes = _AnyRank(b, inputs[0], _vector(b, "Shape", levels[0]), fill_behind=is_max)
    sizes = [planes.size(level) for level in levels]
    return [planes.back(_pool(b, op_type, planes, size)[0], size) for size in sizes]


def _pyramid_upsample(
    b: Builder, inputs: Sequence[gs.Tensor], signature: Signature
) -> list[gs.Tensor]:
    mode = _reference("coordinate_transformation_mode", onnx.AttributeProto.STRING)
    return [upsample_and_join(b, inputs, mode, signature.position)]


_FORMS: dict[str, Callable[[Builder, Sequence[gs.Tensor], Signature], list[gs.Tensor]]] = {
    "AdaptiveAveragePool": _adaptive_pool,
    "AdaptiveMaxPool": _adaptive_pool,
    "GeMPool": _gem_pool,
    "PyramidPool": _pyramid_pool,
    "PyramidUpsample": _pyramid_upsample,
}


def _pool(
    b: Builder, op_type: str, planes: _AnyRank, sizes: gs.Tensor, outputs: int = 1
) -> list[gs.Tensor]:
    y = _planar(b, op_type, planes.x, planes.three(sizes), output_size=[COMPUTED] * _MOST_AXES)
    (node,) = y.inputs
    if outputs == 2:
        node.outputs.append(gs.Variable(f"{y.name}/Indices", INT64, (None,) * 5))
    return list(node.outputs)


def _planar(b: Builder, op_type: str, *inputs: gs.Tensor, **attributes: Any) -> gs.Variable:
    """A node over the three axes, of computed sizes; `_lower` puts standard ops in its place."""
    y = b.node(op_type, inputs, (None,) * 5, **attributes)
    y.inputs[0].domain = DOMAIN
    return y


def _lower(function: gs.Function, node: gs.Node, opset: int) -> None:
    if node.op != "GeMPool":
        lower.lower(function, node, opset)
        return
    b = Builder(function, node, opset)
    b.replace([gem_of_computed_size(b, *node.inputs)])


def _attribute(b: Builder, name: str) -> gs.Variable:
    """The value of an attribute of the node that calls the function: a vector, or a scalar."""
    is_float = name == "epsilon"
    kind = onnx.AttributeProto.FLOAT if is_float else onnx.AttributeProto.INTS
    reference = _reference(name, kind)
    if is_float:
        return b.node("Constant", [], (), np.dtype(np.float32), value_float=reference)
    return b.node("Constant", [], (None,), INT64, value_ints=reference)


def _reference(name: str, kind: int) -> gs.Node.AttributeRef:
    return gs.Node.AttributeRef(name, convert_from_onnx_attr_type(kind))


def _vector(b: Builder, op: str, *inputs: gs.Tensor, dtype: Any = INT64) -> gs.Variable:
    return b.node(op, inputs, (None,), np.dtype(dtype))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
