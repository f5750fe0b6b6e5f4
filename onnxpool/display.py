"""Reports as tables for people."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onnxpool.report import Finding, Report

_STYLES = {"rewritten": "green", "rewritable": "yellow", "left": "dim"}
_MOST_OPS = 12


def show(report: Report, console: Console) -> None:
    """Print what was found, what was done, and what was left and why."""
    console.print(f"[bold]{escape(report.model or 'model')}[/bold]  opset {report.opset}")
    if report.findings:
        console.print(_table(report))
    else:
        console.print("no pooling found")
    for note in report.notes:
        console.print(f"note: {escape(note)}")
    console.print(_closing(report))


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ["output", "pooling", "shape", "was", "now"]
    if any(finding.error_after is not None for finding in report.findings):
        columns.append("error")
    for column in columns:
        table.add_column(column, overflow="fold")
    for finding in report.findings:
        row = [escape(cell) for cell in _row(finding)]
        table.add_row(*row[: len(columns)], style=_STYLES[finding.action])
    return table


def _row(finding: Finding) -> list[str]:
    place = "" if finding.scope == "main graph" else f" ({finding.scope})"
    error = ""
    if finding.error_after is not None:
        before = "" if finding.error_before is None else f"{finding.error_before:.1e} → "
        error = f"{before}{finding.error_after:.1e}"
    now = finding.detail if finding.action == "rewritten" else f"{finding.action}: {finding.detail}"
    return [
        ", ".join(finding.tensors) + place,
        finding.op or "-",
        finding.shape,
        finding.form,
        now,
        error,
    ]


def _closing(report: Report) -> str:
    left = sum(finding.action == "left" for finding in report.findings)
    rewritable = len(report.findings) - left - report.rewritten
    if not report.rewritten:
        return f"{rewritable} to rewrite, {left} left as they are"
    gone = [op for op in report.before.ops if op not in report.after.ops]
    new = [op for op in report.after.ops if op not in report.before.ops]
    parts = [
        f"{report.rewritten} rewritten, {left} left",
        f"{report.before.nodes} → {report.after.nodes} nodes",
        f"ops gone: {_names(gone)}",
        f"new: {_names(new)}",
    ]
    return "; ".join(parts)


def _names(ops: list[str]) -> str:
    more = f" and {len(ops) - _MOST_OPS} more" if len(ops) > _MOST_OPS else ""
    return ", ".join(ops[:_MOST_OPS]) + more or "none"
