"""Constant nodes: `value_int` and the like start at opset 12.

Constant<value_int=i>  =  Constant<value=tensor(i)>
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.builder import Builder

_DTYPES = {"value_float": np.float32, "value_floats": np.float32}


def rewrite(b: Builder, node: gs.Node, source: int) -> Sequence[gs.Tensor]:
    ((name, value),) = node.attrs.items()
    if name not in ("value", "sparse_value", "value_string", "value_strings"):
        value = gs.Constant("value", np.asarray(value, _DTYPES.get(name, np.int64)))
        name = "value"
    return b.outputs("Constant", [], node.outputs, **{name: value})
