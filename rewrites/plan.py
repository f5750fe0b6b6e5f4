"""What lowering would make of a construct, and whether that is better than what is there."""

from __future__ import annotations

import dataclasses
from collections import Counter

import onnx
import onnx_graphsurgeon as gs

from onnxpool.ops import PyramidPool
from onnxpool.ops.op import DOMAIN
from onnxpool.rewrites import lower
from onnxpool.rewrites.graph.tensors import onnx_type, shape_of
from onnxpool.rewrites.lift.construct import Construct
from onnxpool.rewrites.lower.function_body import Bodies, Signature


@dataclasses.dataclass(frozen=True)
class Plan:
    """Attributes:
    better: whether to rewrite.
    detail: the strategy, or why not.
    custom_op: whether it becomes, or stays, a node of the dialect with a function body.
    """

    better: bool
    detail: str
    custom_op: bool = False


def plan(
    construct: Construct,
    opset: int,
    strategy: str,
    bodies: Bodies | None = None,
    *,
    repair: bool = True,
) -> Plan:
    """What to make of `construct`: standard ops, or, given `bodies`, a custom op where that can be.

    Args:
        opset: the opset of its graph.
        strategy: what standard ops it is made of.
        bodies: those of the model; one is added where it is missing.
        repair: whether to rewrite what is not right at every size.
    """
    if construct.repair and not repair:
        return Plan(False, "not right at every size; rewrite without --no-repair to repair it")
    if bodies is None:
        return _as_standard_ops(construct, opset, strategy)
    try:
        return _as_custom_op(construct, opset, bodies)
    except lower.Unsupported as reason:
        standard = _as_standard_ops(construct, opset, strategy)
        return Plan(standard.better, f"{standard.detail}; no custom op: {reason}")


def _as_custom_op(construct: Construct, opset: int, bodies: Bodies) -> Plan:
    """A kernel is ahead of every form of several nodes; and it reads X once for all levels.

    Raises:
        Unsupported: there is no kernel, or there can be no body.
    """
    if construct.best and not isinstance(construct.op, PyramidPool):
        return Plan(False, construct.best)
    if construct.is_dialect_node and construct.op.op_type() in bodies.in_model:
        return Plan(False, "a custom op already")
    dtype = onnx_type(construct.x.dtype)
    if dtype == onnx.TensorProto.BFLOAT16:
        raise lower.Unsupported("the library has no kernel for bfloat16")
    inputs, outputs = 1 + len(construct.parameters), len(construct.regions)
    opset = bodies.opset or opset
    bodies.provide(Signature.of(construct.op, dtype, opset, inputs=inputs, outputs=outputs))
    return Plan(True, "custom op", custom_op=True)


def _as_standard_ops(construct: Construct, opset: int, strategy: str) -> Plan:
    """Lower `construct` in a graph of its own and compare.

    What has the ops of its own lowering already is in the best form that the strategy knows.
    """
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
    used = [y for y, r in zip(outputs, construct.regions, strict=True) if r is not None]
    return gs.Graph([node], inputs=inputs[:1], outputs=used, opset=opset)


def _copy(parameter: gs.Tensor) -> gs.Tensor:
    if isinstance(parameter, gs.Constant):
        return gs.Constant("p", parameter.values)
    return gs.Variable("p", parameter.dtype, parameter.shape)


def _ops(nodes: list[gs.Node] | tuple[gs.Node, ...]) -> Counter[str]:
    return Counter(node.op for node in nodes if node.op != "Constant")
