"""The levels of a pyramid upsampled beside its input: one node of the dialect, or standard nodes.

Where a kernel will run it, what upsamples the levels becomes one node with the Concat behind. Else
such a node that came with the model becomes standard nodes, and the Resizes of levels of a few
pixels what costs least, unless the target or the strategy says what to build of. All are checked
as what is written for a target is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_graphsurgeon as gs

from onnxpool.model.scope import Scope
from onnxpool.ops import DOMAIN, PyramidUpsample
from onnxpool.pipeline.conform import Job, change_of, write_otherwise
from onnxpool.pipeline.node_check import NodeProbe
from onnxpool.pipeline.survey import Goal, Pooling
from onnxpool.rewrites import lower
from onnxpool.rewrites.graph.replace import replace
from onnxpool.rewrites.graph.tensors import onnx_type
from onnxpool.rewrites.graph.unread import output_names, remove_unread, sweep, unread
from onnxpool.rewrites.legalize.few_pixels import FEW_PIXELS
from onnxpool.rewrites.lift import pyramid_upsample
from onnxpool.rewrites.lift.pyramid_upsample import Upsampling
from onnxpool.rewrites.lower.function_body import Bodies, Signature
from onnxpool.targets.onnxruntime import ONNXRUNTIME

Done = tuple[list[Job], list[str]]
"""The changes, and what there is to say of what was left."""


def rewrite(poolings: Sequence[Pooling], goal: Goal, bodies: Bodies, *, probe: bool) -> Done:
    """Change graphs whose pooling has been rewritten.

    Args:
        bodies: those of the model; those that new nodes need are added.
        probe: whether to keep what the check needs.
    """
    jobs: list[Job] = []
    notes: list[str] = []
    for pooling in poolings:
        if goal.custom_ops:
            _lift(pooling, bodies, probe, jobs, notes)
        else:
            jobs += _lower(pooling, bodies, probe)
            jobs += _few_pixels(pooling, goal, probe)
    return jobs, notes


def _pyramids(pooling: Pooling) -> Iterator[tuple[gs.Node, Upsampling | str]]:
    """The Concats that may join the levels of a pyramid, and what they are."""
    scope = pooling.scope
    outputs, pooled = output_names(scope.graph), pooling.pooled
    for concat in list(scope.graph.nodes):
        found = pyramid_upsample.judge(concat, pooled, outputs, scope.opset)
        if found is not None:
            yield concat, found


def _lift(pooling: Pooling, bodies: Bodies, probe: bool, jobs: list[Job], notes: list[str]) -> None:
    scope = pooling.scope
    for concat, found in _pyramids(pooling):
        if isinstance(found, Upsampling):
            try:
                _provide_body(found, scope, bodies)
            except lower.Unsupported as reason:
                found = str(reason)
        if isinstance(found, Upsampling):
            jobs.append(_lifted(pooling, found, probe))
        else:
            name = concat.name or concat.outputs[0].name
            notes.append(f"{scope.name}: the pyramid joined by Concat {name!r} stays: {found}")


def _provide_body(found: Upsampling, scope: Scope, bodies: Bodies) -> None:
    dtype = onnx_type(found.inputs[0].dtype)
    opset = bodies.opset or scope.opset
    bodies.provide(Signature.of(found.op, dtype, opset, inputs=len(found.inputs), outputs=1))


def _lifted(pooling: Pooling, found: Upsampling, probe: bool) -> Job:
    scope = pooling.scope
    change = change_of(scope, found.concat, found.op.op_type())
    kept = NodeProbe(found.concat, found.inputs, scope.opset) if probe else None
    replace(scope.graph, found.concat, scope.opset, found.emit)
    remove_unread(scope.graph, found.nodes)
    return Job(pooling.number, change, kept)


def _lower(pooling: Pooling, bodies: Bodies, probe: bool) -> Iterator[Job]:
    scope = pooling.scope
    for node in list(scope.graph.nodes):
        if _is_upsampling(node):
            change = change_of(scope, node, "Resize and Concat")
            kept = NodeProbe(node, node.inputs, scope.opset, bodies.all) if probe else None
            lower.lower(scope.graph, node, scope.opset)
            yield Job(pooling.number, change, kept)


def _is_upsampling(node: gs.Node) -> bool:
    return bool(node.domain == DOMAIN and node.op == PyramidUpsample.op_type())


def _few_pixels(pooling: Pooling, goal: Goal, probe: bool) -> Iterator[Job]:
    if goal.strategy not in ("auto", "matmul") or goal.target not in (None, ONNXRUNTIME):
        return
    if pooling.stale:
        # Behind what was repaired or restored, the graph has shapes that are not so any more.
        return
    scope = pooling.scope
    unread_before = {id(node) for node in unread(scope.graph)}
    for _, found in _pyramids(pooling):
        for node in found.nodes if isinstance(found, Upsampling) else ():
            if node.op != "Resize":
                continue
            if made := write_otherwise(pooling.number, scope, node, FEW_PIXELS, probe=probe):
                yield made[0]
    sweep(scope.graph, unread_before)
