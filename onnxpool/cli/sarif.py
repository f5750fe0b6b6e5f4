"""SARIF 2.1.0 (OASIS), which GitHub's code scanning and editors read."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxpool
from onnxpool.cli.entry import RULES, Entry

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def text(entries: Sequence[Entry]) -> str:
    """One run with a result for each entry."""
    rules = [{"id": rule, "shortDescription": {"text": words}} for rule, words in RULES.items()]
    driver = {"name": "onnxpool", "version": onnxpool.__version__, "rules": rules}
    run = {"tool": {"driver": driver}, "results": [_result(entry) for entry in entries]}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _result(entry: Entry) -> dict[str, Any]:
    # A model has no lines; who shows results beside files wants one.
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(entry.model)},
            "region": {"startLine": 1},
        }
    }
    if entry.place:
        location["logicalLocations"] = [{"fullyQualifiedName": entry.place}]
    return {
        "ruleId": entry.rule,
        "level": entry.level,
        "message": {"text": entry.text},
        "locations": [location],
        "partialFingerprints": {"place/v1": f"{entry.model}#{entry.place}#{entry.rule}"},
    }


def _uri(model: str) -> str:
    """Relative to the working directory, which is a checkout's root where this is read."""
    path = Path(model)
    if path.is_absolute():
        try:
            path = path.relative_to(Path.cwd())
        except ValueError:
            return path.as_uri()
    return urllib.parse.quote(path.as_posix())
