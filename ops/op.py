"""What every op of the dialect is: attributes, shape rule, NumPy reference, ONNX schema."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import onnx
from numpy.typing import NDArray
from onnx.defs import OpSchema

if TYPE_CHECKING:
    from typing import Self  # not there in Python 3.10

DOMAIN = "onnxpool"
VERSION = 1

KEEP = -1
"""In an output size: this axis keeps its input size (PyTorch's ``None``)."""

COMPUTED = 0
"""In an output size: the size of this axis is an element of the input `size`."""

MOST_SIZES = 3
"""Of an output size in a file: what kernels and function bodies take."""

FLOAT_TYPES = ("tensor(float)", "tensor(double)", "tensor(float16)", "tensor(bfloat16)")

Array = NDArray[Any]
Dim = int | str | None
"""A known size, a symbol, or nothing known."""
Shape = tuple[Dim, ...]


class Claimed(str):
    """A symbol that a file declares for a size, and that inference does not confirm.

    Two sizes of one name are equal at run time only if the name is confirmed for both.
    """

    __slots__ = ()


def is_confirmed(dim: Dim) -> bool:
    """Whether `dim` is a symbol that stands for one number wherever else it is confirmed."""
    return isinstance(dim, str) and not isinstance(dim, Claimed)


_PLAIN = (int, float, str, bytes, Sequence)
"""What attributes are; one that refers to an attribute of the function around it is none."""


class InvalidOp(ValueError):
    """Attributes or input shapes that an op of the dialect does not take."""


@dataclasses.dataclass(frozen=True)
class Op(abc.ABC):
    """One op of the dialect; the dataclass fields are its ONNX attributes (None: absent).

    Inputs pool over their last k axes, after one leading axis ``(C, D1, …, Dk)`` or two
    ``(N, C, D1, …, Dk)``, as PyTorch's pooling does; k is 1, 2 or 3.
    """

    schema: ClassVar[OpSchema]

    def __init_subclass__(cls) -> None:
        if "schema" in cls.__dict__:
            infer = functools.partial(_infer, cls)
            cls.schema.set_type_and_shape_inference_function(infer)

    @classmethod
    def op_type(cls) -> str:
        return str(cls.schema.name)

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Self:
        """Build the op from a node's attributes.

        Raises:
            InvalidOp: an attribute is missing, unknown, or has a value that the op does not take.
        """
        fields = dataclasses.fields(cls)
        if unknown := set(attributes) - {field.name for field in fields}:
            raise InvalidOp(f"{cls.op_type()} has no attribute {sorted(unknown)[0]!r}")
        for field in fields:
            if field.default is dataclasses.MISSING and field.name not in attributes:
                raise InvalidOp(f"{cls.op_type()} needs the attribute {field.name!r}")
        for name, value in attributes.items():
            if not isinstance(value, _PLAIN):
                raise InvalidOp(f"{cls.op_type()} needs a value for the attribute {name!r}")
        return cls(**{name: _plain(value) for name, value in attributes.items()})

    def attributes(self) -> dict[str, Any]:
        """The attributes as an ONNX node carries them."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v is not None
        }

    @property
    def each_size(self) -> tuple[tuple[int, ...], ...]:
        """Per level the output size; an op that does not pool has none."""
        return (self.output_size,) if hasattr(self, "output_size") else ()

    @abc.abstractmethod
    def output_shapes(self, x: Shape, outputs: int = 1) -> tuple[Shape, ...]:
        """The shapes of the first `outputs` outputs for an X of shape `x`.

        Raises:
            InvalidOp: the rank of `x` does not fit.
        """

    def shapes_from(self, inputs: Sequence[Shape | None], outputs: int = 1) -> tuple[Shape, ...]:
        """As `output_shapes`, from the shapes of all inputs, of which that of X is known.

        Raises:
            InvalidOp: one of them does not fit.
        """
        assert inputs[0] is not None
        return self.output_shapes(inputs[0], outputs)

    @abc.abstractmethod
    def reference(self, *inputs: Array) -> tuple[Array, ...]:
        """Compute every output with NumPy: the definition that all implementations are tested on.

        Sums are accumulated in float64 and rounded once to the dtype of X.
        """


def pooled_shape(op: str, x: Shape, output_size: Sequence[int]) -> Shape:
    """`x` with its last axes replaced by `output_size`: `KEEP` keeps, `COMPUTED` is not known."""
    k = len(output_size)
    if len(x) not in (k + 1, k + 2):
        raise InvalidOp(
            f"{op} with output_size {list(output_size)} takes an input of rank {k + 1} or {k + 2}, "
            f"found rank {len(x)}"
        )
    return (*x[:-k], *(_resized(*pair) for pair in zip(x[-k:], output_size, strict=True)))


def _resized(dim: Dim, size: int) -> Dim:
    if size == KEEP:
        return dim
    return None if size == COMPUTED else size


def kept(size: int, length: Dim) -> bool:
    """Whether an axis of `length` pooled to `size` is as it was."""
    return size in (KEEP, length)


def check_output_size(
    op: str, output_size: Sequence[int], special: Container[int] = (KEEP,)
) -> None:
    """Check a size of an op, which may have these `special` elements.

    Inside a rewrite there may be channels behind three axes: a fourth size, which keeps them.

    Raises:
        InvalidOp: it has others that are no sizes, or not 1 to 3.
    """
    pooled = output_size[:MOST_SIZES] if output_size[MOST_SIZES:] == (KEEP,) else output_size
    if not 1 <= len(pooled) <= MOST_SIZES or any(s < 1 and s not in special for s in pooled):
        raise InvalidOp(wrong_size(op, output_size, special))


def wrong_size(op: str, output_size: Sequence[int], special: Container[int] = (KEEP,)) -> str:
    or_computed = f" or {COMPUTED} (computed)" * (COMPUTED in special)
    return (
        f"{op} takes an output_size of 1 to {MOST_SIZES} sizes, each at least 1 or {KEEP} (keep)"
        f"{or_computed}, found {list(output_size)}"
    )


def dialect_schema(
    op_type: str,
    doc: str,
    *,
    parameters: Sequence[OpSchema.FormalParameter] = (),
    outputs: Sequence[OpSchema.FormalParameter],
    attributes: Sequence[OpSchema.Attribute],
) -> OpSchema:
    """The schema of an op.

    Args:
        parameters: its inputs after X.
    """
    x = OpSchema.FormalParameter("X", "T", "(N, C, D1, …, Dk) or (C, D1, …, Dk)")
    return OpSchema(
        op_type,
        DOMAIN,
        VERSION,
        doc,
        inputs=[x, *parameters],
        outputs=outputs,
        type_constraints=[("T", FLOAT_TYPES, "Floating-point tensors.")],
        attributes=attributes,
    )


def _infer(cls: type[Op], context: Any) -> None:
    """Shape inference for the schema of an op, by its own shape rule."""
    types = [context.get_input_type(i) for i in range(context.get_num_inputs())]
    x = types[0]
    names = [f.name for f in dataclasses.fields(cls)]
    attributes = {n: context.get_attribute(n) for n in names}
    op = cls.from_attributes(
        {n: onnx.helper.get_attribute_value(a) for n, a in attributes.items() if a is not None}
    )
    inputs = [_shape(type_) for type_ in types]
    outputs = context.get_num_outputs()
    shapes = (None,) * outputs if inputs[0] is None else op.shapes_from(inputs, outputs)
    for index, inferred in enumerate(shapes):
        elem_type = x.tensor_type.elem_type
        if cls.schema.outputs[min(index, len(cls.schema.outputs) - 1)].type_str != "T":
            elem_type = onnx.TensorProto.INT64
        context.set_output_type(index, onnx.helper.make_tensor_type_proto(elem_type, inferred))


def _plain(value: Any) -> Any:
    """An attribute as onnx or graphsurgeon reads it, as the dataclasses hold it."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return tuple(value) if isinstance(value, list) else value


def _shape(type_: onnx.TypeProto | None) -> Shape | None:
    if type_ is None or not type_.tensor_type.HasField("shape"):
        return None
    return tuple(_dim(d) for d in type_.tensor_type.shape.dim)


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    return str(dim.dim_param) or None
