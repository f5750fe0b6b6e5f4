"""What lowering would make of a construct, and whether that is better than what is there."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxpool.ops import AdaptiveMaxPool, PyramidPool
from onnxpool.ops.op import DOMAIN, MOST_SIZES, Op
from onnxpool.rewrites import lower
from onnxpool.rewrites.graph.tensors import is_float, numpy_type, onnx_type
from onnxpool.rewrites.lift.construct import Construct, around
from onnxpool.rewrites.lower.function_body import Bodies, Signature
from onnxpool.rewrites.region.casts import is_copy

_COST_NOTHING = frozenset(
    ["Abs", "Add", "Cast", "Clip", "Div", "Max", "Min", "Mul", "Pad", "Relu", "Slice"]
) | frozenset(["Split", "Sub", "Where"])
"""To leave these out alone is no reason to touch a graph."""

_MOVE_NOTHING = frozenset(("Flatten", "Reshape", "Squeeze", "Unsqueeze"))
_FASTER_POWERS = ("exp-log", "products")

_MOST_POSITIONS = 1 << 22
"""Of a plane of fixed size."""
_FEW_ELEMENTS = 1 << 15
"""Of X: most of the time is that of the nodes."""
_POOLING = frozenset(
    ["AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "ReduceMax", "ReduceMean"]
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Attributes:
    better: whether to rewrite.
    detail: the strategy, or why not.
    custom_op: whether it becomes, or stays, a node of the dialect with a function body.
    strategy: what standard ops it is made of.
    """

    better: bool
    detail: str
    custom_op: bool = False
    strategy: str = "auto"


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
    if construct.x.dtype is not None and not is_float(construct.x.dtype):
        kind = numpy_type(construct.x.dtype)
        return Plan(False, construct.best or f"pooling of {kind} stays in the form that it has")
    if too_large := _too_large(construct):
        return Plan(False, too_large)
    if construct.repair and not repair:
        return Plan(False, "not right at every size; rewrite without --no-repair to repair it")
    if construct.repair and construct.repair.waits_for:
        return Plan(False, f"not repaired before the size of {construct.repair.waits_for} is known")
    if bodies is None:
        return _as_standard_ops(construct, opset, strategy)
    try:
        if construct.layout is not None:
            raise lower.Unsupported("its pooled axes are not the last ones")
        return _as_custom_op(construct, opset, bodies)
    except lower.Unsupported as reason:
        standard = _as_standard_ops(construct, opset, strategy)
        return dataclasses.replace(standard, detail=f"{standard.detail}; no custom op: {reason}")


def _too_large(construct: Construct) -> str:
    """Why what takes its place could not be checked."""
    size = construct.op.each_size[0]
    plane = [dim for dim in construct.op_shape[-len(size) :] if isinstance(dim, int)]
    count = math.prod(plane)
    if construct.best or count <= _MOST_POSITIONS:
        return ""
    return f"too large to try: a plane of {count:,} positions, at most {_MOST_POSITIONS:,}"


def _as_custom_op(construct: Construct, opset: int, bodies: Bodies) -> Plan:
    """A kernel is ahead of every form of several nodes; and it reads X once for all levels.

    Raises:
        Unsupported: there is no kernel, or there can be no body.
    """
    why_not = "" if isinstance(construct.op, PyramidPool) else construct.best
    why_not = why_not or _one_node(construct) * (not construct.is_wrong)
    if why_not and not _is_lowered(construct):
        return Plan(False, why_not)
    if construct.is_dialect_node and construct.op.op_type() in bodies.in_model:
        return Plan(False, "a custom op already")
    dtype = onnx_type(construct.x.dtype)
    if dtype == onnx.TensorProto.BFLOAT16:
        raise lower.Unsupported("the library has no kernel for bfloat16")
    epsilon = getattr(construct.op, "epsilon", None)
    if dtype == onnx.TensorProto.DOUBLE and epsilon not in (None, _float32(epsilon)):
        raise lower.Unsupported(f"epsilon {epsilon} is no float32, as attributes are")
    parameters = len(construct.parameters) or bool(construct.shares)
    inputs, outputs = 1 + parameters, len(construct.regions)
    opset = bodies.opset or opset
    bodies.provide(Signature.of(construct.op, dtype, opset, inputs=inputs, outputs=outputs))
    return Plan(True, "custom op", custom_op=True)


def _is_lowered(construct: Construct) -> bool:
    """Whether it is one node that this package wrote, by its name.

    A kernel is 1.1 to 1.7 times faster than AveragePool. What others wrote stays all the same.
    """
    first, *others = construct.nodes
    written = f"{construct.found[0].y.name}/{construct.op.op_type()}/"
    return not others and bool(first.name) and first.name.startswith(written)


def _as_standard_ops(construct: Construct, opset: int, strategy: str) -> Plan:
    """Lower `construct` in a graph of its own and compare.

    What has the ops of its own lowering already is in the best form that the strategy knows.
    """
    if construct.best:
        return Plan(False, construct.best)
    if (why_not := _one_node(construct)) and not construct.is_wrong:
        return Plan(False, why_not)
    if not construct.op_shape:
        return Plan(False, f"the rank of its input {construct.x.name!r} is not known")
    strategy = _strategy(construct, strategy)
    graph = _graph_of(construct, opset)
    try:
        used = lower.lower(graph, graph.nodes[0], opset, strategy)
    except lower.Unsupported as reason:
        return Plan(False, str(reason))
    after = _ops(graph.nodes)
    if construct.layout is None:
        why_not = _not_worth_it(_ops(construct.nodes), after)
    else:
        before = _ops(construct.nodes)
        why_not = _no_gain(before, after + _ops(around(construct, opset)), used)
        why_not = why_not or _as_fast_by_windows(construct, before)
    if why_not and not (construct.is_wrong or construct.holds_dialect_node):
        return Plan(False, why_not)
    return Plan(True, used, strategy=strategy)


