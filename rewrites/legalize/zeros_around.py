"""An average that counts its padding, as zeros that are there.

AveragePool<pads, count_include_pad=1>(X) = AveragePool(Pad(X, pads))
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import numpy_type
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.replacement import Replacement


def counts_padding(node: gs.Node) -> bool:
    """Whether an AveragePool takes its padding for zeros."""
    return bool(node.attrs.get("count_include_pad", 0)) and any(node.attrs.get("pads", ()))


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    x, *rest = node.inputs
    if node.op == "AveragePool" and not counts_padding(node):
        raise Unsupported("its windows at the edge average fewer positions")
    if x.shape is None or x.dtype is None:
        raise Unsupported("the rank or the type of its input is not known")
    if node.attrs.get("ceil_mode", 0):
        raise Unsupported("its last windows may hang over the edge (ceil_mode)")
    attributes = {
        name: value
        for name, value in node.attrs.items()
        if name not in ("pads", "count_include_pad")
    }
    pads = node.attrs.get("pads", ())
    k = len(pads) // 2
    amounts = b.integers([0, 0, *pads[:k], 0, 0, *pads[k:]])
    plane = [
        dim + start + end if isinstance(dim, int) else None
        for dim, start, end in zip(x.shape[2:], pads[:k], pads[k:], strict=True)
    ]
    zero = b.scalar(0, np.dtype(numpy_type(x.dtype)))
    padded = b.node("Pad", [x, amounts, zero], (*x.shape[:2], *plane))
    return b.outputs(node.op, [padded, *rest], node.outputs, **attributes)


ZEROS_AROUND = Replacement("Pad before it", emit)
