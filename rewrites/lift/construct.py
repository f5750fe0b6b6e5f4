"""A construct: pooling that was found in a graph, and how it is replaced by a dialect node."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxpool.ops import AdaptivePool
from onnxpool.ops.op import DOMAIN, Op
from onnxpool.rewrites.graph.tensors import onnx_type, shape_of
from onnxpool.rewrites.graph.unread import output_names, remove_unread, used_outputs
from onnxpool.rewrites.lift.needed_repair import Repair
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role

PYTORCH_DOMAINS = ("org.pytorch.aten", "aten")

Level = Literal["note", "warning", "error"]


@dataclasses.dataclass(frozen=True)
class Construct:
    """Regions of one tensor X that compute the outputs of one op of the dialect.

    Attributes:
        op: the op.
        regions: one for each output; None where the op has an output that the graph does not use.
        parameters: the inputs of the op after X.
        best: why the graph's own form should stay; empty where a better one is known.
        repair: where the graph is not what the op says; None where it is that at every size.
        shares: where the op takes computed sizes that are shares of the lengths of X, per pooled
            axis the divisor, and 1 for an axis of another size; else empty.
    """

    op: Op
    regions: tuple[Region | None, ...]
    parameters: tuple[gs.Tensor, ...] = ()
    best: str = ""
    repair: Repair | None = None
    shares: tuple[int, ...] = ()

    @property
    def found(self) -> tuple[Region, ...]:
        return tuple(region for region in self.regions if region is not None)

    @property
    def x(self) -> gs.Variable:
        return self.found[0].x

    @property
    def is_dialect_node(self) -> bool:
        """Whether it is one node of the dialect, which came with the model."""
        return [node.domain for node in self.nodes] == [DOMAIN]

    @property
    def unloadable(self) -> bool:
        """Whether no runtime takes the graph as it stands."""
        return any(node.domain in PYTORCH_DOMAINS for node in self.nodes)

    @property
    def uses_max_pool(self) -> bool:
        """Whether its maxima are those of MaxPool, and not of ReduceMax."""
        return any(node.op in ("MaxPool", "GlobalMaxPool") for node in self.nodes)

    @property
    def is_wrong(self) -> bool:
        """Whether the graph as it stands is wrong at some sizes, or runs nowhere."""
        return self.unloadable or self.repair is not None

    @property
    def nodes(self) -> tuple[gs.Node, ...]:
        """Every node of the regions once, in the order in which they were found."""
        return tuple({id(n): n for region in self.found for n in region.nodes}.values())


@dataclasses.dataclass(frozen=True)
class Declined:
    """A region that looks like pooling and is not, or not provably.

    Attributes:
        level: "error" where the graph is wrong at some sizes or runs nowhere, "warning" where it
            may be.
        meant: the output size of the adaptive pooling that it imitates; empty where that is not
            clear.
    """

    region: Region
    reason: str
    level: Level = "note"
    meant: tuple[int, ...] = ()


def whole_node(node: gs.Node, outputs: set[str]) -> tuple[Region | None, ...]:
    """The regions of a node that is a construct by itself, one for each of its outputs.

    None stands for an output that nothing reads, if anything reads another one.

    Args:
        outputs: names of the outputs of the graph and of the bodies in it.
    """
    x, used = node.inputs[0], {id(y) for y in used_outputs(node, outputs)}
    return tuple(Region(x, y, (node,), Role(0)) if id(y) in used else None for y in node.outputs)


def replace(graph: gs.Graph, construct: Construct) -> gs.Node:
    """Put a dialect node in the place of `construct` and remove what nothing reads any more.

    The node stands where the first of the regions ends: X and the parameters come before.
    """
    ends = {id(region.y.inputs[0]) for region in construct.found}
    position = min(index for index, node in enumerate(graph.nodes) if id(node) in ends)
    replaced = {id(region.y) for region in construct.found}
    outputs = [
        _free(graph, region, replaced)
        if region
        else gs.Variable(f"{construct.found[0].y.name}/onnxpool/unused_{index}")
        for index, region in enumerate(construct.regions)
    ]
    name = f"{construct.found[0].y.name}/{construct.op.op_type()}"
    parameters, casts = _parameters(construct, name)
    node = gs.Node(
        construct.op.op_type(),
        name,
        construct.op.attributes(),
        inputs=[construct.x, *parameters],
        outputs=outputs,
        domain=DOMAIN,
    )
    graph.nodes[position:position] = [*casts, node]
    position += len(casts)
    for tensor, region in zip(outputs, construct.regions, strict=True):
        if region is not None and tensor is not region.y:
            graph.nodes.insert(position + 1, _drop_pooled_axes(tensor, region.y))
    remove_unread(graph, construct.nodes)
    return node


def _parameters(construct: Construct, name: str) -> tuple[list[gs.Tensor], list[gs.Node]]:
    """The parameters as the op takes them, and the nodes that make them so.

    PyTorch traces int(H * scale) as a float; a size that the graph computes is int64 here.
    """
    if construct.shares:
        return _size_of_shares(construct, name)
    if not isinstance(construct.op, AdaptivePool):
        return list(construct.parameters), []
    tensors, casts = [], []
    for size in construct.parameters:
        if onnx_type(size.dtype) != onnx.TensorProto.INT64:
            integers = gs.Variable(f"{name}/size", np.dtype(np.int64), size.shape)
            to = {"to": int(onnx.TensorProto.INT64)}
            casts.append(gs.Node("Cast", f"{name}/Cast", to, [size], [integers]))
            size = integers
        tensors.append(size)
    return tensors, casts


def _size_of_shares(construct: Construct, name: str) -> tuple[list[gs.Tensor], list[gs.Node]]:
    """Shape(X)[-k:] // the divisors."""
    k, rank, int64 = len(construct.shares), len(construct.x.shape or ()), np.dtype(np.int64)
    shape = gs.Variable(f"{name}/shape", int64, [rank])
    lengths = gs.Variable(f"{name}/lengths", int64, [k])
    size = gs.Variable(f"{name}/size", int64, [k])
    start = gs.Constant(f"{name}/start", np.array([rank - k], np.int64))
    end = gs.Constant(f"{name}/end", np.array([rank], np.int64))
    divisors = gs.Constant(f"{name}/divisors", np.array(construct.shares, np.int64))
    nodes = [
        gs.Node("Shape", f"{name}/Shape", {}, [construct.x], [shape]),
        gs.Node("Slice", f"{name}/Slice", {}, [shape, start, end], [lengths]),
        gs.Node("Div", f"{name}/Div", {}, [lengths, divisors], [size]),
    ]
    return [size], nodes


