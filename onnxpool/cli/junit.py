"""JUnit's XML, as Jenkins, GitLab and others read it: a suite per model, a case per entry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from onnxpool.cli.entry import Entry
from onnxpool.cli.outcome import FailOn, is_as_bad

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""


def text(models: Sequence[tuple[str, float, Sequence[Entry]]], fail_on: FailOn) -> str:
    """Args:
    models: the name of each, its seconds, and what was found in it.
    fail_on: how bad an entry is that makes its case fail.
    """
    root = ElementTree.Element("testsuites", name="onnxpool inspect")
    for model, seconds, entries in models:
        _suite(root, model, seconds, entries, fail_on)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(
    root: ElementTree.Element,
    model: str,
    seconds: float,
    entries: Sequence[Entry],
    fail_on: FailOn,
) -> None:
    unusable = [entry for entry in entries if entry.rule == "unusable-model"]
    failing = [e for e in entries if e not in unusable and is_as_bad(e.level, fail_on)]
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=_plain(model),
        tests=str(max(1, len(entries))),
        failures=str(len(failing)),
        errors=str(len(unusable)),
        skipped="0",
        time=f"{seconds:.3f}",
    )
    if not entries:
        # A suite without a case is taken for one that did not run.
        ElementTree.SubElement(suite, "testcase", classname=_plain(model), name="no pooling")
    for entry in entries:
        name = _plain(f"{entry.rule}: {entry.place or 'model'}")
        case = ElementTree.SubElement(suite, "testcase", classname=_plain(model), name=name)
        if entry in unusable:
            ElementTree.SubElement(case, "error", message=_plain(entry.text), type=entry.rule)
        elif entry in failing:
            ElementTree.SubElement(case, "failure", message=_plain(entry.text), type=entry.level)
        else:
            ElementTree.SubElement(case, "system-out").text = _plain(entry.text)


def _plain(words: str) -> str:
    return _NO_XML.sub("?", words)
