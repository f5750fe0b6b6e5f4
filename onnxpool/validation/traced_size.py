"""Sizes at which a model may have been traced, where it is right at none that were tried.

A model with numbers of its traced size baked in is right there and nowhere else, so that the sweep
finds no size at which it is right, and no first difference. Its tensors still say something: those
with declared sizes are as long as the input, or shorter by a stride. Else it is one of the sizes
that networks are usually traced at.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from onnxpool.inputs.sizes import Axes

USUAL = (224, 256, 384, 512, 640, 32, 64, 128, 192, 320, 299, 448, 518)

_STRIDES = (1, 2, 4, 8, 16, 32)
_LEAST, _GREATEST = 8, 640
_MOST = 16


def candidates(model: onnx.ModelProto, axes: Axes) -> list[dict[str, int]]:
    """Points to try, the most likely first: a size for each swept symbol."""
    count = len(axes.swept)
    planes = dict.fromkeys(_declared(model, count))
    declared = [tuple(s * size for size in plane) for s in _STRIDES for plane in planes]
    fitting = [p for p in declared if all(_LEAST <= size <= _GREATEST for size in p)]
    usual = [(size,) * count for size in USUAL]
    found = dict.fromkeys((*fitting[:_MOST], *usual))
    return [dict(zip(axes.swept, sizes, strict=True)) for sizes in found if sizes]


def _declared(model: onnx.ModelProto, count: int) -> Iterator[tuple[int, ...]]:
    """The last sizes of tensors `(N, C, D1, …)` that say them all; the longest first."""
    planes = set()
    for value in (*model.graph.value_info, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        plane = tuple(dim.dim_value for dim in dims[-count:])
        if count and len(dims) > count and all(plane):
            planes.add(plane)
    yield from sorted(planes, key=lambda plane: (-min(plane), plane))
