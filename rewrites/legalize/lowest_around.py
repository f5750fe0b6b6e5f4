"""A maximum that passes over its padding, with the lowest number there.

MaxPool<pads>(X) = MaxPool(Concat(lowest, X, lowest))
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder
from onnxpool.rewrites.graph.tensors import is_float, numpy_type
from onnxpool.rewrites.graph.unsupported import Unsupported
from onnxpool.rewrites.legalize.pad_by_concat import surrounded
from onnxpool.rewrites.legalize.replacement import Replacement

_NEVER_NEGATIVE = ("Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Softplus", "Sqrt")


def pads_what_may_be_negative(node: gs.Node) -> bool:
    """Whether zeros in the place of padding may be the maximum."""
    producers = node.inputs[0].inputs
    positive = bool(producers) and producers[0].op in _NEVER_NEGATIVE
    return any(node.attrs.get("pads", ())) and not positive


def emit(b: Builder, node: gs.Node) -> Sequence[gs.Tensor]:
    (x,) = node.inputs
    pads = list(node.attrs.get("pads", ()))
    if not any(pads):
        raise Unsupported("it has no pads")
    if node.attrs.get("ceil_mode", 0) or b.wanted_outputs() > 1:
        raise Unsupported("its last windows may hang over the edge (ceil_mode), or it has indices")
    if x.shape is None or not all(isinstance(dim, int) for dim in x.shape) or not is_float(x.dtype):
        raise Unsupported("its sizes are known to the runtime alone, or it is of integers")
    k = len(pads) // 2
    around = [(0, 0), (0, 0), *zip(pads[:k], pads[k:], strict=True)]
    lowest = float(np.finfo(numpy_type(x.dtype)).min)
    attributes = {name: value for name, value in node.attrs.items() if name != "pads"}
    return b.outputs("MaxPool", [surrounded(b, x, around, lowest)], node.outputs[:1], **attributes)


LOWEST_AROUND = Replacement("Concat with the lowest number before it", emit)
