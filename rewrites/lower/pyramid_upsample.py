"""PyramidUpsample as standard ops: a Resize for each level, and a Concat.

The size of each comes from X where that is not known. Where it is, what `rewrite` writes turns a
Resize of a few pixels into products (pipeline/upsampling.py); a function body keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.pyramid_upsample import PyramidUpsample
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.unsupported import Unsupported

MIN_OPSET = 11
"""The first in which Resize takes sizes, and says how it finds its coordinates."""

_OPTIONAL_SCALES = 13


def lower_pyramid_upsample(
    b: Builder, op: PyramidUpsample, inputs: Sequence[gs.Tensor], outputs: int, strategy: str
) -> tuple[list[gs.Tensor], str]:
    if b.opset < MIN_OPSET:
        raise Unsupported(
            f"opset {b.opset} is below {MIN_OPSET}, the first in which Resize takes sizes; convert "
            "the model first"
        )
    mode = op.coordinate_transformation_mode
    return [upsample_and_join(b, inputs, mode, op.position)], "resize"


def upsample_and_join(
    b: Builder, inputs: Sequence[gs.Tensor], mode: Any, position: int
) -> gs.Variable:
    """Y, from X and the levels.

    Args:
        mode: the coordinate_transformation_mode, or a reference to it in a function.
    """
    x, *levels = inputs
    parts = [_upsampled(b, level, x, mode) for level in levels]
    parts.insert(position, x)
    return b.node("Concat", parts, _joined_shape(parts), axis=1)


def _upsampled(b: Builder, level: gs.Tensor, x: gs.Tensor, mode: Any) -> gs.Tensor:
    shape = (None,) * 4 if level.shape is None or x.shape is None else _shape(level, x)
    # Unused, but no input before opset 13 may be left out.
    unused = [gs.Variable.empty()] * 2
    if b.opset < _OPTIONAL_SCALES:
        unused = [b.constant("none", np.zeros(0, np.float32))] * 2
    return b.node(
        "Resize",
        [level, *unused, _sizes(b, level, x, shape)],
        shape,
        mode="linear",
        coordinate_transformation_mode=mode,
    )


def _sizes(b: Builder, level: gs.Tensor, x: gs.Tensor, shape: Sequence[Any]) -> gs.Tensor:
    known = [dim for dim in shape if isinstance(dim, int)]
    if len(known) == len(shape):
        return b.integers(known)
    lead, plane = (
        b.node("Slice", [_shape_of(b, t), b.integers([start]), b.integers([end])], (2,), np.int64)
        for t, start, end in ((level, 0, 2), (x, 2, 4))
    )
    return b.node("Concat", [lead, plane], (4,), axis=0)


def _shape_of(b: Builder, tensor: gs.Tensor) -> gs.Tensor:
    return b.shared("Shape", [tensor], (4,), np.dtype(np.int64))


def _shape(level: gs.Tensor, x: gs.Tensor) -> tuple[Any, ...]:
    return (*level.shape[:2], *x.shape[2:])


def _joined_shape(parts: Sequence[gs.Tensor]) -> tuple[Any, ...]:
    channels = [part.shape[1] if part.shape is not None else None for part in parts]
    known = [c for c in channels if isinstance(c, int)]
    total = sum(known) if len(known) == len(channels) else None
    first = next((part.shape for part in parts if part.shape is not None), (None,) * 4)
    return (first[0], total, *first[2:])
