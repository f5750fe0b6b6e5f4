"""What was found in a model, what was done with it, and why: for people and for programs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from onnxpool.model.scope import Scope
from onnxpool.model.size_names import Names, in_words, size_names
from onnxpool.ops.op import COMPUTED, Shape
from onnxpool.rewrites.graph.tensors import shape_of
from onnxpool.rewrites.lift.construct import Construct, Declined, Level
from onnxpool.rewrites.lift.needed_repair import Repair
from onnxpool.rewrites.region import size as region_size
from onnxpool.rewrites.region.region import Region, ops_in_words
from onnxpool.rewrites.region.size import Share
from onnxpool.validation.in_target import TargetRun

Action = Literal["rewritten", "rewritable", "left"]
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One pooling construct of a model.

    Attributes:
        scope: the graph that it is in, such as "main graph".
        node: name of the node that computes its (first) output.
        tensors: names of its outputs.
        op: the op of the dialect that it is; empty where it is none.
        shape: the shape of X, and of each output without the axes that both begin with, such as
            "1x8x13x13 → 6x6".
        form: the op types that spell it in the input model.
        action: "rewritten", "rewritable" (by `inspect`) or "left".
        detail: the strategy, or why it was left.
        level: how bad it is as it came: "error" where the model is wrong at some sizes or runs
            nowhere, "warning" where it may be.
        wrong: at which sizes the input model is wrong, and from what that is known, in words.
        repair: the same for programs; None where the input model is right.
        now: what is known of it after its repair, in words; empty where it was not repaired, or
            not checked.
        doubtful: whether there is a size at which the model fails after the repair, or makes
            another shape than its source.
        error_before, error_after: greatest error of the region against the float64 reference on
            random inputs, relative to the greatest output; None where it was not run.
    """

    scope: str
    node: str
    tensors: tuple[str, ...]
    op: str
    shape: str
    form: str
    action: Action
    detail: str
    level: Level = "note"
    wrong: str = ""
    repair: Repair | None = None
    now: str = ""
    doubtful: bool = False
    error_before: float | None = None
    error_after: float | None = None


