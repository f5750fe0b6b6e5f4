"""Make a model fit its target: cure what the target does not take, then write another opset.

Both change the graphs in place, before they are spliced; each change comes with a probe that runs
the node as it was against what stands in its place before anything is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import onnx_graphsurgeon as gs

from onnxpool.errors import ArgumentError, TargetError
from onnxpool.model.file import ModelFile
from onnxpool.model.scope import Scope
from onnxpool.model.size_names import in_words, size_names
from onnxpool.pipeline.node_check import NodeProbe
from onnxpool.pipeline.piece import Bodies
from onnxpool.pipeline.report import Change, Refusal
from onnxpool.rewrites.convert import MIN_READ, MIN_WRITTEN, convert, title
from onnxpool.rewrites.graph.constants import is_standard
from onnxpool.rewrites.graph.replace import obstacle, replace
from onnxpool.rewrites.graph.run import RunError
from onnxpool.rewrites.graph.unread import sweep, unread
from onnxpool.rewrites.legalize.replacement import Replacement
from onnxpool.rewrites.lower import Unsupported
from onnxpool.targets import Limit, Target


@dataclasses.dataclass(frozen=True)
class Job:
    """A change that is still to be checked: in which scope, and how it was before."""

    scope: int
    change: Change
    probe: NodeProbe | None


def wanted_opset(file: ModelFile, target: Target | None, opset: int | None) -> int:
    """The opset that the result gets: as asked for, else the nearest that the target takes.

    Raises:
        ArgumentError: the target does not take it, it is below what lowering serves, or the model
            has none.
    """
    if opset is None:
        newest = target.opset if target else file.opset
        opset = min(newest, file.opset)
        if target and MIN_READ <= file.opset < target.least_opset:
            opset = target.least_opset
    elif not file.opset:
        raise ArgumentError(
            "the model uses no op of ONNX's own domain and has no opset to convert; "
            "leave --opset out"
        )
    elif target and opset > target.opset:
        raise ArgumentError(
            f"opset {opset} is not for {target.name}, which takes at most {target.opset}; "
            "leave --opset out"
        )
    elif target and opset < target.least_opset:
        raise ArgumentError(
            f"opset {opset} is not for {target.name}, which takes at least {target.least_opset}; "
            "leave --opset out"
        )
    if opset != file.opset and (file.opset < MIN_READ or opset < MIN_WRITTEN):
        raise ArgumentError(
            f"opset {file.opset} cannot become {opset}: onnxpool converts from {MIN_READ} on, to "
            f"{MIN_WRITTEN} and more; "
            "use onnx.version_converter first"
        )
    return opset


def conform(file: ModelFile, target: Target | None, opset: int, *, probe: bool) -> list[Job]:
    """Change the scopes of `file` so that `target` takes them, in opset `opset`.

    Args:
        file: with shapes inferred.
        target: None: only the opset is changed.
        opset: as `wanted_opset` says.
        probe: whether to keep what `check` needs.

    Raises:
        TargetError: a node has no form in that opset.
    """
    jobs: list[Job] = []
    if target is None and opset == file.opset:
        return jobs
    for number, scope in enumerate(file.scopes):
        unread_before = {id(node) for node in unread(scope.graph)}
        if target:
            jobs += _cure(number, scope, target, probe)
        if opset != file.opset:
            jobs += _convert(number, scope, opset, probe)
        if jobs:
            sweep(scope.graph, unread_before)
    if opset != file.opset:
        file.set_opset(opset)
    return jobs


def check(result: ModelFile, jobs: Sequence[Job], bodies: Bodies = ()) -> list[Change]:
    """Run every change that can be run, before and after; say which could not be.

    Args:
        bodies: the function bodies of dialect nodes.

    Raises:
        CheckError: what stands there now does not compute what stood there before.
    """
    changes = []
    for job in jobs:
        error = None
        if job.probe is not None:
            scope = result.scopes[job.scope]
            error = job.probe.compare(scope.graph, scope.opset, bodies)
        changes.append(dataclasses.replace(job.change, error=error))
    return changes


def refusals(file: ModelFile, target: Target | None) -> list[Refusal]:
    """What `target` would not take of a model whose shapes are inferred; None takes everything."""
    if target is None:
        return []
    found = list(_unknown_sizes(file, target))
    for scope in file.scopes:
        for node in scope.graph.nodes:
            found += _refusals_of(scope, node, target)
    return found


def accept(result: ModelFile, target: Target | None) -> list[Refusal]:
    """What `target` might not take of the result.

    Raises:
        TargetError: something is certain not to work there.
    """
    found = refusals(result, target)
    certain = [refusal for refusal in found if refusal.certain]
    if target and certain:
        first, more = certain[0], len(certain) - 1
        others = f" (and {more} more; `onnxpool inspect --target {target.name}` lists them)"
        raise TargetError(
            f"{target.name} would not take the result: {first.node}: {first.reason}"
            f"{others if more else ''}; nothing was written"
        )
    return found


def _cure(number: int, scope: Scope, target: Target, probe: bool) -> Iterator[Job]:
    pending = list(scope.graph.nodes)
    while pending:
        node = pending.pop()
        for limit in (*target.limits, *target.faster):
            if limit.cure is None or not is_standard(node) or not limit.matches(node, scope.opset):
                continue
            if made := write_otherwise(number, scope, node, limit.cure, probe=probe):
                job, new = made
                yield job
                pending += new
                break


def write_otherwise(
    number: int, scope: Scope, node: gs.Node, form: Replacement, *, probe: bool
) -> tuple[Job, list[gs.Node]] | None:
    """Put `form` in the place of `node`; None where it cannot be written so.

    Returns:
        The change, and the new nodes.
    """
    kept = NodeProbe(node, form.reads(node), scope.opset) if probe else None
    change = change_of(scope, node, form.name)
    try:
        new = replace(scope.graph, node, scope.opset, form.emit)
    except (Unsupported, RunError):
        return None
    return Job(number, change, kept), new


def _convert(number: int, scope: Scope, opset: int, probe: bool) -> Iterator[Job]:
    kept: dict[int, tuple[Change, NodeProbe | None]] = {}

    def remember(node: gs.Node) -> None:
        change = change_of(scope, node, f"its form in opset {opset}")
        kept[id(node)] = (change, NodeProbe(node, node.inputs, scope.opset) if probe else None)

    try:
        rewritten = convert(scope.graph, scope.opset, opset, remember)
    except Unsupported as reason:
        raise TargetError(
            f"{scope.name}, {reason}; opset {opset} cannot be had, nothing was written"
        ) from reason
    for each in rewritten:
        _, proto = scope.imported.get(id(each.node), (None, None))
        if proto is not None:
            scope.origins.update({id(node): (node, proto) for node in each.new})
        yield Job(number, *kept[id(each.node)])


def change_of(scope: Scope, node: gs.Node, form: str) -> Change:
    """What the report says of `node`, which is to be written in another form."""
    tensors = tuple(tensor.name for tensor in node.outputs if tensor.name)
    return Change(scope.name, node.name or tensors[0], tensors, node.op, form)


def _unknown_sizes(file: ModelFile, target: Target) -> Iterator[Refusal]:
    if target.dynamic:
        return
    for x in file.main.graph.inputs:
        open_axes = [i for i, dim in enumerate(x.shape or ()) if not isinstance(dim, int)]
        if x.shape is None or open_axes:
            sizes = in_words(x.shape, size_names(file.main))
            yield Refusal(
                "main graph",
                f"input {x.name!r}",
                f"{target.name} wants fixed sizes, found {sizes}; say --input-shape "
                f"{x.name}={sizes} with numbers",
                target.evidence,
            )


def _refusals_of(scope: Scope, node: gs.Node, target: Target) -> Iterator[Refusal]:
    if not is_standard(node):
        if not target.custom_domains:
            reason = f"{target.name} has no ops of domain {node.domain!r}"
            yield Refusal(scope.name, title(node), reason, "unknown", certain=False)
        return
    matching = [limit for limit in target.limits if limit.matches(node, scope.opset)]
    verdicts = [_refusal(scope, node, limit) for limit in matching]
    if verdicts:
        yield next((verdict for verdict in verdicts if verdict.becomes), verdicts[0])
    elif target.known_ops and node.op not in target.known_ops:
        reason = f"whether {target.name} has {node.op} is not known here"
        yield Refusal(scope.name, title(node), reason, "unknown", certain=False)


def _refusal(scope: Scope, node: gs.Node, limit: Limit) -> Refusal:
    reason, becomes = limit.reason, ""
    if limit.cure:
        why_not = obstacle(scope.graph, node, scope.opset, limit.cure.emit)
        becomes = "" if why_not else limit.cure.name
        reason += f"; it cannot be written otherwise: {why_not}" if why_not else ""
    return Refusal(scope.name, title(node), reason, limit.evidence, becomes=becomes)
