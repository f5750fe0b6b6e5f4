"""The page: a heading, then one section for each question, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

import onnxpool
from onnxpool.cli import display, display_diff
from onnxpool.cli.page.drawing import MOST, draw
from onnxpool.cli.page.facts import Comparison, Facts, Verdict
from onnxpool.cli.page.markup import Element, bar, document, element, row, scrolling, table
from onnxpool.model.diff import Part, Replacement
from onnxpool.model.output import Output, destination
from onnxpool.pipeline.report import Finding, Report
from onnxpool.validation.accuracy import FACTOR
from onnxpool.validation.compare import SizeResult

_STYLE = Path(__file__).with_name("style.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_OPEN = 6
"""Regions whose drawings are shown at once; the others open when asked for."""


def write(facts: Facts, path: Path) -> None:
    """Write the page; all of it or nothing.

    Raises:
        OutputError: the file cannot be written.
    """
    with Output() as output:
        output.write(text(facts).encode(), destination(path))
        output.publish()


def text(facts: Facts) -> str:
    """The page as HTML."""
    sections = (
        ("found", "What was found and done", _found(facts.report)),
        ("regions", "Before and after", _regions(facts.replacements)),
        ("errors", "Errors", _errors(facts)),
        ("latency", "Latency", _latency(facts.timings)),
        ("targets", "Runtimes", _targets(facts.verdicts)),
        ("rest", "What else differs", _rest(facts)),
    )
    shown = [(name, title, body) for name, title, body in sections if body]
    links = (element("li", element("a", title, href=f"#{name}")) for name, title, _ in shown)
    head = (
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", f"onnxpool: {Path(facts.before).name}"),
        _style(),
    )
    body = (
        element("a", "to the content", href="#main", class_="skip"),
        element(
            "header",
            element("h1", element("span", facts.before), " → ", element("span", facts.after)),
            element("p", _summary(facts), class_="summary"),
            element("nav", element("ul", *links), aria_label="sections"),
        ),
        element("main", *(_section(*each) for each in shown), id="main"),
        element("footer", f"written by onnxpool {onnxpool.__version__}"),
    )
    return document(head, body)


def _summary(facts: Facts) -> str:
    if facts.report.rewritten:
        return _plain(display.closing_line(facts.report))
    before, after = facts.diff.nodes
    found = len(facts.report.findings)
    return f"{found} place{'' if found == 1 else 's'} with pooling; {before} → {after} nodes"


def _style() -> Element:
    made = element("style")
    made.text = _STYLE.read_text(encoding="utf-8")
    return made


def _section(name: str, title: str, body: Sequence[Element]) -> Element:
    return element("section", element("h2", title), *body, id=name)


def _plain(markup: str) -> str:
    """A line of the terminal without its colours."""
    return Text.from_markup(markup).plain


def _lines(lines: Sequence[str]) -> list[Element]:
    return [element("ul", *(element("li", line) for line in lines))] if lines else []


def _found(report: Report) -> list[Element]:
    if not report.findings:
        first = element("p", "There is no pooling in this model.")
    else:
        checked = any(finding.error_after is not None for finding in report.findings)
        columns = ("output", "pooling", "shape", "was", "now", *(["error"] * checked))
        rows = (
            row(
                *_finding(finding),
                *([display.error_cell(finding)] * checked),
                class_=_kind(finding),
            )
            for finding in report.findings
        )
        first = table(columns, rows, "what was found")
    lines = [
        *display.fixed_lines(report),
        *display.change_lines(report),
        *(_plain(display.refusal_line(each, report.target)) for each in report.refusals),
        *(_plain(line) for line in map(display.wrong_line, report.findings) if line),
        *(f"note: {note}" for note in report.notes),
    ]
    return [first, *_lines(lines)]


def _finding(finding: Finding) -> Iterator[Element]:
    output, *others = display.finding_cells(finding)
    yield element("code", output, title=", ".join(finding.tensors))
    yield from (element("span", cell) for cell in others)


def _kind(finding: Finding) -> str:
    if finding.action == "rewritten":
        return "good"
    return "bad" if finding.level == "error" else ""


def _regions(found: Sequence[Replacement]) -> list[Element]:
    return [_region(each, is_open=i < _OPEN) for i, each in enumerate(found)]


def _region(each: Replacement, *, is_open: bool) -> Element:
    summary = element("summary", display_diff.replaced_line(each.replaced))
    sides = element(
        "div",
        _side("before", each.before, each.replaced.before),
        _side("after", each.after, each.replaced.after),
        class_="sides",
    )
    # HTML knows only whether the attribute is there.
    state = {"open": "open"} if is_open else {}
    return element("details", summary, sides, **state)


def _side(title: str, part: Part, ops: Mapping[str, int]) -> Element:
    nodes = sum(ops.values())
    words = f"{title}: {nodes} node{'' if nodes == 1 else 's'}"
    drawing = draw(part, f"{words}: {display_diff.ops_in_words(ops)}")
    content = scrolling(drawing, words) if drawing is not None else None
    if drawing is None and nodes:
        told = f"Too many to draw (at most {MOST}): {display_diff.ops_in_words(ops)}."
        content = element("p", told)
    return element("figure", element("figcaption", words), content)


def _errors(facts: Facts) -> list[Element]:
    found = [part for each in facts.comparisons for part in _comparison(each)]
    source_missing = facts.comparisons and len(facts.comparisons) == 1
    if source_missing and any(finding.repair for finding in facts.report.findings):
        words = (
            "The model as it came is wrong at some sizes, so it says little about the one that it "
            "became; --reference names its PyTorch source, which judges both."
        )
        found.append(element("p", words))
    return found


def _comparison(each: Comparison) -> Iterator[Element]:
    yield element("h3", each.model, " against ", each.reference)
    validation = each.validation
    if validation is None:
        yield element("p", each.failure, class_="bad")
        return
    kind = "good" if validation.passed else "bad"
    yield element("p", display.verdict_line(validation), class_=kind)
    if validation.first_difference:
        yield element("p", f"first difference: {validation.first_difference}")
    against = "float64" if validation.in_float64 else "the reference"
    yield element("p", f"{validation.rule}; errors against {against}; bars end where wrong begins")
    columns = ("size", "class", "greatest error", "× source", "", "verdict")
    yield table(columns, map(_size, validation.sizes), "errors at each size")


def _size(result: SizeResult) -> Element:
    verdict = f"{result.outcome}: {result.detail}" if result.detail else result.outcome
    worst = result.worst
    numbers: tuple[Element | str, ...] = ("", "", "")
    if worst is not None and worst.same_shape:
        share = bar(worst.units / FACTOR, "" if worst.passed else "bad")
        numbers = (f"{worst.errors.max_abs:.1e}", f"{worst.units:.2g}", share)
    return row(result.size, result.label, *numbers, verdict, class_="bad" if result.failed else "")


def _latency(timings: Mapping[str, Any]) -> list[Element]:
    found = [part for each in timings.get("comparisons", ()) for part in _timed(each)]
    if found and (processor := timings.get("processor")):
        found.append(element("p", f"{processor}; {timings.get('runs', '?')} rounds, in turns"))
    return found


def _timed(comparison: Mapping[str, Any]) -> Iterator[Element]:
    threads = comparison["threads"]
    yield element("h3", f"{comparison['size']}, {threads} thread{'' if threads == 1 else 's'}")
    timings = comparison["timings"]
    slowest = max((t["median"] for t in timings if "median" in t), default=0) or 1
    yield table(
        ("", "ms", "", "middle half", "ratio"),
        (_timing(timing, slowest) for timing in timings),
        "latency",
    )


def _timing(timing: Mapping[str, Any], slowest: float) -> Element:
    if "failure" in timing:
        return row(str(timing["name"]), f"does not run: {timing['failure']}", "", "", "")
    low, high = timing["quartiles"]
    return row(
        str(timing["name"]),
        f"{timing['median']:.3g}",
        bar(timing["median"] / slowest),
        f"{low:.3g} to {high:.3g}",
        f"{timing['ratio']:.2f}",
    )


def _targets(verdicts: Sequence[Verdict]) -> list[Element]:
    words = (
        "What each runtime is known not to take, as onnxpool targets lists it; onnxpool rewrite "
        "--target NAME writes what it takes, the opset included."
    )
    rows = (
        row(
            each.target.name,
            each.target.tested or "documented only",
            *(
                _verdict(refused, opset, each.target.opset)
                for refused, opset in zip(each.refused, each.opsets, strict=True)
            ),
        )
        for each in verdicts
    )
    columns = ("runtime", "known of", "as it came", "as it is now")
    return [element("p", words), table(columns, rows, "what each runtime takes")]


def _verdict(refused: Sequence[str], opset: int, most: int) -> Element:
    converted = f", in opset {most} or less" if opset > most else ""
    if not refused:
        return element("span", f"takes it{converted}", class_="" if converted else "good")
    first, *others = refused
    if not others:
        return element("span", first, class_="bad")
    rest = element("ul", *(element("li", each) for each in others))
    summary = element("summary", f"{first}, and {len(others)} more", class_="bad")
    return element("details", summary, rest)


def _rest(facts: Facts) -> list[Element]:
    return _lines(list(display_diff.other_lines(facts.diff)))
