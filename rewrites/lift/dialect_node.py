"""A pool of the dialect that came with the model, as `onnxpool.export` writes it: what it says."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxpool.ops import DOMAIN, POOLS, InvalidOp, PyramidUpsample
from onnxpool.rewrites.graph.cut import needs_constants_alone
from onnxpool.rewrites.graph.run import RunError, evaluate
from onnxpool.rewrites.graph.verify import verify_node
from onnxpool.rewrites.lift.construct import Construct, Declined, whole_node

_OPS = {op.op_type(): op for op in POOLS}


def applies(node: gs.Node) -> bool:
    return bool(node.domain == DOMAIN and node.op != PyramidUpsample.op_type())


def judge(node: gs.Node, opset: int, outputs: set[str]) -> Construct | Declined:
    """Judge a node that `applies`, in a graph whose outputs have these names."""
    regions = whole_node(node, outputs)
    try:
        verify_node(node)
    except InvalidOp as error:
        (first, *_) = [region for region in regions if region is not None]
        return Declined(first, str(error))
    op = _OPS[node.op].from_attributes(node.attrs)
    return Construct(op, regions, tuple(_folded(p, opset) for p in node.inputs[1:]))


def _folded(parameter: gs.Tensor, opset: int) -> gs.Tensor:
    """A parameter as a constant, where nodes compute it of constants."""
    if isinstance(parameter, gs.Constant) or not needs_constants_alone(parameter):
        return parameter
    try:
        value = evaluate(parameter, opset)
    except RunError:
        return parameter
    return gs.Constant(f"{parameter.name}/onnxpool/folded", value)
