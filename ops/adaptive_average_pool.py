"""AdaptiveAveragePool: Y[…, i] = mean(X[…, start(i):end(i)]), on each of the last k axes."""

import dataclasses

import numpy as np
from onnx.defs import OpSchema

from onnxpool.ops.op import (
    DOMAIN,
    VERSION,
    Array,
    Op,
    Shape,
    check_output_size,
    float_type_constraint,
    kept,
    pooled_shape,
    resolved_size,
    size_parameter,
    with_shape_inference,
)
from onnxpool.ops.windows import windows


@with_shape_inference
@dataclasses.dataclass(frozen=True)
class AdaptiveAveragePool(Op):
    """Adaptive average pooling, as ``torch.nn.AdaptiveAvgPool{1,2,3}d``.

    Attributes:
        output_size: size of each of the k pooled axes, or -1 to keep an axis, or 0 to take its size
            from the input `size`; k is 1, 2 or 3.

    Inputs: X, ``(N, C, D1, …, Dk)`` or ``(C, D1, …, Dk)``; and, where `output_size` has a 0, size,
    int64, ``(k,)``, sizes that the graph computes; only those where `output_size` is 0 are read.
    Outputs: Y, the shape of X with its last k axes replaced by these sizes.
    """

    output_size: tuple[int, ...]

    schema = OpSchema(
        "AdaptiveAveragePool",
        DOMAIN,
        VERSION,
        "Average over PyTorch's adaptive windows of the last k axes.",
        inputs=[
            OpSchema.FormalParameter("X", "T", "(N, C, D1, …, Dk) or (C, D1, …, Dk)"),
            size_parameter(),
        ],
        outputs=[OpSchema.FormalParameter("Y", "T", "X with its last k axes resized")],
        type_constraints=float_type_constraint(),
        attributes=[
            OpSchema.Attribute(
                "output_size",
                OpSchema.AttrType.INTS,
                "k sizes; -1 keeps an axis, 0 takes its size from the input",
                required=True,
            )
        ],
    )

    def __post_init__(self) -> None:
        check_output_size(self.op_type(), self.output_size, computed=True)

    def output_shapes(self, x: Shape, outputs: int = 1) -> tuple[Shape, ...]:
        return (pooled_shape(self.op_type(), x, self.output_size),)

    def reference(self, *inputs: Array) -> tuple[Array, ...]:
        x, *size = inputs
        self.output_shapes(x.shape)
        sizes = resolved_size(self.op_type(), self.output_size, size)
        return (average(x.astype(np.float64), sizes).astype(x.dtype),)


def average(x: Array, output_size: tuple[int, ...]) -> Array:
    """Adaptive average of float64 `x`; axis by axis, because a window is a product of ranges."""
    for axis, size in enumerate(output_size, start=-len(output_size)):
        if not kept(size, x.shape[axis]):
            moved = np.moveaxis(x, axis, 0)
            with np.errstate(invalid="ignore"):  # inf - inf
                bins = [moved[w.start : w.end].mean(axis=0) for w in windows(len(moved), size)]
            x = np.moveaxis(np.stack(bins), 0, axis)
    return x
