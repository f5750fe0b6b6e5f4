"""What `inspect` finds, one entry each, for programs that let a change pass or stop it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from onnxpool.cli import junit, sarif
from onnxpool.cli.entry import Entry
from onnxpool.cli.outcome import FailOn, Outcome
from onnxpool.errors import ArgumentError
from onnxpool.model.output import Output, destination
from onnxpool.pipeline.report import Finding, Refusal


@dataclasses.dataclass(frozen=True)
class Files:
    """Where to write, beside --json.

    Attributes:
        sarif: for GitHub's code scanning and others.
        junit: for what shows test results.
    """

    sarif: Path | None
    junit: Path | None
    fail_on: FailOn

    @property
    def places(self) -> list[Path]:
        """The files to be written.

        Raises:
            ArgumentError: one would go to standard output, between what is printed there.
        """
        given = {"--sarif": self.sarif, "--junit": self.junit}
        for option, path in given.items():
            if path == Path("-"):
                raise ArgumentError(f"{option} writes a file, and {path} is none; give it a name")
        found = [path for path in given.values() if path is not None]
        if len(set(found)) < len(found):
            raise ArgumentError("--sarif and --junit name one file; give each its own")
        return found

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Write what was found in all models of a call."""
        found = [(outcome, list(entries(outcome))) for outcome in outcomes]
        if self.sarif is not None:
            _write(sarif.text([entry for _, some in found for entry in some]), self.sarif)
        if self.junit is not None:
            models = [(outcome.model, outcome.seconds, some) for outcome, some in found]
            _write(junit.text(models, self.fail_on), self.junit)


def _write(text: str, path: Path) -> None:
    with Output() as output:
        output.write(text.encode(), destination(path))
        output.publish()


def entries(outcome: Outcome) -> Iterator[Entry]:
    """All that is to be said of a model."""
    if outcome.report is None:
        yield Entry("unusable-model", "error", outcome.model, "", outcome.error)
        return
    for finding in outcome.report.findings:
        place = f"{finding.scope}/{finding.tensors[0]}"
        yield Entry(_rule(finding), finding.level, outcome.model, place, _words(finding))
    for refusal in outcome.report.refusals:
        yield _of_refusal(outcome.model, refusal, outcome.report.target)
    for note in outcome.report.notes:
        yield Entry("note", "note", outcome.model, "", note)


def _rule(finding: Finding) -> str:
    if finding.level == "error":
        return "wrong-pooling"
    if finding.level == "warning":
        return "doubtful-pooling"
    return "rewritable-pooling" if finding.action == "rewritable" else "pooling"


def _words(finding: Finding) -> str:
    what = f"{finding.op or 'this'} ({finding.form}), {finding.shape}"
    if finding.wrong:
        return f"{finding.node} is {finding.wrong}: {what}"
    return f"{finding.node}: {what}: {finding.action}: {finding.detail}"


def _of_refusal(model: str, refusal: Refusal, target: str) -> Entry:
    word = "would not take" if refusal.certain else "may not take"
    becomes = f"; rewrite puts {refusal.becomes} there" if refusal.becomes else ""
    return Entry(
        "target-refuses" if refusal.certain else "target-may-refuse",
        "error" if refusal.certain else "warning",
        model,
        f"{refusal.scope}/{refusal.node}",
        f"{target} {word} {refusal.node}: {refusal.reason} ({refusal.evidence}){becomes}",
    )