def _strategy(construct: Construct, strategy: str) -> str:
    """The strategy that keeps what the source makes of a window that is -inf throughout.

    There ONNX Runtime's ReduceMax answers -inf, and its MaxPool the lowest finite number.
    """
    if construct.is_wrong or construct.is_dialect_node or not _is_maximum(construct.op):
        return strategy
    if strategy not in ("auto", "matmul"):
        return strategy
    return "pool" if construct.uses_max_pool else "slice"


def _float32(value: float | None) -> float | None:
    """The value as an attribute holds it."""
    return None if value is None else float(np.float32(value))


def _one_node(construct: Construct) -> str:
    """Why a construct should stay that is one standard node, but for what costs nothing."""
    if construct.is_dialect_node:
        return ""
    counted = [node for node in construct.nodes if not _is_of_sizes(node)]
    costly = [op for op in _ops(counted).elements() if op not in _COST_NOTHING]
    moves = "Transpose" in costly
    computes_sizes = len(counted) < len(construct.nodes)
    if construct.layout is not None or computes_sizes:
        costly = [op for op in costly if op not in _MOVE_NOTHING and op != "Transpose"]
    gains = construct.layout is not None and (moves or not computes_sizes)
    if gains and costly and costly[0].startswith("Reduce"):
        return ""
    return f"one {costly[0]} already" if len(costly) == 1 and costly[0] in _POOLING else ""


def _is_of_sizes(node: gs.Node) -> bool:
    """Whether a node computes of sizes what is known before a model runs, where they are fixed."""
    return not any(is_float(y.dtype) for y in node.outputs)


def _not_worth_it(before: Counter[str], after: Counter[str]) -> str:
    """Why a form should stay: the other is the same, or only leaves out what costs nothing."""
    if before == after:
        return "in the best form already"
    if not after - before and set(before - after) <= _COST_NOTHING:
        return f"in the best form already, but for {', '.join(sorted(before - after))}"
    return ""


def _no_gain(before: Counter[str], after: Counter[str], used: str) -> str:
    """Why a form should stay whose pooled axes are not the last ones.

    ONNX Runtime reduces axes in the middle slower than a plane behind a Transpose, in a batch of 1.
    """
    before, after = (_counted(ops) for ops in (before, after))
    if before == after:
        return "in the best form already"
    for pool, reduction in (("GlobalAveragePool", "ReduceMean"), ("GlobalMaxPool", "ReduceMax")):
        if before[pool] and after[reduction]:
            return f"one {pool} already"
    if after["Transpose"] > before["Transpose"]:
        return "its pooled axes are not the last ones, and to move them costs a Transpose"
    if after.total() >= before.total() and not used.startswith(_FASTER_POWERS):
        return "its pooled axes are not the last ones, and no form of fewer nodes is known there"
    return ""


def _as_fast_by_windows(construct: Construct, before: Counter[str]) -> str:
    """Why pooling of three axes in front of channels should stay, taken window by window.

    In a batch of 1, axis by axis is up to 7 times as fast. In a larger one it is not, where maxima
    have several windows on all axes, or averages have windows that the graph computes on two or
    more, and ONNX Runtime multiplies plane by plane (benchmarks/layouts.py).
    """
    sizes, x = construct.op.each_size, construct.op_shape
    if len(sizes[0]) <= MOST_SIZES or before["Transpose"] or x[0] == 1:
        return ""
    fixed = [dim for dim in x[1:] if isinstance(dim, int)]
    known = len(fixed) == len(x) - 1
    if _is_maximum(construct.op):
        few = isinstance(x[0], int) and x[0] * math.prod(fixed) <= _FEW_ELEMENTS
        is_faster = known and (few or all(1 in size for size in sizes))
    else:
        is_faster = known or len(fixed) == len(x) - 2
    if is_faster:
        return ""
    return "its pooled axes are not the last ones, and window by window is as fast in a batch"


def _counted(ops: Counter[str]) -> Counter[str]:
    """Without what moves nothing; Max and Clip are one clamp."""
    counted = Counter({op: count for op, count in ops.items() if op not in _MOVE_NOTHING})
    counted["Clip"] += counted.pop("Max", 0)
    return +counted


def _is_maximum(op: Op) -> bool:
    return isinstance(op, AdaptiveMaxPool) or (isinstance(op, PyramidPool) and op.mode == "max")


def _graph_of(construct: Construct, opset: int) -> gs.Graph:
    op, x = construct.op, construct.x
    shapes = op.output_shapes(construct.op_shape, len(construct.regions))
    outputs = [gs.Variable(f"Y{i}", x.dtype, list(shape)) for i, shape in enumerate(shapes)]
    inputs = [gs.Variable("X", x.dtype, list(construct.op_shape))]
    inputs += map(_copy, construct.parameters)
    if construct.shares:
        inputs.append(gs.Variable("size", np.dtype(np.int64), [len(construct.shares)]))
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
    return Counter(node.op for node in nodes if node.op != "Constant" and not is_copy(node))
