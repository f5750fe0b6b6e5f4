"""The places of a model where nodes can be rewritten: main graph, bodies, functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import onnx
import onnx_graphsurgeon as gs
from onnx import GraphProto

from onnxpool.model.names import Names

# What it would warn of is handled or refused in our own words.
gs.logger.G_LOGGER.severity = gs.logger.G_LOGGER.CRITICAL


@dataclasses.dataclass(eq=False)
class Scope:
    """One graph of a model: a place where nodes can be rewritten.

    Attributes:
        name: for the user, such as "main graph" or "then_branch of If node 'foo'".
        graph: the graph to match on and to change; a `gs.Function` for the body of a function.
            A node that came with the model may be removed or moved, not changed.
        proto: where `splice` puts the changes; a `FunctionProto` for the body of a function.
        opset: version of the default domain that holds here; 0: it is not used.
        opset_import: the domains that may be used here, of the model or of the function.
        ir_version: of the model.
        outer: the scope around the body of a control flow node.
        owner: the node that runs the body.
        names: every name of the model.
        shape_note: why shapes are unknown here, where they are (set by `shapes.infer`).
        imported: per `id` of a node that is in `proto`, the node and its proto.
        origins: per `id` of a new node, the node and the proto whose metadata it inherits.
        stored: per `id` of a constant that is in the model, the constant.
    """

    name: str
    graph: gs.Graph
    proto: GraphProto | onnx.FunctionProto
    opset: int
    opset_import: Any
    ir_version: int
    outer: Scope | None
    owner: gs.Node | None
    names: Names
    shape_note: str | None = None
    imported: dict[int, tuple[gs.Node, onnx.NodeProto]] = dataclasses.field(default_factory=dict)
    origins: dict[int, tuple[gs.Node, onnx.NodeProto]] = dataclasses.field(default_factory=dict)
    stored: dict[int, gs.Constant] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Scope({self.name})"


def root_of(scope: Scope) -> Scope:
    """The main graph or the function that a scope is in."""
    while scope.outer is not None:
        scope = scope.outer
    return scope


def unique_name(scope: Scope, base: str) -> str:
    """Return a name like `base` that no tensor or node of the model has, bodies included."""
    return scope.names.unique(base)


def default_opset(opset_import: Iterable[onnx.OperatorSetIdProto]) -> int | None:
    """The version of the default domain in `opset_import`; None: it has none."""
    versions = (o.version for o in opset_import if o.domain in ("", "ai.onnx"))
    return next(versions, None)
