"""Attributes that a node leaves to their defaults, written out.

Conv(X, W)   = Conv<kernel_shape = sizes of W>(X, W)
Resize(X, …) = Resize<mode = nearest, coordinate_transformation_mode = half_pixel>(X, …)
BatchNormalization(X, …) = BatchNormalization<epsilon = 1e-5>(X, …)    and InstanceNormalization
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement

NORMALIZATIONS = ("BatchNormalization", "InstanceNormalization")


def _missing(node: gs.Node) -> dict[str, Any]:
    """The defaults of the attributes that `node` has not."""
    defaults: dict[str, Any] = {}
    if node.op == "Resize":
        defaults |= {"mode": "nearest", "coordinate_transformation_mode": "half_pixel"}
    if node.op in NORMALIZATIONS:
        defaults["epsilon"] = 1e-5
    weights = node.inputs[1].shape if node.op in ("Conv", "ConvTranspose") else None
    if weights is not None and all(isinstance(size, int) for size in weights):
        defaults["kernel_shape"] = list(weights[2:])
    return {name: value for name, value in defaults.items() if name not in node.attrs}


def applies(node: gs.Node) -> bool:
    return bool(_missing(node))


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    missing = _missing(node)
    if not missing:
        raise Unsupported("its attributes are written out, or the sizes of its weights not known")
    return b.outputs(node.op, node.inputs, node.outputs, **node.attrs, **missing)


WRITTEN_OUT = Replacement("attributes written out", emit)
