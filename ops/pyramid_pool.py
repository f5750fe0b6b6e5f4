"""PyramidPool: Y_l = pool(X, output_sizes[l]): several adaptive pools of one tensor."""

import dataclasses

import numpy as np
from onnx.defs import OpSchema

from onnxpool.ops.adaptive_average_pool import average
from onnxpool.ops.adaptive_max_pool import maximum
from onnxpool.ops.op import (
    Array,
    InvalidOp,
    Op,
    Shape,
    check_output_size,
    dialect_schema,
    pooled_shape,
)

MODES = ("average", "max")


@dataclasses.dataclass(frozen=True)
class PyramidPool(Op):
    """The pools of a pyramid pooling module, one output per level.

    Zhao et al.: Pyramid Scene Parsing Network, CVPR 2017 (average); He et al.: Spatial Pyramid
    Pooling in Deep Convolutional Networks, ECCV 2014 (max).

    Attributes:
        output_sizes: the output sizes of the levels, k numbers each, one level after the other;
            -1 keeps an axis.
        levels: the number of levels.
        mode: "average" or "max".

    Inputs: X, ``(N, C, D1, …, Dk)`` or ``(C, D1, …, Dk)``.
    Outputs: Y_1, …, Y_levels, each the shape of X with its last k axes replaced.
    """

    output_sizes: tuple[int, ...]
    levels: int
    mode: str = "average"

    schema = dialect_schema(
        "PyramidPool",
        "Several adaptive pools of one tensor.",
        outputs=[
            OpSchema.FormalParameter(
                "Y",
                "T",
                "one output per level",
                param_option=OpSchema.FormalParameterOption.Variadic,
            )
        ],
        attributes=[
            OpSchema.Attribute(
                "output_sizes", OpSchema.AttrType.INTS, "levels times k sizes", required=True
            ),
            OpSchema.Attribute(
                "levels", OpSchema.AttrType.INT, "number of levels and outputs", required=True
            ),
            OpSchema.Attribute(
                "mode", OpSchema.AttrType.STRING, '"average" or "max"', required=False
            ),
        ],
    )

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InvalidOp(f"PyramidPool takes a mode of {' or '.join(MODES)}, found {self.mode}")
        if self.levels < 1 or len(self.output_sizes) % self.levels:
            raise InvalidOp(
                f"PyramidPool takes output_sizes for each of its {self.levels} levels, "
                f"found {len(self.output_sizes)} numbers"
            )
        for size in self.sizes():
            check_output_size(self.op_type(), size)

    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """The output size of each level."""
        k = len(self.output_sizes) // self.levels
        return tuple(self.output_sizes[i : i + k] for i in range(0, len(self.output_sizes), k))

    @property
    def each_size(self) -> tuple[tuple[int, ...], ...]:
        return self.sizes()

    def output_shapes(self, x: Shape, outputs: int = 1) -> tuple[Shape, ...]:
        return tuple(pooled_shape(self.op_type(), x, size) for size in self.sizes())

    def reference(self, *inputs: Array) -> tuple[Array, ...]:
        (x,) = inputs
        self.output_shapes(x.shape)
        if self.mode == "max":
            return tuple(maximum(x, size)[0] for size in self.sizes())
        return tuple(average(x.astype(np.float64), s).astype(x.dtype) for s in self.sizes())
