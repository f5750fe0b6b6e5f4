"""PyramidUpsample: Y = concat(X, upsample(L_1), …): the levels of a pyramid beside its input."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from onnx.defs import OpSchema

from onnxpool.ops.op import Array, InvalidOp, Op, Shape, dialect_schema

MODES = ("align_corners", "half_pixel", "pytorch_half_pixel")
"""Those of ONNX's Resize that PyTorch has; the last two differ for a plane of one element."""


@dataclasses.dataclass(frozen=True)
class PyramidUpsample(Op):
    """Levels upsampled to the plane of X, bilinearly, and concatenated with it.

    Zhao et al.: Pyramid Scene Parsing Network, CVPR 2017, figure 3. As
    ``torch.cat([X, *(interpolate(L, X.shape[2:], mode="bilinear") for L in levels)], dim=1)``.

    Attributes:
        coordinate_transformation_mode: one of `MODES`.
        position: how many levels come before X in Y.

    Inputs: X, ``(N, C, H, W)``; L_1, …, each ``(N, C_l, H_l, W_l)``. A level that has the plane of
    X is copied.
    Outputs: Y, ``(N, C + ΣC_l, H, W)``.
    """

    coordinate_transformation_mode: str
    position: int

    schema = dialect_schema(
        "PyramidUpsample",
        "X and the levels of its pyramid, upsampled bilinearly to its plane, as one tensor.",
        parameters=[
            OpSchema.FormalParameter(
                "L",
                "T",
                "(N, C_l, H_l, W_l), one input per level",
                param_option=OpSchema.FormalParameterOption.Variadic,
            )
        ],
        outputs=[OpSchema.FormalParameter("Y", "T", "X with the channels of all inputs")],
        attributes=[
            OpSchema.Attribute(
                "coordinate_transformation_mode",
                OpSchema.AttrType.STRING,
                " or ".join(f'"{mode}"' for mode in MODES),
                required=True,
            ),
            OpSchema.Attribute(
                "position", OpSchema.AttrType.INT, "levels before X in Y", required=True
            ),
        ],
    )

    def __post_init__(self) -> None:
        mode = self.coordinate_transformation_mode
        if mode not in MODES:
            raise InvalidOp(
                f"PyramidUpsample takes a coordinate_transformation_mode of {' or '.join(MODES)}, "
                f"found {mode}"
            )
        if self.position < 0:
            raise InvalidOp(f"PyramidUpsample takes a position of 0 or more, found {self.position}")

    def output_shapes(self, x: Shape, outputs: int = 1) -> tuple[Shape, ...]:
        """With channels that are not known: `shapes_from` knows them."""
        if len(x) != 4:
            raise InvalidOp(f"PyramidUpsample takes inputs of rank 4, found rank {len(x)}")
        return ((x[0], None, *x[2:]),)

    def shapes_from(self, inputs: Sequence[Shape | None], outputs: int = 1) -> tuple[Shape, ...]:
        levels = len(inputs) - 1
        if self.position > levels:
            raise InvalidOp(
                f"PyramidUpsample with {levels} levels takes a position of at most {levels}, "
                f"found {self.position}"
            )
        known = [shape for shape in inputs if shape is not None]
        shapes = [self.output_shapes(shape)[0] for shape in known]
        batches = {shape[0] for shape in shapes if isinstance(shape[0], int)}
        if len(batches) > 1:
            raise InvalidOp(f"PyramidUpsample takes inputs of one batch, found {sorted(batches)}")
        channels = [shape[1] for shape in known]
        total = None
        if len(known) == len(inputs) and all(isinstance(c, int) for c in channels):
            total = sum(c for c in channels if isinstance(c, int))
        return ((shapes[0][0], total, *shapes[0][2:]),)

    def reference(self, *inputs: Array) -> tuple[Array, ...]:
        self.shapes_from([x.shape for x in inputs])
        x, *levels = inputs
        plane = x.shape[2:]
        parts = [self._upsampled(level, plane).astype(x.dtype) for level in levels]
        parts.insert(self.position, x)
        return (np.concatenate(parts, axis=1),)

    def _upsampled(self, level: Array, plane: Sequence[int]) -> Array:
        if level.shape[2:] == tuple(plane):
            return level
        y = level.astype(np.float64)
        with np.errstate(invalid="ignore"):
            for axis, size in enumerate(plane, start=2):
                below, above, weight = neighbours(
                    y.shape[axis], size, self.coordinate_transformation_mode
                )
                weight = weight.reshape(-1, *(1,) * (y.ndim - axis - 1))
                y = y.take(below, axis) * (1 - weight) + y.take(above, axis) * weight
        return y


def neighbours(length: int, size: int, mode: str) -> tuple[Array, Array, Array]:
    """Between which positions of an axis each of `size` outputs lies, and the share of the second.

    Where it lies on a position, both are that, with half a share each: an infinity times the share
    0 would be lost, or reach what it is not part of.
    """
    i = np.arange(size)
    if mode == "align_corners":
        # As a fraction, so that whole positions are whole.
        x = i * (length - 1) / max(size - 1, 1)
    elif mode == "pytorch_half_pixel" and size == 1:
        x = np.zeros(1)
    else:
        x = ((2 * i + 1) * length - size) / (2 * size)
    x = np.clip(x, 0, length - 1)
    below = np.floor(x).astype(np.int64)
    share = x - below
    return below, below + (share > 0), np.where(share > 0, share, 0.5)
