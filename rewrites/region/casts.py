"""Casts between floating-point types inside a region: what fp16 converters and ONNX Runtime insert.

The ops of the dialect compute halves in float32 and round once. So a region of halves that goes to
float32 and back computes what its op does; one that rounds its input, or that computes in more
than float32, does not. A Cast to the type that its input has is a copy, as Identity is, and
Dropout where nothing is trained.
"""

from __future__ import annotations

import itertools

import onnx
import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.tensors import is_float, is_half, onnx_type
from onnxpool.rewrites.region.region import Region


def is_float_cast(node: gs.Node) -> bool:
    """Whether a node is a Cast from one floating-point type to another."""
    floats = node.op == "Cast" and all(is_float(t.dtype) for t in (*node.inputs, *node.outputs))
    return floats and not is_copy(node)


def is_copy(node: gs.Node) -> bool:
    """Whether a node gives what it reads, whatever that is."""
    types = {onnx_type(t.dtype) for t in (*node.inputs, *node.outputs)}
    same = len(types) == 1 and is_float(node.outputs[0].dtype)
    return node.op in ("Identity", "Dropout") or (node.op == "Cast" and same)


def has_casts(region: Region) -> bool:
    return any(map(is_float_cast, region.nodes))


def is_one_node(region: Region) -> bool:
    """Whether there are Casts and copies around one node, which is judged without them."""
    around = (node for node in region.nodes if not (is_copy(node) or is_float_cast(node)))
    others = len(list(itertools.islice(around, 2)))
    return others < 2 and others < len(region.nodes)


def changes_type(region: Region) -> bool:
    """Whether its values leave in another type than they come in."""
    types = {onnx_type(tensor.dtype) for tensor in (region.x, region.y)}
    return len(types) > 1 and is_float(region.y.dtype) and has_casts(region)


def rounding(region: Region) -> str | None:
    """Why its Casts are no part of an op of the dialect; None where they are, or there are none."""
    wanted = {onnx_type(region.x.dtype), int(onnx.TensorProto.FLOAT)}
    for node in filter(is_float_cast, region.nodes):
        if not is_half(region.x.dtype) or onnx_type(node.outputs[0].dtype) not in wanted:
            name = onnx.TensorProto.DataType.Name(onnx_type(node.outputs[0].dtype)).lower()
            return f"a Cast to {name}, which rounds as the op does not"
    return None
