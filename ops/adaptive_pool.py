"""Adaptive pooling to one output size, which the graph may compute."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from onnx.defs import OpSchema

from onnxpool.ops.op import (
    COMPUTED,
    KEEP,
    Array,
    InvalidOp,
    Op,
    Shape,
    check_output_size,
    dialect_schema,
    pooled_shape,
)

Y = OpSchema.FormalParameter("Y", "T", "X with its last k axes resized")


@dataclasses.dataclass(frozen=True)
class AdaptivePool(Op):
    """What AdaptiveAveragePool and AdaptiveMaxPool have in common.

    Attributes:
        output_size: size of each of the k pooled axes, or -1 to keep an axis, or 0 to take its size
            from the input `size`; k is 1, 2 or 3.

    Inputs: X, ``(N, C, D1, …, Dk)`` or ``(C, D1, …, Dk)``; and, where `output_size` has a 0, size,
    int64, ``(k,)``, sizes that the graph computes; only those where `output_size` is 0 are read.
    Outputs: Y, the shape of X with its last k axes replaced by these sizes.
    """

    output_size: tuple[int, ...]

    def __post_init__(self) -> None:
        check_output_size(self.op_type(), self.output_size, (KEEP, COMPUTED))

    def output_shapes(self, x: Shape, outputs: int = 1) -> tuple[Shape, ...]:
        return (pooled_shape(self.op_type(), x, self.output_size),) * outputs

    def sizes(self, size: Sequence[Array]) -> tuple[int, ...]:
        """`output_size` with the elements of the input `size`, if there, where it is `COMPUTED`.

        Raises:
            InvalidOp: the input is missing, or has another shape, or a size that is not at least 1.
        """
        if COMPUTED not in self.output_size:
            return self.output_size
        k = len(self.output_size)
        if not size or size[0].shape != (k,):
            found = f"shape {list(size[0].shape)}" if size else "none"
            raise InvalidOp(
                f"{self.op_type()} with output_size {list(self.output_size)} takes an input size "
                f"of shape [{k}], found {found}"
            )
        pairs = list(zip(self.output_size, size[0].tolist(), strict=True))
        if any(fixed == COMPUTED and computed < 1 for fixed, computed in pairs):
            raise InvalidOp(
                f"{self.op_type()} takes a size of at least 1, found {size[0].tolist()}"
            )
        return tuple(computed if fixed == COMPUTED else fixed for fixed, computed in pairs)


def adaptive_schema(op_type: str, doc: str, *more: OpSchema.FormalParameter) -> OpSchema:
    """The schema of an AdaptivePool.

    Args:
        more: its outputs after Y.
    """
    return dialect_schema(
        op_type,
        doc,
        parameters=[
            OpSchema.FormalParameter(
                "size",
                "tensor(int64)",
                "(k,), read where output_size is 0",
                param_option=OpSchema.FormalParameterOption.Optional,
            ),
        ],
        outputs=[Y, *more],
        attributes=[
            OpSchema.Attribute(
                "output_size",
                OpSchema.AttrType.INTS,
                "k sizes; -1 keeps an axis, 0 takes its size from the input",
                required=True,
            )
        ],
    )