@dataclasses.dataclass(frozen=True)
class Change:
    """A node that was written in another form, for the target or for another opset.

    Attributes:
        scope, node, tensors: as in `Finding`.
        op: its op type before.
        form: what it is now, in words.
        error: greatest difference to what it was, on random inputs, relative to the greatest
            output; None where it could not be run.
    """

    scope: str
    node: str
    tensors: tuple[str, ...]
    op: str
    form: str
    error: float | None = None


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Something in a model that the target does not take.

    Attributes:
        scope: the graph that it is in.
        node: the node or the input, in words.
        reason: why.
        evidence: "measured", "documented", or "unknown" where nobody tried.
        certain: whether the model is known not to work; False: it may.
        becomes: what `rewrite` writes instead; empty where it cannot.
    """

    scope: str
    node: str
    reason: str
    evidence: str
    certain: bool = True
    becomes: str = ""


@dataclasses.dataclass(frozen=True)
class Summary:
    """Size and op types of a model, its bodies and functions included."""

    nodes: int
    ops: dict[str, int]

    @classmethod
    def of(cls, op_types: Iterable[str]) -> Summary:
        ops = dict(sorted(Counter(op_types).items()))
        return cls(sum(ops.values()), ops)


@dataclasses.dataclass(frozen=True)
class Report:
    """The facts about one call.

    Attributes:
        model: where the model came from; empty for a model in memory.
        opset: version of the default domain, 0 where no op of it is used; of the result, where
            there is one.
        findings: in graph order.
        before, after: the model as it came and as it is now.
        notes: what kept the tool from looking closer, such as unknown shapes.
        target: name of the target; empty where there is none.
        changes: nodes outside the findings that were written in another form: for the target or
            the opset, or the levels of a pyramid upsampled beside its input.
        opset_before: version of the default domain as the model came; 0: as `opset`.
        refusals: what the target does not take of the model (by `inspect`), or might not take of
            the result (by `rewrite`).
        fixed: per input whose sizes were fixed, its shape before and after.
        folded: how many nodes of which op became constant because sizes are fixed.
        unchanged: whether the result is the model that came, byte for byte.
        in_target: what became of the result in the runtime of the target; None where it was not
            asked for.
    """

    model: str
    opset: int
    findings: tuple[Finding, ...]
    before: Summary
    after: Summary
    notes: tuple[str, ...] = ()
    target: str = ""
    opset_before: int = 0
    changes: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    fixed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    folded: Mapping[str, int] = dataclasses.field(default_factory=dict)
    unchanged: bool = False
    in_target: TargetRun | None = None

    @classmethod
    def empty(cls, model: str) -> Report:
        """What is known of a model that could not be looked at."""
        return cls(model, 0, (), Summary(0, {}), Summary(0, {}))

    @property
    def left(self) -> Iterator[Level]:
        """How bad each thing is that is or may be wrong with the model, as it is now."""
        yield from (f.level for f in self.findings if f.action != "rewritten")
        for _ in filter(_is_doubtful, self.findings):
            yield "warning"
        for refusal in self.refusals:
            yield "error" if refusal.certain else "warning"
        for _ in self.notes:
            yield "note"

    @property
    def rewritten(self) -> int:
        return sum(finding.action == "rewritten" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "rewritten": self.rewritten}


def _is_doubtful(finding: Finding) -> bool:
    return finding.doubtful


def of_construct(scope: Scope, construct: Construct, action: Action, detail: str) -> Finding:
    wrong = construct.repair.in_words() if construct.repair else ""
    if construct.unloadable:
        wrong = f"an op of {construct.owner}'s own, which ONNX Runtime does not load"
    return Finding(
        scope=scope.name,
        node=_node_name(construct.found[0]),
        tensors=tuple(region.y.name for region in construct.found),
        op=construct.op.op_type(),
        shape=_construct_shapes(construct, size_names(scope)),
        form=ops_in_words(construct.nodes),
        action=action,
        detail=detail,
        level="error" if wrong else "note",
        wrong=wrong,
        repair=construct.repair,
    )


def of_declined(scope: Scope, declined: Declined) -> Finding:
    region = declined.region
    return Finding(
        scope=scope.name,
        node=_node_name(region),
        tensors=(region.y.name,),
        op="",
        shape=_shapes((region,), size_names(scope)),
        form=ops_in_words(region.nodes),
        action="left",
        detail=declined.reason,
        level=declined.level,
    )


def _node_name(region: Region) -> str:
    return str(region.y.inputs[0].name or region.y.name)


def _construct_shapes(construct: Construct, names: Names) -> str:
    """The shapes that the op gives; those that a frozen graph declares are another matter."""
    if construct.repair is None:
        return _shapes(construct.found, names)
    x = shape_of(construct.x)
    if construct.shares:
        size = getattr(construct.op, "output_size", ())
        pairs = zip(size, construct.shares, strict=True)
        pooled = region_size.in_words([Share(by) if s == COMPUTED else s for s, by in pairs])
        return f"{in_words(x, names)} → {pooled}"
    shapes = construct.op.output_shapes(x or (), len(construct.regions))
    pooled = ", ".join(dict.fromkeys(_pooled_text(x, y, names) for y in shapes))
    return f"{in_words(x, names)} → {pooled}"


def _shapes(regions: Iterable[Region], names: Names) -> str:
    regions = tuple(regions)
    x = shape_of(regions[0].x)
    outputs = dict.fromkeys(_pooled_text(x, shape_of(region.y), names) for region in regions)
    return f"{in_words(x, names)} → {', '.join(outputs)}"


def _pooled_text(x: Shape | None, y: Shape | None, names: Names) -> str:
    if x is None or y is None or len(x) != len(y):
        return in_words(y, names)
    first = next((axis for axis, (a, b) in enumerate(zip(x, y, strict=True)) if a != b), 0)
    return in_words(y[first:], names)


def merged(first: Iterable[Finding], second: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings of two passes over a model: those of one tensor become one.

    The first says what the model was and whether that was repaired, the second what it is now.
    """
    found = {finding.tensors: finding for finding in second}
    for before in first:
        after = found.get(before.tensors, before)
        if after.action != "rewritten":
            found[before.tensors] = before
        else:
            found[before.tensors] = dataclasses.replace(
                before, action="rewritten", detail=after.detail, error_after=after.error_after
            )
    return tuple(found.values())
