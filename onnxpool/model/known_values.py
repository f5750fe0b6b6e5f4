"""Small tensors that a graph computes of constants alone, as constants: shapes follow from them.

onnx infers through axes, bounds and sizes that are constants, not through what computes those: a
Cast, an Identity or a Mul in between is enough for it to lose the rank of all that follows.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto, numpy_helper

from onnxpool.model.skeleton import is_small
from onnxpool.ops.op import Array
from onnxpool.rewrites.graph import small_values

_LARGEST = small_values.MOST


def put_known_values(graph: GraphProto) -> None:
    """Put a Constant in the place of each node whose small output follows from constants.

    Args:
        graph: a copy to infer shapes of. It is changed.
    """
    given = {value.name for value in graph.input}
    stored = (t for t in graph.initializer if t.name not in given)
    known = {t.name: value for t in stored if (value := _array(t)) is not None}
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or len(node.output) != 1:
            continue
        if node.op_type == "Constant":
            value = _constant(node)
        elif node.input and all(name in known for name in node.input):
            value = small_values.compute(node, [known[name] for name in node.input])
        else:
            continue
        if value is not None and value.size <= _LARGEST:
            known[node.output[0]] = value
            if node.op_type != "Constant":
                _become(node, value)


def _constant(node: NodeProto) -> Array | None:
    (attribute,) = node.attribute or (None,)
    if attribute is None or attribute.ref_attr_name:
        return None
    if attribute.name == "value":
        return _array(attribute.t)
    if attribute.name in ("value_int", "value_ints"):
        return np.asarray(onnx.helper.get_attribute_value(attribute), np.int64)
    if attribute.name in ("value_float", "value_floats"):
        return np.asarray(onnx.helper.get_attribute_value(attribute), np.float32)
    return None


def _array(tensor: TensorProto) -> Array | None:
    """The values of a small tensor that holds them."""
    if not is_small(tensor) or tensor.data_location == TensorProto.EXTERNAL:
        return None
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError):
        return None  # One that holds fewer than it says, or is of no type of NumPy's.


def _become(node: NodeProto, value: Array) -> None:
    constant = onnx.helper.make_node("Constant", [], node.output, node.name)
    constant.attribute.append(
        onnx.helper.make_attribute("value", numpy_helper.from_array(np.ascontiguousarray(value)))
    )
    node.CopyFrom(constant)
