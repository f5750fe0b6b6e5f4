"""Reports as tables for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from onnx.defs import OpSchema
from rich.console import Console
from rich.markup import escape as escape_markup

from onnxpool.cli.layout import Row, say, show_rows
from onnxpool.cli.outcome import FailOn, Outcome, is_as_bad
from onnxpool.cli.text import visible
from onnxpool.errors import LibraryError
from onnxpool.ops import Op, library_path
from onnxpool.pipeline.report import LEVELS, Change, Finding, Refusal, Report

if TYPE_CHECKING:
    from onnxpool.benchmark import Bench, Comparison, Timing
    from onnxpool.targets import Target
    from onnxpool.validation.accuracy import Accuracy
    from onnxpool.validation.compare import SizeResult, Validation
    from onnxpool.validation.in_target import TargetRun


def escape(text: str) -> str:
    """Text of a model as markup that prints as it is, on one line."""
    return escape_markup(visible(text))


_STYLES = {"rewritten": "green", "rewritable": "yellow", "left": "dim"}
_OUTCOME_STYLES = {"right": "green", "wrong": "red", "fails": "red", "not accepted": "dim"}
_MOST_OPS = 8
_NOT_CHECKED = "what it is now was not checked"


def show(report: Report, console: Console) -> None:
    """Print what was found, what was done, and what was left and why."""
    opset = f"opset {report.opset}" if report.opset else "no opset"
    say(console, f"[bold]{escape(report.model or 'model')}[/bold]  {opset}")
    if report.findings:
        _show_findings(report.findings, console)
    else:
        say(console, "no pooling found")
    for line in (*fixed_lines(report), *change_lines(report)):
        say(console, escape(line))
    show_wrong(report, console)
    if report.in_target:
        say(console, escape(_in_target(report.in_target)))
    for note in report.notes:
        say(console, f"note: {escape(note)}")
    say(console, closing_line(report))


def show_wrong(report: Report, console: Console) -> None:
    """Print a line for each thing that a target refuses, and that is or was wrong."""
    for refusal in report.refusals:
        say(console, refusal_line(refusal, report.target))
    for finding in report.findings:
        if line := wrong_line(finding):
            say(console, line)


def fixed_lines(report: Report) -> Iterable[str]:
    """One line per input that was fixed, and one for what became constant."""
    yield from (f"fixed: {name} {shapes}" for name, shapes in report.fixed.items())
    if report.folded:
        ops = ", ".join(op if n == 1 else f"{n} {op}" for op, n in report.folded.items())
        yield f"folded: {_several(sum(report.folded.values()), 'node')} of constant value ({ops})"


def change_lines(report: Report) -> Iterable[str]:
    """One line per op and new form: how many, where the first one is, and the greatest error."""
    if report.opset_before not in (0, report.opset):
        yield f"opset {report.opset_before} → {report.opset}"
    groups: dict[tuple[str, str], list[Change]] = {}
    for change in report.changes:
        groups.setdefault((change.op, change.form), []).append(change)
    for (op, form), changes in groups.items():
        errors = [change.error for change in changes if change.error is not None]
        unchecked = len(changes) - len(errors)
        checked = f"; differs by up to {max(errors):.0e}" if errors else ""
        left = f"; {unchecked} could not be run alone" if unchecked else ""
        count = f"{len(changes)} {op}" if len(changes) > 1 else f"{op} {changes[0].node}"
        yield f"{count}: {form}{checked}{left}"


def refusal_line(refusal: Refusal, target: str) -> str:
    word = "would not take" if refusal.certain else "may not take"
    style = "red" if refusal.certain else "yellow"
    place = "" if refusal.scope == "main graph" else f" in {refusal.scope}"
    text = f"{target} {word} {refusal.node}{place}: {refusal.reason} ({refusal.evidence})"
    text += f"; rewrite puts {refusal.becomes} there" if refusal.becomes else ""
    return f"[{style}]{escape(text)}[/{style}]"


def _in_target(run: TargetRun) -> str:
    if run.outcome != "right":
        return f"not run in {run.target}: {run.detail}"
    return (
        f"{run.target} {run.version} runs it, at {' and '.join(run.sizes)}; "
        f"off from ONNX Runtime by up to {run.error:.0e}"
    )


def show_targets(targets: Iterable[Target], console: Console) -> None:
    """Print a line per target, one table for each place where they run."""
    from onnxpool.targets import PLACES

    by_place = {place: [t for t in targets if t.runs_on == place] for place in PLACES}
    for place, group in by_place.items():
        if group:
            _show_targets_on(place, group, console)


def _show_targets_on(place: str, targets: Iterable[Target], console: Console) -> None:
    columns = (place, "tested with", "on", "opset", "sizes", "averages", "gets", "takes no")
    rows = []
    for target in targets:
        changed = (*target.limits, *target.faster)
        cured = dict.fromkeys(limit.cure.name for limit in changed if limit.cure)
        refused = dict.fromkeys(op for limit in target.limits if not limit.cure for op in limit.ops)
        cells = (
            target.name,
            target.tested or "documented only",
            target.measured or "-",
            f"≤ {target.opset}",
            "any" if target.dynamic else "fixed",
            target.strategy,
            ", ".join(cured) or "-",
            ", ".join(refused) or "-",
        )
        rows.append(Row(cells))
    show_rows(console, columns, rows)


def show_target(target: Target, console: Console) -> None:
    """Print all that is known of one target."""
    say(console, f"[bold]{escape(target.name)}[/bold]  {escape(target.runtime)}")
    show_targets([target], console)
    for limit in (*target.limits, *target.faster):
        becomes = f" → {limit.cure.name}" if limit.cure else ""
        ops = ", ".join(limit.ops)
        say(console, escape(f"  {ops}: {limit.reason} ({limit.evidence}){becomes}"))
    facts = (("convert", target.convert), ("run", target.run), ("note", target.notes))
    for word, text in facts:
        if text:
            say(console, escape(f"{word}: {text}"))


def show_outcomes(outcomes: Iterable[Outcome], console: Console) -> None:
    """Print a line per model of a call with several."""
    rows = []
    for outcome in outcomes:
        style = "red" if outcome.exit_status else "dim" if outcome.result == "skipped" else ""
        cells = (outcome.model, outcome.result, _pooling(outcome), f"{outcome.seconds:.1f}")
        rows.append(Row(cells, style))
    show_rows(console, ("model", "result", "pooling", "seconds"), rows, right=("seconds",))


def _pooling(outcome: Outcome) -> str:
    if outcome.report is None:
        return outcome.error.removeprefix(f"{outcome.model}: ")
    counts = Counter(finding.action for finding in outcome.report.findings)
    return ", ".join(f"{n} {action}" for action, n in counts.items()) or "none"


def show_end(outcome: Outcome, fail_on: FailOn, console: Console) -> None:
    """Print the last line on a model: that it came out as it was, or what is left."""
    report = outcome.report
    if report is None:
        return
    if outcome.result == "copied":
        copy, model = escape(outcome.out), escape(outcome.model)
        say(console, f"nothing to rewrite: {copy} is a copy of {model}")
    if outcome.exit_status:
        counts = Counter(report.left)
        bad = [level for level in reversed(LEVELS) if counts[level] and is_as_bad(level, fail_on)]
        what = ", ".join(_several(counts[level], level) for level in bad)
        text = f"{what} left in {outcome.out or outcome.model} (--fail-on {fail_on})"
        say(console, f"[red]{escape(text)}[/red]")


def _several(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _show_findings(findings: Sequence[Finding], console: Console) -> None:
    checked = any(finding.error_after is not None for finding in findings)
    columns = ("output", "pooling", "shape", "was", "now", *(["error"] * checked))
    rows = [
        Row((*finding_cells(finding), *([error_cell(finding)] * checked)), _STYLES[finding.action])
        for finding in findings
    ]
    show_rows(console, columns, rows)


def finding_cells(finding: Finding) -> tuple[str, ...]:
    first, *others = finding.tensors
    more = f" +{len(others)}" if others else ""
    place = "" if finding.scope == "main graph" else f" in {finding.scope}"
    detail = "see below" if _is_told_below(finding) else finding.detail
    now = detail if finding.action == "rewritten" else f"{finding.action}: {detail}"
    return f"{first}{more}{place}", finding.op or "-", finding.shape, finding.form, now


def _is_told_below(finding: Finding) -> bool:
    """Whether the reason is an instruction, too long for a cell."""
    return finding.level != "note" and not finding.wrong


def wrong_line(finding: Finding) -> str:
    """What is or was wrong with it, in one line; empty where nothing was."""
    if _is_told_below(finding):
        return f"[red]{finding.level}[/red]: {escape(finding.node)}: {escape(finding.detail)}"
    if not finding.wrong:
        return ""
    node, wrong = escape(finding.node), escape(finding.wrong)
    if finding.action == "rewritten":
        word = "[yellow]repaired[/yellow]" if finding.doubtful else "[green]repaired[/green]"
        return f"{word}: {node} was {wrong}; {escape(finding.now or _NOT_CHECKED)}"
    return f"[red]{finding.level}[/red]: {node} is {wrong}"


def error_cell(finding: Finding) -> str:
    if finding.error_after is None:
        return ""
    before = "" if finding.error_before is None else f"{finding.error_before:.0e} → "
    return f"{before}{finding.error_after:.0e}"


def closing_line(report: Report) -> str:
    left = sum(finding.action == "left" for finding in report.findings)
    rewritable = len(report.findings) - left - report.rewritten
    if not report.rewritten:
        return f"{rewritable} to rewrite, {left} left as they are"
    gone = [op for op in report.before.ops if op not in report.after.ops]
    new = [op for op in report.after.ops if op not in report.before.ops]
    return (
        f"{report.rewritten} rewritten, {left} left; "
        f"{report.before.nodes} → {report.after.nodes} nodes; "
        f"gone: {_names(gone)}; new: {_names(new)}"
    )


def _names(ops: list[str]) -> str:
    more = f" and {len(ops) - _MOST_OPS} more" if len(ops) > _MOST_OPS else ""
    return escape(", ".join(ops[:_MOST_OPS]) + more or "none")


def show_ops(dialect: Iterable[type[Op]], console: Console) -> None:
    """Print one line per op, and where the library with the kernels is."""
    rows = []
    for op in dialect:
        schema = op.schema
        required = {field.name: schema.attributes[field.name].required for field in fields(op)}
        cells = (
            ", ".join(name if given else f"[{name}]" for name, given in required.items()),
            *(", ".join(map(_parameter, each)) for each in (schema.inputs, schema.outputs)),
            schema.doc or "",
        )
        rows.append(Row((op.op_type(), *cells)))
    show_rows(console, ("op", "attributes", "inputs", "outputs", "what it computes"), rows)
    try:
        say(console, f"library: {escape(str(library_path()))}")
    except LibraryError as error:
        say(console, f"no library: {escape(str(error))}")


def _parameter(parameter: OpSchema.FormalParameter) -> str:
    option = OpSchema.FormalParameterOption
    optional, variadic = (parameter.option == kind for kind in (option.Optional, option.Variadic))
    return f"[{parameter.name}]" if optional else parameter.name + " …" * variadic


def show_validation(validation: Validation, console: Console) -> None:
    """Print one line per size, its worst distribution, and the verdict."""
    names = f"[bold]{escape(validation.model)}[/bold] against {escape(validation.reference)}"
    against = "float64" if validation.in_float64 else "the reference"
    kernels = "; with the custom-op library" * validation.kernels
    say(console, f"{names}  {escape(validation.rule)}; errors against {against}{kernels}")
    _show_sizes(validation, console)
    show_verdict(validation, console)


def show_verdict(validation: Validation, console: Console) -> None:
    """Print at which sizes it is right or wrong, and where it goes wrong."""
    say(console, escape(verdict_line(validation)))
    if validation.first_difference:
        say(console, f"first difference: {escape(validation.first_difference)}")


def show_worst_outputs(validation: Validation, console: Console) -> None:
    """Print, where there are several outputs, where each is worst; the worst output first."""
    worst = validation.worst_outputs
    if len(worst) < 2:
        return
    rows = [
        Row(
            (name, size.size, *_accuracy(accuracy, False), accuracy.failure or "right"),
            _OUTCOME_STYLES["right" if accuracy.passed else "wrong"],
        )
        for name, (size, accuracy) in worst.items()
    ]
    columns = ("output", "worst at", "worst on", "max abs", "max rel", "× source", "verdict")
    show_rows(console, columns, rows)


def _show_sizes(validation: Validation, console: Console) -> None:
    rows = []
    for result in validation.sizes:
        several = len({a.output for a in result.accuracies}) > 1
        verdict = f"{result.outcome}: {result.detail}" if result.detail else result.outcome
        cells = (result.size, result.label, *_accuracy(result.worst, several), verdict)
        rows.append(Row(cells, _OUTCOME_STYLES[result.outcome]))
    columns = ("size", "class", "worst on", "max abs", "max rel", "× source", "verdict")
    show_rows(console, columns, rows)


def _accuracy(worst: Accuracy | None, name_output: bool) -> tuple[str, str, str, str]:
    if worst is None:
        return ("", "", "", "")
    place = f"{worst.distribution}, {worst.output}" if name_output else worst.distribution
    if not worst.same_shape:
        return (place, "", "", "")
    errors = worst.errors
    return (place, f"{errors.max_abs:.1e}", f"{errors.max_rel:.1e}", f"{worst.units:.2g}")


def verdict_line(validation: Validation) -> str:
    refused = [size for size in validation.sizes if size.outcome == "not accepted"]
    compared = len(validation.sizes) - len(refused)
    extra = f"; the source does not accept {_sizes(refused)}" if refused else ""
    if validation.passed:
        return f"right at {_count(compared)}{extra}"
    failing = validation.failing
    return f"wrong at {len(failing)} of {_count(compared)}: {_sizes(failing)}{extra}"


def _sizes(results: Iterable[SizeResult]) -> str:
    return ", ".join(result.size for result in results)


def _count(sizes: int) -> str:
    return "1 size" if sizes == 1 else f"{sizes} sizes"


def show_bench(bench: Bench, console: Console) -> None:
    """Print one table for each size and number of threads."""
    versions = ", ".join(f"{name} {version}" for name, version in bench.versions.items())
    machine = f"{escape(bench.processor)}, {escape(bench.provider)}"
    say(console, f"{versions}; {machine}; median of {bench.runs}, in turns")
    for comparison in bench.comparisons:
        threads = "1 thread" if comparison.threads == 1 else f"{comparison.threads} threads"
        say(console, f"\n[bold]{escape(comparison.size)}[/bold]  {threads}")
        _show_timings(comparison, console)
        for timing in comparison.timings:
            if timing.failure:
                say(console, f"note: {escape(timing.name)} does not run: {escape(timing.failure)}")


def _show_timings(comparison: Comparison, console: Console) -> None:
    times = [timing for timing in comparison.timings if not timing.failure]
    rows = [Row((timing.name, *_times(comparison, timing))) for timing in times]
    numbers = ("ms", "quartiles", "× first")
    show_rows(console, ("model", *numbers), rows, right=numbers)


def _times(comparison: Comparison, timing: Timing) -> tuple[str, str, str]:
    low, high = timing.quartiles
    ratio = comparison.ratio(timing)
    return f"{timing.median:.3g}", f"{low:.3g} to {high:.3g}", f"{ratio:.2f}"
