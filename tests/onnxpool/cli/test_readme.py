"""The README's examples on models of this repository: they run, and print what it shows."""

import re
import shlex
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.onnxpool.conftest import Run

ROOT = Path(__file__).parents[3]
COMMAND = "$ onnxpool "
ERROR = re.compile(r"\de-\d\d")
"""The last digits of an error depend on the processor."""


def examples() -> list[tuple[str, str]]:
    """The commands in order, each with what is printed below it."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"(?:^(?: {4}.*)?\n)+", (ROOT / "README.md").read_text("utf-8"), re.M):
        for part in block.split(f"    {COMMAND}")[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return [(command, output) for command, output in found if "models/" in command]


def words(text: str) -> Counter[str]:
    """Without errors, and however the terminal's width breaks the lines."""
    return Counter(word for word in text.split() if not ERROR.fullmatch(word))


def test_the_examples(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "models", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    shown = 0
    for command, output in examples():
        status, printed, errors = run(*shlex.split(command))
        assert (status, errors) == (0, ""), command
        if output.strip():
            assert words(printed) == words(output), command
            shown += 1
    assert shown >= 2
