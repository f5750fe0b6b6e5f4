"""Resize: axes, antialias and aspect ratio start at opset 18; scales and roi may be absent from 13.

Resize<axes>(X, scales)  =  Resize(X, scales with 1 on the other axes)
Resize<axes>(X, sizes)   =  Resize(X, sizes with those of X on the other axes)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array
from onnxpool.rewrites.convert import upsample
from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.run import known_value
from onnxpool.rewrites.graph.unsupported import Unsupported

SAYS_HOW_IT_SAMPLES = 11
INPUTS_MAY_BE_ABSENT = 13
AXES = 18
HALF_PIXEL_SYMMETRIC = 19
_SAYS_NOTHING = {"antialias": 0, "keep_aspect_ratio_policy": "stretch"}


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    if source < SAYS_HOW_IT_SAMPLES:
        return upsample.rewrite(b, node, source)
    x, *rest = node.inputs
    roi, scales, sizes = (*rest, *[gs.Variable.empty()] * 3)[:3]
    attributes = dict(node.attrs)
    mode = attributes.get("coordinate_transformation_mode", "half_pixel")
    if mode == "half_pixel_symmetric" and b.opset < HALF_PIXEL_SYMMETRIC:
        raise Unsupported(f"opset {b.opset} has no {mode}; it starts at opset 19")
    if b.opset < AXES:
        for name, nothing in _SAYS_NOTHING.items():
            if attributes.pop(name, nothing) != nothing:
                raise Unsupported(f"opset {b.opset} has no {name} of Resize")
        if (axes := attributes.pop("axes", None)) is not None:
            roi, scales, sizes = _for_all_axes(b, node, axes, source)
    if b.opset < INPUTS_MAY_BE_ABSENT:
        roi, scales = (t if t.name else _nothing(b) for t in (roi, scales))
    elif source < INPUTS_MAY_BE_ABSENT and sizes.name:
        scales = gs.Variable.empty()
    return b.outputs("Resize", [x, roi, scales, sizes], node.outputs, **attributes)


def _for_all_axes(
    b: Builder, node: gs.Node, axes: Sequence[int], source: int
) -> tuple[gs.Tensor, gs.Tensor, gs.Tensor]:
    x, *rest = node.inputs
    roi, scales, sizes = (*rest, *[gs.Variable.empty()] * 3)[:3]
    if roi.name and node.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        raise Unsupported("it crops on some axes, which older opsets cannot say")
    if x.shape is None:
        raise Unsupported(f"the rank of its input {x.name!r} is not known")
    empty = gs.Variable.empty()
    if scales.name:
        values = _known(scales, source)
        full = np.ones(len(x.shape), np.float32)
        full[list(axes)] = values
        return empty, b.constant(f"scales_{'_'.join(f'{s:g}' for s in full)}", full), empty
    lengths = list(x.shape)
    for axis, size in zip(axes, _known(sizes, source), strict=True):
        lengths[axis] = int(size)
    if not all(isinstance(length, int) for length in lengths):
        raise Unsupported("it keeps sizes that only the runtime knows")
    return empty, empty, b.integers(lengths)


def _known(tensor: gs.Tensor, source: int) -> Array:
    values = known_value(tensor, source)
    if values is None:
        raise Unsupported("its sizes are computed for some axes, which older opsets cannot say")
    return values


def _nothing(b: Builder) -> gs.Constant:
    return b.constant("nothing", np.zeros(0, np.float32))
