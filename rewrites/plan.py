"""What lowering would make of a construct, and whether that is better than what is there."""

from __future__ import annotations

import dataclasses
from collections import Counter

import onnx_graphsurgeon as gs

from onnxpool.ops.op import DOMAIN
from onnxpool.rewrites import lower
from onnxpool.rewrites.lift.construct import Construct, shape_of


@dataclasses.dataclass(frozen=True)
class Plan:
    """Attributes:
    better: whether to rewrite.
    detail: the strategy, or why not.
    """

    better: bool
    detail: str


def plan(construct: Construct, opset: int, strategy: str, *, repair: bool = True) -> Plan:
    """Lower `construct` in a graph of its own and compare.

    What has the ops of its own lowering already is in the best form that the strategy knows.

    Args:
        repair: whether to rewrite what is not right at every size.
    """
    if construct.repair and not repair:
        return Plan(False, "not right at every size; rewrite without --no-repair to repair it")
    if construct.best:
        return Plan(False, construct.best)
    graph = _graph_of(construct, opset)
    try:
        used = lower.lower(graph, graph.nodes[0], opset, strategy)
    except lower.Unsupported as reason:
        return Plan(False, str(reason))
    if not construct.repair and _ops(graph.nodes) == _ops(construct.nodes):
        return Plan(False, "in the best form already")
    return Plan(True, used)


def _graph_of(construct: Construct, opset: int) -> gs.Graph:
    op, x = construct.op, construct.x
    shapes = op.output_shapes(shape_of(x) or (), len(construct.regions))
    outputs = [gs.Variable(f"Y{i}", x.dtype, list(shape)) for i, shape in enumerate(shapes)]
    inputs = [gs.Variable("X", x.dtype, x.shape), *map(_copy, construct.parameters)]
    node = gs.Node(
        op.op_type(), "node", op.attributes(), inputs=inputs, outputs=outputs, domain=DOMAIN
    )
    return gs.Graph([node], inputs=inputs[:1], outputs=outputs, opset=opset)


def _copy(parameter: gs.Tensor) -> gs.Tensor:
    if isinstance(parameter, gs.Constant):
        return gs.Constant("p", parameter.values)
    return gs.Variable("p", parameter.dtype, parameter.shape)


def _ops(nodes: list[gs.Node] | tuple[gs.Node, ...]) -> Counter[str]:
    return Counter(node.op for node in nodes if node.op != "Constant")