def _free(graph: gs.Graph, region: Region, replaced: set[int]) -> gs.Variable:
    """Take Y from its node; return it, or what Y is before its pooled axes are dropped.

    Args:
        replaced: the outputs of all regions of the construct; a node of no other output goes.
    """
    y = region.y
    (end,) = y.inputs
    others = [tensor for tensor in end.outputs if id(tensor) not in replaced]
    if any(tensor.outputs or tensor.name in output_names(graph) for tensor in others):
        end = swap_for_copy(graph, end)
    end.outputs[[t.name for t in end.outputs].index(y.name)] = gs.Variable(
        f"{y.name}/onnxpool/replaced"
    )
    lead = shape_of(y) or ()
    pooled = len(shape_of(region.x) or ()) - len(lead)
    if not pooled:
        return y
    return gs.Variable(f"{y.name}/onnxpool/pooled", y.dtype, [*lead, *[1] * pooled])


def swap_for_copy(graph: gs.Graph, node: gs.Node) -> gs.Node:
    """Put a copy in the place of a node that stays but must change: the splice keeps originals."""
    inputs, outputs = list(node.inputs), list(node.outputs)
    node.inputs.clear()
    node.outputs.clear()
    copy: gs.Node = node.copy(inputs, outputs)
    graph.nodes[:] = [copy if n is node else n for n in graph.nodes]
    return copy


def _drop_pooled_axes(pooled: gs.Variable, y: gs.Variable) -> gs.Node:
    """Reshape (N, C, 1, …) to (N, C): each 0 copies a size, in every opset."""
    target = gs.Constant(f"{y.name}/onnxpool/leading_axes", np.zeros(len(y.shape), np.int64))
    return gs.Node("Reshape", f"{y.name}/onnxpool/Reshape", inputs=[pooled, target], outputs=[y])
