"""What a target is: a named runtime, what it does not take, and what it gets instead."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from typing import Any, Literal

import onnx_graphsurgeon as gs

from onnxpool.rewrites.graph.constants import has_reference
from onnxpool.rewrites.graph.run import RunError
from onnxpool.rewrites.legalize.replacement import Replacement

Evidence = Literal["measured", "documented"]
Place = Literal["server", "browser", "phone", "NPU", "microcontroller"]
PLACES: tuple[Place, ...] = typing.get_args(Place)
Condition = Callable[[gs.Node], bool]


def always(_node: gs.Node) -> bool:
    return True


@dataclasses.dataclass(frozen=True)
class Limit:
    """One form of a node that a target does not take.

    Attributes:
        ops: the op types.
        reason: what happens there, in words for the user.
        when: which nodes of these types, judged with shapes filled in; all of them by default.
        cure: what `rewrite` puts in their place; without one, the model is refused.
        evidence: "measured" on the version of the target, or only "documented".
        before: the opset from which on an op means something else; None: there is none.
    """

    ops: tuple[str, ...]
    reason: str
    when: Condition = always
    cure: Replacement | None = None
    evidence: Evidence = "measured"
    before: int | None = None

    def matches(self, node: gs.Node, opset: int) -> bool:
        """Whether a node is known to be of this form.

        Nothing is known of what the callers of a function decide, and of constants that do not run.
        """
        if node.op not in self.ops or (self.before is not None and opset >= self.before):
            return False
        if self.when is not always and has_reference(node):
            return False
        try:
            return self.when(node)
        except RunError:
            return False

    def to_json(self) -> dict[str, Any]:
        return {
            "ops": list(self.ops),
            "reason": self.reason,
            "becomes": self.cure.name if self.cure else None,
            "evidence": self.evidence,
            "before": self.before,
        }


@dataclasses.dataclass(frozen=True)
class Target:
    """A runtime that `rewrite --target` writes for.

    Attributes:
        name: as on the command line.
        runtime: the package, and how it was set where that matters.
        tested: the version that it was measured with; empty where only documentation is known.
        runs_on: where it is mostly met.
        opset: the greatest opset that it gets.
        least_opset: the least opset that it gets: older ones are converted.
        measured: the day of that, as YYYY-MM-DD.
        strategy: what averages and maxima are built of (see rewrites/lower).
        dynamic: whether sizes may be left to the runtime.
        limits: what it does not take, in the order in which cures are tried.
        faster: what it takes, but computes faster in the form of the cure.
        driver: the file in running/drivers/ that runs a model in it, without its ending; empty:
            there is none.
        modules: what a Python has that runs it.
        version: what its version begins with, where others of these modules are another target.
        half: whether it computes in float16.
        known_ops: op types that it was seen to run, or documents. An op that is neither there nor
            limited is reported as not tried. Empty: all standard ops.
        custom_domains: whether it takes ops of other domains than ONNX's, and local functions.
        convert: how to make the runtime's own format of a model, if it has one.
        run: how to run it.
        notes: settings to know.
    """

    name: str
    runtime: str
    tested: str
    runs_on: Place
    opset: int
    least_opset: int = 0
    measured: str = ""
    strategy: str = "pool"
    dynamic: bool = True
    limits: tuple[Limit, ...] = ()
    faster: tuple[Limit, ...] = ()
    driver: str = ""
    modules: tuple[str, ...] = ()
    version: str = ""
    half: bool = False
    known_ops: frozenset[str] = frozenset()
    custom_domains: bool = False
    convert: str = ""
    run: str = ""
    notes: str = ""

    @property
    def evidence(self) -> Evidence:
        return "measured" if self.tested else "documented"

    def to_json(self) -> dict[str, Any]:
        facts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            **facts,
            "limits": [limit.to_json() for limit in self.limits],
            "faster": [limit.to_json() for limit in self.faster],
            "known_ops": sorted(self.known_ops),
            "evidence": self.evidence,
        }
