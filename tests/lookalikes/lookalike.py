"""Graphs that look like pooling: how they are written down.

A look-alike is a small model whose values a rewrite must not change, whether it leaves the graph as
it is or finds true pooling in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

Dims = Sequence[int | str]


@dataclasses.dataclass(frozen=True)
class Lookalike:
    """A model and what is known about it.

    Attributes:
        name: within its family.
        model: of one input X.
        plain: the same computation without bodies and calls; None where `model` has none.
        found: whether it is pooling, and a report has to say so.
    """

    name: str
    model: onnx.ModelProto
    plain: onnx.ModelProto | None = None
    found: bool = False


def lookalike(
    name: str,
    text: str,
    x: Dims = (1, 4, 8, 8),
    *,
    out: Sequence[str] = ("Y",),
    dtype: Any = np.float32,
    opset: int = 17,
    functions: Sequence[onnx.FunctionProto] = (),
    plain: str = "",
    found: bool = False,
    **constants: Any,
) -> Lookalike:
    """A model from nodes in ONNX's text form, one a line.

    Args:
        text: `Y = Op<attribute=1>(X, constant)` on each line.
        x: the dims of X; a symbol for an open one.
        out: names of the graph's outputs.
        dtype: of X, and of constants that are Python floats.
        plain: the text of the same computation without bodies and calls.
        constants: per name a value; Python integers become int64.
    """

    def made(nodes: str, functions: Sequence[onnx.FunctionProto]) -> onnx.ModelProto:
        return model(nodes, x, out, np.dtype(dtype), opset, functions, constants)

    return Lookalike(name, made(text, functions), made(plain, ()) if plain else None, found)


def model(
    text: str,
    x: Dims,
    out: Sequence[str],
    dtype: np.dtype[Any],
    opset: int,
    functions: Sequence[onnx.FunctionProto],
    constants: dict[str, Any],
) -> onnx.ModelProto:
    nodes = [parser.parse_node(line.strip()) for line in text.strip().splitlines() if line.strip()]
    graph = helper.make_graph(
        nodes,
        "lookalike",
        [helper.make_tensor_value_info("X", helper.np_dtype_to_tensor_dtype(dtype), list(x))],
        [helper.make_empty_tensor_value_info(name) for name in out],
        [numpy_helper.from_array(array(v, dtype), name) for name, v in constants.items()],
    )
    domains = dict.fromkeys(function.domain for function in functions)
    made = helper.make_model(
        graph,
        opset_imports=[
            helper.make_opsetid("", opset),
            *(helper.make_opsetid(d, 1) for d in domains),
        ],
        functions=list(functions),
        ir_version=8 if opset < 20 else 9 if opset < 21 else 10,
    )
    return _with_output_types(made)


def array(value: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Python's floats in `dtype`, its integers as int64; arrays as they are."""
    if isinstance(value, np.ndarray):
        return value
    plain = np.asarray(value)
    if plain.dtype.kind != "f":
        return plain
    return plain.astype(dtype if dtype.kind == "f" or dtype == ml_dtypes.bfloat16 else np.float32)


def _with_output_types(made: onnx.ModelProto) -> onnx.ModelProto:
    """ONNX Runtime and the checker want the element type of each output."""
    inferred = onnx.shape_inference.infer_shapes(made)
    known = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.output}
    for value in made.graph.output:
        value.type.tensor_type.elem_type = known[value.name] or onnx.TensorProto.FLOAT
    return made
