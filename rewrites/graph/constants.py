"""Which tensors of a graph are constant, and what they hold."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array

_RANDOM = frozenset(
    [
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
    ]
)
_STRINGS = frozenset(["StringConcat", "StringNormalizer", "StringSplit", "RegexFullMatch"])
"""Ops that nothing about a shape is computed with, and whose operands may be of any length."""


def is_standard(node: gs.Node) -> bool:
    return node.domain in (None, "", "ai.onnx")


def has_reference(node: gs.Node) -> bool:
    """Whether a value of an attribute is given by who calls the function around the node."""
    return any(isinstance(value, gs.Node.AttributeRef) for value in node.attrs.values())


def runs_as_constant(node: gs.Node) -> bool:
    """Whether a node may be run to know what it makes of constants: it has no body, for one."""
    texts = node.op in _STRINGS or node.attrs.get("to") == onnx.TensorProto.STRING
    texts |= "value_string" in node.attrs or "value_strings" in node.attrs
    plain = node.op not in _RANDOM and is_standard(node) and not any(node.subgraphs())
    return plain and not texts


def constant_names(graph: gs.Graph) -> frozenset[str]:
    """Names of the Variables that are computed from constants alone."""
    names: set[str] = set()
    for node in graph.nodes:
        if runs_as_constant(node) and all(is_constant(tensor, names) for tensor in node.inputs):
            names.update(tensor.name for tensor in node.outputs)
    return frozenset(names)


def is_constant(tensor: gs.Tensor, names: frozenset[str] | set[str]) -> bool:
    return isinstance(tensor, gs.Constant) or not tensor.name or tensor.name in names


def head(constant: gs.Constant, count: int) -> Array:
    """The first values of a constant, without decoding the rest where it is stored raw."""
    stored = constant._values
    proto = getattr(stored, "tensor", None)
    if isinstance(proto, onnx.TensorProto) and proto.HasField("raw_data"):
        dtype = onnx.helper.tensor_dtype_to_np_dtype(proto.data_type)
        return np.frombuffer(proto.raw_data[: count * dtype.itemsize], dtype)
    return np.asarray(constant.values).reshape(-1)[:count]
