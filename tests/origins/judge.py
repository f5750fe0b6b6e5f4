"""What becomes of a model of another framework; the judge is the framework's own outputs.

onnxpool runs as a command, so that any checkout can be judged: this one, or an older one beside it.

    exported   the model as it came, against the pairs
    found      pools of the source that `rewrite` names: taken, left in the best form, or warned of
    rewritten  the result, against the pairs
    restored   the result of `rewrite --restore '*'`, against pairs of adaptive pooling
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxpool
from onnxpool.errors import OnnxpoolError

HERE = Path(__file__).parents[2]
Finding = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Case:
    """A model that a maker wrote: an entry of index.json.

    Attributes:
        says: what it is.
        pools: how many the source has.
    """

    folder: Path
    name: str
    says: str
    pools: int

    @property
    def model(self) -> Path:
        return self.folder / f"{self.name}.onnx"

    @property
    def pairs(self) -> Path:
        return self.folder / f"{self.name}.npz"

    @property
    def restored_pairs(self) -> Path:
        """The pairs of adaptive pooling, where the framework's own are others."""
        own = self.folder / f"{self.name}.restored.npz"
        return own if own.exists() else self.pairs


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Attributes:
    found: pools, of `Case.pools`.
    rewritten: whether the result is right; None where nothing was written.
    restored: the same with ``--restore '*'``; None where nothing was to be restored.
    """

    found: int
    rewritten: bool
    restored: bool | None


def cases(folder: Path) -> tuple[str, list[Case]]:
    """What wrote the models of a folder, and the models."""
    index = json.loads((folder / "index.json").read_text())
    return index["producer"], [Case(folder, **entry) for entry in index["models"]]


def is_right(model: Path, pairs: Path) -> bool:
    try:
        return onnxpool.validate(model, pairs).passed
    except OnnxpoolError:
        return False


def judge(folder: Path, checkout: Path = HERE) -> dict[str, Outcome]:
    """What the onnxpool of a checkout makes of the models of a folder, per name."""
    _, models = cases(folder)
    with tempfile.TemporaryDirectory() as scratch:
        plain, restoring = Path(scratch) / "plain", Path(scratch) / "restoring"
        reports = _rewrite(models, plain, checkout)
        wanted = [case for case in models if _may_restore(reports.get(case.name, ()))]
        _rewrite(wanted, restoring, checkout, "--restore", "*")
        return {
            case.name: Outcome(
                min(_found(reports.get(case.name, ())), case.pools),
                _result(plain, case, case.pairs),
                _result(restoring, case, case.restored_pairs) if case in wanted else None,
            )
            for case in models
        }


def _result(folder: Path, case: Case, pairs: Path) -> bool:
    out = folder / case.model.name
    return out.exists() and is_right(out, pairs)


def _may_restore(findings: Sequence[Finding]) -> bool:
    return any("--restore" in finding["detail"] for finding in findings)


def _found(findings: Sequence[Finding]) -> int:
    named = (f for f in findings if f["op"] or f["level"] != "note")
    return sum(_pools(finding) for finding in named)


def _pools(finding: Finding) -> int:
    """A pyramid is one finding, and its levels are pools."""
    return len(finding["tensors"]) if finding["op"] == "PyramidPool" else 1


def _rewrite(
    models: Sequence[Case], out: Path, checkout: Path, *options: str
) -> dict[str, list[Finding]]:
    """Rewrite into a folder; per model that was, the findings."""
    out.mkdir()
    if not models:
        return {}
    report = out / "report.json"
    call = ["rewrite", *(str(case.model) for case in models), str(out), "--json", str(report)]
    subprocess.run(
        [sys.executable, "-P", "-c", _main(checkout), *call, *options],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        check=False,
    )
    entries = json.loads(report.read_text())
    return {Path(entry["model"]).stem: entry.get("findings") or [] for entry in entries}


def _main(checkout: Path) -> str:
    """The command of a checkout, for ``python -c``."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["onnxpool"].partition(":")
    return f"from {module} import {function}; {function}()"
