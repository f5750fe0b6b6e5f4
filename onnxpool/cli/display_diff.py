"""What differs between two models, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console

from onnxpool.cli.display import escape
from onnxpool.cli.layout import say
from onnxpool.model.diff import Changed, Diff, Fact, Replaced

_FEW = 3
_MOST = 20
"""Lines of one kind; --json has all."""


def show(diff: Diff, console: Console) -> None:
    """Print a line for each thing that differs, those on the whole model first."""
    say(console, f"[bold]{escape(diff.a)}[/bold] → [bold]{escape(diff.b)}[/bold]")
    if diff.same:
        say(console, f"the same: {diff.nodes[0]} nodes")
        return
    before, after = diff.nodes
    ops = ", ".join(f"{op} {old} → {new}" for op, (old, new) in diff.ops.items())
    for lines in (
        map(_fact, diff.model),
        [f"nodes: {before} → {after}, {diff.same_nodes} of them the same"],
        [f"ops: {ops}"] * bool(ops),
        map(replaced_line, diff.replaced),
        *_others(diff),
    ):
        for line in _shortened(lines):
            say(console, escape(line))


def other_lines(diff: Diff) -> Iterator[str]:
    """What differs beside the nodes that are replaced."""
    for lines in (map(_fact, diff.model), *_others(diff)):
        yield from _shortened(lines)


def _others(diff: Diff) -> tuple[Iterable[str], ...]:
    return map(_changed, diff.changed), map(_fact, diff.shapes), _constants(diff.constants)


def _shortened(lines: Iterable[str]) -> Iterator[str]:
    lines = list(lines)
    yield from lines[:_MOST]
    if len(lines) > _MOST:
        yield f"and {len(lines) - _MOST} more like this"


def _fact(fact: Fact) -> str:
    if not fact.after:
        return f"gone: {fact.what} ({fact.before})"
    if not fact.before:
        return f"new: {fact.what} ({fact.after})"
    return f"{fact.what}: {fact.before} → {fact.after}"


def _constants(facts: Iterable[Fact]) -> Iterator[str]:
    """A line for each that has changed; of those in one model only, how many there are."""
    facts = list(facts)
    yield from (_fact(fact) for fact in facts if fact.before and fact.after)
    for word, some in (
        ("gone", [f for f in facts if not f.after]),
        ("new", [f for f in facts if not f.before]),
    ):
        if some:
            names = [fact.what.removeprefix("constant ") for fact in some[:_FEW]]
            more = ", …" * (len(some) > _FEW)
            yield f"{word}: {len(some)} constant{'s' * (len(some) > 1)} ({', '.join(names)}{more})"


def replaced_line(each: Replaced) -> str:
    """Such as "replaced: y was 3 Transpose, GatherND; is MatMul"."""
    first, *others = each.at or ("nothing that is read",)
    at = f"{first}{f' +{len(others)}' if others else ''}{_place(each.scope)}"
    if not each.after:
        return f"gone: {ops_in_words(each.before)}, which gave {at}"
    if not each.before:
        return f"new: {ops_in_words(each.after)}, which gives {at}"
    return f"replaced: {at} was {ops_in_words(each.before)}; is {ops_in_words(each.after)}"


def _changed(each: Changed) -> str:
    return f"changed: {each.node} ({each.op}){_place(each.scope)}: {'; '.join(each.changes)}"


def _place(scope: str) -> str:
    return "" if scope == "main graph" else f" in {scope}"


def ops_in_words(ops: Mapping[str, int]) -> str:
    """Such as "3 Transpose, GatherND"."""
    return ", ".join(op if n == 1 else f"{n} {op}" for op, n in ops.items())
