"""GeMPool: Y = mean(max(X, epsilon)^p)^(1/p), the generalised mean over adaptive windows."""

import dataclasses

import numpy as np
from onnx.defs import OpSchema

from onnxpool.ops.adaptive_average_pool import average
from onnxpool.ops.op import (
    Array,
    InvalidOp,
    Op,
    Shape,
    check_output_size,
    dialect_schema,
    pooled_shape,
)


@dataclasses.dataclass(frozen=True)
class GeMPool(Op):
    """Generalised-mean pooling.

    Radenović, Tolias, Chum: Fine-tuning CNN Image Retrieval with No Human Annotation,
    TPAMI 2018, equation 3. p = 1 averages; p towards infinity takes the maximum.

    Attributes:
        output_size: size of each of the k pooled axes, or -1 to keep an axis; k is 1, 2 or 3.
        epsilon: X is clamped to at least this value first; absent: no clamp.

    Inputs:
        X: ``(N, C, D1, …, Dk)`` or ``(C, D1, …, Dk)``.
        p: the exponent, of X's type: one element, or one per channel; its shape does not matter.
    Outputs: Y, the shape of X with its last k axes replaced by `output_size`.
    """

    output_size: tuple[int, ...]
    epsilon: float | None = None

    schema = dialect_schema(
        "GeMPool",
        "Generalised mean over PyTorch's adaptive windows of the last k axes.",
        parameters=[
            OpSchema.FormalParameter("p", "T", "one exponent, or one per channel"),
        ],
        outputs=[OpSchema.FormalParameter("Y", "T", "X with its last k axes of output_size")],
        attributes=[
            OpSchema.Attribute(
                "output_size", OpSchema.AttrType.INTS, "k sizes; -1 keeps an axis", required=True
            ),
            OpSchema.Attribute(
                "epsilon", OpSchema.AttrType.FLOAT, "lower clamp of X; absent: none", required=False
            ),
        ],
    )

    def __post_init__(self) -> None:
        check_output_size(self.op_type(), self.output_size)
        if self.epsilon is not None and not self.epsilon >= 0:
            raise InvalidOp(f"GeMPool takes an epsilon of at least 0, found {self.epsilon}")

    def output_shapes(self, x: Shape, outputs: int = 1) -> tuple[Shape, ...]:
        return (pooled_shape(self.op_type(), x, self.output_size),)

    def reference(self, *inputs: Array) -> tuple[Array, ...]:
        x, p = inputs
        self.output_shapes(x.shape)
        channels = x.shape[-len(self.output_size) - 1]
        if p.size not in (1, channels):
            raise InvalidOp(f"GeMPool takes 1 or {channels} exponents, found {p.size}")
        exponent = p.astype(np.float64).reshape(-1, *(1,) * len(self.output_size))
        clamped = x.astype(np.float64)
        if self.epsilon is not None:
            clamped = np.maximum(clamped, self.epsilon)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            pooled = average(clamped**exponent, self.output_size) ** (1 / exponent)
            return (pooled.astype(x.dtype),)
