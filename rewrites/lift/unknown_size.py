"""Declined: pooling whose output size cannot be read off, because a size is not fixed."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.constants import is_constant
from onnxpool.rewrites.graph.tensors import is_float, shape_of
from onnxpool.rewrites.lift.construct import Declined
from onnxpool.rewrites.lift.single_node import is_pool
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role
from onnxpool.rewrites.region.size import is_unknown


def judge(region: Region) -> Declined | None:
    x, y = shape_of(region.x), shape_of(region.y)
    if not is_unknown(x, y) or not any(
        is_pool(node) or node.op == "GatherND" for node in region.nodes
    ):
        return None
    return Declined(region, f"its sizes are not fixed: {_text(x)} to {_text(y)}")


def judge_gather(y: gs.Variable, constants: frozenset[str]) -> Declined | None:
    """Judge a GatherND that reads positions which the graph computes: a dynamic export."""
    (node,) = y.inputs
    if node.op != "GatherND" or not is_float(y.dtype) or is_constant(node.inputs[1], constants):
        return None
    return Declined(
        Region(node.inputs[0], y, (node,), Role.MOVE),
        "elements gathered at positions that the graph computes, in no form of pooling that is "
        "known: if the source pools here, onnxpool validate tells at which sizes it is right",
    )


def _text(shape: tuple[int | str | None, ...] | None) -> str:
    return "an unknown shape" if shape is None else f"[{', '.join(str(d or '?') for d in shape)}]"
