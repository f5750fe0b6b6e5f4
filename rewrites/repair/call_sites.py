"""What the pools of a graph say of each other that one line of the source calls for.

    windows of one element    no ordinary pool has them
    one line, several sizes   where a line names no pooling and calls for several pools, and one of
                              them is adaptive, the others are
    more pools than names     where a line calls for more pools than it names, and calls functions,
                              some are in there: then it is no evidence which pool it names

torch notes the lines of `forward` alone: what a function pools that is called there has the line
of that call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from onnxpool.rewrites.region.origin import Origin
from onnxpool.rewrites.repair.evidence import NOTHING, Evidence, calling_line, is_written_out
from onnxpool.rewrites.repair.source_line import Says, may_call_functions, means, of_class, words


@dataclasses.dataclass(frozen=True)
class Called:
    """A pool, or a mean.

    Attributes:
        mode: "avg" or "max".
        kernel: the length of its windows per pooled axis; () for a mean, None where the graph
            computes them.
        evidence: what is known of it alone.
    """

    origin: Origin
    mode: str
    kernel: tuple[int, ...] | None
    evidence: Evidence = NOTHING


def of_call_sites(calls: Sequence[Called]) -> list[Evidence]:
    """The evidence of each, with what their call sites add and take away."""
    told = list(calls)
    places = _by_place(calls)
    for indices in places:
        for i in _in_functions([told[i] for i in indices]):
            told[indices[i]] = dataclasses.replace(told[indices[i]], evidence=NOTHING)
    told = [_with_windows_of_one(call) for call in told]
    for indices in places:
        members = [i for i in indices if _is_pool_of_one_line(calls[i])]
        for i, evidence in zip(members, _of_one_line([told[i] for i in members]), strict=True):
            told[i] = dataclasses.replace(told[i], evidence=evidence)
    return [call.evidence for call in told]


def _by_place(calls: Sequence[Called]) -> list[list[int]]:
    sites: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for i, call in enumerate(calls):
        if call.origin.place:
            sites.setdefault((call.origin.place, call.origin.modules[:-1]), []).append(i)
    return list(sites.values())


def _in_functions(calls: Sequence[Called]) -> Iterable[int]:
    """Those of one place that may be in a function which the line calls, by their positions."""
    for mode in ("avg", "max"):
        members = [i for i, call in enumerate(calls) if call.mode == mode and not _has_class(call)]
        lines = {calling_line(calls[i].origin) for i in members}
        if len(lines) != 1:
            continue
        (line,) = lines
        named = words(line, mode)
        count = len(named) + (means(line) if mode == "avg" else 0)
        if named and len(members) > count and may_call_functions(line):
            yield from members


def _has_class(call: Called) -> bool:
    return any(of_class(call.origin.modules, call.mode))


def _with_windows_of_one(call: Called) -> Called:
    one = set(call.kernel or ()) == {1} and is_written_out(call.origin)
    if call.evidence.says is not Says.NOTHING or not one:
        return call
    line = call.origin.line.strip()
    because = f"{line!r} calls for windows of one element, which no ordinary pool has"
    return dataclasses.replace(call, evidence=Evidence(Says.ADAPTIVE, because))


def _is_pool_of_one_line(call: Called) -> bool:
    return call.kernel == () or (call.kernel is not None and is_written_out(call.origin))


def _of_one_line(calls: Sequence[Called]) -> list[Evidence]:
    """A line that pools to 1 and to other sizes goes through numbers."""
    known = next((c.evidence for c in calls if c.evidence.is_adaptive), None)
    kernels = {call.kernel for call in calls}
    if known is None or len(kernels) < 2:
        return [call.evidence for call in calls]
    says = Says.FIXED if () in kernels else Says.ADAPTIVE
    return [_joined(call, says, known) for call in calls]


def _joined(call: Called, says: Says, known: Evidence) -> Evidence:
    own = call.evidence
    if own.says not in (Says.NOTHING, Says.ADAPTIVE) or not call.kernel:
        return own
    because = own.because or f"called in one line with another: {known.because}"
    return Evidence(says, because, asks=own.asks and says is not Says.FIXED)
