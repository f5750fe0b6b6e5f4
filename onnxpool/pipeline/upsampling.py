"""The levels of a pyramid upsampled beside its input: one node of the dialect, or standard nodes.

What pools has become nodes of the dialect before (survey). Where a kernel will run these, the
Resizes and the Concat behind them become one node as well; else such a node that came with the
model becomes standard nodes. Both are checked as what is written for a target is.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs

from onnxpool.model.file import ModelFile
from onnxpool.model.scope import Scope
from onnxpool.ops import DOMAIN, PyramidUpsample
from onnxpool.pipeline.conform import Job, change_of
from onnxpool.pipeline.node_check import NodeProbe
from onnxpool.rewrites import lower
from onnxpool.rewrites.graph.replace import replace
from onnxpool.rewrites.graph.tensors import onnx_type
from onnxpool.rewrites.graph.unread import output_names, remove_unread
from onnxpool.rewrites.lift import pyramid_upsample
from onnxpool.rewrites.lift.pyramid_upsample import Upsampling
from onnxpool.rewrites.lower.function_body import Bodies, Signature, is_body

Done = tuple[list[Job], list[str]]
"""The changes, and what there is to say of what was left."""


def rewrite(file: ModelFile, bodies: Bodies, *, custom_ops: bool, probe: bool) -> Done:
    """Change the scopes of `file`, whose pooling has been rewritten.

    Args:
        bodies: those of the model; those that new nodes need are added.
        custom_ops: whether the dialect is what is wanted.
        probe: whether to keep what the check needs.
    """
    jobs: list[Job] = []
    notes: list[str] = []
    for number, scope in enumerate(file.scopes):
        if is_body(scope.proto):
            continue
        if custom_ops:
            _lift(number, scope, bodies, probe, jobs, notes)
        else:
            jobs += _lower(number, scope, bodies, probe)
    return jobs, notes


def _lift(
    number: int, scope: Scope, bodies: Bodies, probe: bool, jobs: list[Job], notes: list[str]
) -> None:
    outputs = output_names(scope.graph)
    for concat in list(scope.graph.nodes):
        found = pyramid_upsample.judge(concat, outputs, scope.opset)
        if isinstance(found, Upsampling):
            try:
                _provide_body(found, scope, bodies)
            except lower.Unsupported as reason:
                found = str(reason)
        if isinstance(found, Upsampling):
            jobs.append(_lifted(number, scope, found, probe))
        elif found is not None:
            name = concat.name or concat.outputs[0].name
            notes.append(f"{scope.name}: the pyramid joined by Concat {name!r} stays: {found}")


def _provide_body(found: Upsampling, scope: Scope, bodies: Bodies) -> None:
    dtype = onnx_type(found.inputs[0].dtype)
    opset = bodies.opset or scope.opset
    bodies.provide(Signature.of(found.op, dtype, opset, inputs=len(found.inputs), outputs=1))


def _lifted(number: int, scope: Scope, found: Upsampling, probe: bool) -> Job:
    change = change_of(scope, found.concat, found.op.op_type())
    kept = NodeProbe(found.concat, found.inputs, scope.opset) if probe else None
    replace(scope.graph, found.concat, scope.opset, found.emit)
    remove_unread(scope.graph, found.resizes)
    return Job(number, change, kept)


def _lower(number: int, scope: Scope, bodies: Bodies, probe: bool) -> Iterator[Job]:
    for node in list(scope.graph.nodes):
        if _is_upsampling(node):
            change = change_of(scope, node, "Resize and Concat")
            kept = NodeProbe(node, node.inputs, scope.opset, bodies.all) if probe else None
            lower.lower(scope.graph, node, scope.opset)
            yield Job(number, change, kept)


def _is_upsampling(node: gs.Node) -> bool:
    return bool(node.domain == DOMAIN and node.op == PyramidUpsample.op_type())
