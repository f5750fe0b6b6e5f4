"""A construct: pooling that was found in a graph, and how it is replaced by a dialect node."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from onnxpool import plugins
from onnxpool.ops import AdaptivePool, InvalidOp
from onnxpool.ops.op import DOMAIN, Op, Shape
from onnxpool.rewrites.graph.tensors import onnx_type, shape_of
from onnxpool.rewrites.graph.unread import output_names, remove_unread, used_outputs
from onnxpool.rewrites.lift import laid_out
from onnxpool.rewrites.lift.needed_repair import Repair
from onnxpool.rewrites.region.layout import Layout
from onnxpool.rewrites.region.region import Region
from onnxpool.rewrites.region.roles import Role

PYTORCH_DOMAINS = ("org.pytorch.aten", "aten")
OWNERS = {**dict.fromkeys(PYTORCH_DOMAINS, "PyTorch"), "mmdeploy": "mmdeploy", "Paddle": "Paddle"}
"""Per domain of ops that an exporter writes and no runtime has, whose they are."""
UNLOADABLE = "ONNX Runtime does not load the model while it is there"

Level = Literal["note", "warning", "error"]


@functools.cache
def added_exporters() -> tuple[AddedExporter, ...]:
    """What other packages know of ops that an exporter writes and no runtime has.

    Raises:
        PluginError: one of them does not say what it has to.
    """
    found = plugins.loaded(plugins.CONSTRUCTS)
    for name, exporter in found:
        lack = plugins.missing(exporter, ("DOMAIN", "OWNER", "applies", "meaning"))
        plugins.check(plugins.CONSTRUCTS, name, lack)
        standard = "has DOMAIN of ONNX's own ops" * (exporter.DOMAIN in ("", "ai.onnx", DOMAIN))
        plugins.check(plugins.CONSTRUCTS, name, standard)
    return tuple(AddedExporter(name, exporter) for name, exporter in found)


@dataclasses.dataclass(frozen=True)
class AddedExporter:
    """One of them; what fails in it is told by its name."""

    name: str
    exporter: Any

    @property
    def domain(self) -> str:
        return str(self.exporter.DOMAIN)

    @property
    def owner(self) -> str:
        return str(self.exporter.OWNER)

    def applies(self, node: gs.Node) -> bool:
        with plugins.calling(plugins.CONSTRUCTS, self.name):
            return bool(self.exporter.applies(node))

    def meaning(self, node: gs.Node, opset: int) -> Any:
        with plugins.calling(plugins.CONSTRUCTS, self.name, InvalidOp):
            return self.exporter.meaning(node, opset)


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
    def layout(self) -> Layout | None:
        """Where the axes of the op's X stand in X; all regions have them there."""
        return self.found[0].layout

    @property
    def axes_of_x(self) -> tuple[int | None, ...]:
        """Per axis of the op's X, the axis of X."""
        rank = len(self.op_shape)
        return tuple(map(self.found[0].axis_of_x, range(rank)))

    @property
    def op_shape(self) -> Shape:
        """The shape of the op's X; empty where its rank is not known."""
        return self.found[0].op_x(shape_of(self.x) or ())

    @property
    def is_dialect_node(self) -> bool:
        """Whether it is one node of the dialect, which came with the model."""
        return [node.domain for node in self.nodes] == [DOMAIN]

    @property
    def holds_dialect_node(self) -> bool:
        """Whether there is one among its nodes: standard ops have to stand in its place."""
        return any(node.domain == DOMAIN for node in self.nodes)

    @property
    def owner(self) -> str:
        """Whose op a node of it is that no runtime has; empty where all nodes are known."""
        owners = OWNERS | {each.domain: each.owner for each in added_exporters()}
        return next((owners[node.domain] for node in self.nodes if node.domain in owners), "")

    @property
    def unloadable(self) -> bool:
        """Whether no runtime takes the graph as it stands."""
        return bool(self.owner)

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


def replace(graph: gs.Graph, construct: Construct, opset: int) -> gs.Node:
    """Put a dialect node in the place of `construct` and remove what nothing reads any more.

    The node stands where the first of the regions ends: X and the parameters come before.

    Args:
        opset: the opset of the graph.
    """
    ends = {id(region.y.inputs[0]) for region in construct.found}
    position = min(index for index, node in enumerate(graph.nodes) if id(node) in ends)
    replaced = {id(region.y) for region in construct.found}
    outputs: list[gs.Variable] = []
    behind: list[gs.Node] = []
    for index, region in enumerate(construct.regions):
        if region is None:
            y = gs.Variable(f"{construct.found[0].y.name}/onnxpool/unused_{index}")
        else:
            _free(graph, region, replaced)
            y, nodes = _op_y(region, opset)
            behind += nodes
        outputs.append(y)
    name = f"{construct.found[0].y.name}/{construct.op.op_type()}"
    x, before = construct.x, list[gs.Node]()
    if construct.layout is not None:
        x, before = laid_out.op_x(x, construct.layout, name, opset)
    parameters, casts = _parameters(construct, name)
    node = gs.Node(
        construct.op.op_type(),
        name,
        construct.op.attributes(),
        inputs=[x, *parameters],
        outputs=outputs,
        domain=DOMAIN,
    )
    graph.nodes[position:position] = [*before, *casts, node, *behind]
    remove_unread(graph, construct.nodes)
    return node


def around(construct: Construct, opset: int) -> list[gs.Node]:
    """The nodes that `replace` puts around the node of the dialect for its layout."""
    nodes: list[gs.Node] = []
    if construct.layout is not None:
        x = gs.Variable("X", construct.x.dtype, construct.x.shape)
        nodes += laid_out.op_x(x, construct.layout, "op", opset)[1]
    for region in construct.found:
        if region.layout is not None:
            y = gs.Variable(region.y.name, region.y.dtype, region.y.shape)
            nodes += laid_out.region_y(y, region.layout, opset)[1]
    return nodes


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


def _free(graph: gs.Graph, region: Region, replaced: set[int]) -> None:
    """Take Y from its node.

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


def _op_y(region: Region, opset: int) -> tuple[gs.Variable, list[gs.Node]]:
    """The op's Y, and the nodes that make the region's of it."""
    y = region.y
    if region.layout is not None:
        return laid_out.region_y(y, region.layout, opset)
    lead = shape_of(y)
    # One whose shape is not known is taken by its name, and has the axes of X.
    pooled = 0 if lead is None else len(shape_of(region.x) or ()) - len(lead)
    if lead is None or not pooled:
        return y, []
    made = gs.Variable(f"{y.name}/onnxpool/pooled", y.dtype, [*lead, *[1] * pooled])
    return made, [_drop_pooled_axes(made, y)]


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
