"""A node of the dialect that came with the model, as `onnxpool.export` writes it: what it says."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxpool.ops import DIALECT, DOMAIN, InvalidOp
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.lift.region import Region
from onnxpool.rewrites.lift.roles import Role

_OPS = {op.op_type(): op for op in DIALECT}


def applies(node: gs.Node) -> bool:
    return node.domain == DOMAIN


def judge(node: gs.Node) -> Construct | Declined:
    x, *parameters = node.inputs
    regions = [Region(x, y, (node,), Role(0)) if y.name else None for y in node.outputs]
    try:
        if node.op not in _OPS:
            raise InvalidOp(f"the dialect has no op {node.op!r}; it has {', '.join(_OPS)}")
        op = _OPS[node.op].from_attributes(node.attrs)
    except InvalidOp as error:
        (first, *_) = [region for region in regions if region is not None]
        return Declined(first, str(error))
    return Construct(op, tuple(regions), tuple(parameters))
