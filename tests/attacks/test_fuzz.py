"""2,000 damaged files; `python -m tests.attacks` tries any number of others."""

from pathlib import Path

import onnx
import pytest

from onnxpool.errors import OnnxpoolError
from onnxpool.model.file import ModelFile
from tests.attacks import judge
from tests.attacks.damage import DAMAGES
from tests.attacks.fuzz import attack, faults, run
from tests.attacks.sources import DATA, SOURCES, WEIGHTS

SEED = 0
PARTS = 8
EACH = 250


@pytest.mark.parametrize("part", range(PARTS))
def test_no_file_brings_a_traceback_a_hang_or_a_half_result(part: int) -> None:
    numbers = range(part * EACH, (part + 1) * EACH)
    found = [
        f"{attack(SEED, number)}\n    {'; '.join(wrong)}\n    {getattr(verdict, 'said', '')}"
        for number, verdict in run(SEED, numbers)
        if (wrong := faults(verdict))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name.replace(" ", "_"))
def test_a_source_is_sound(source: object, tmp_path: Path) -> None:
    assert hasattr(source, "data")
    (tmp_path / DATA).write_bytes(WEIGHTS)
    (tmp_path / "in.onnx").write_bytes(source.data)
    assert ModelFile.load(tmp_path / "in.onnx").proto == onnx.load_from_string(source.data)


def test_every_kind_of_damage_is_done_and_matters() -> None:
    """Of most kinds some files are refused, and others get past the door."""
    refused: dict[str, list[bool]] = {damage.__name__: [] for damage in DAMAGES}
    for number in range(160):
        tried = attack(1, number)
        try:
            ModelFile.from_bytes(tried.data, Path("in.onnx"))
        except OnnxpoolError:
            refused[tried.damage].append(True)
        else:
            refused[tried.damage].append(False)
    assert all(refused.values())
    assert any(all(each) for each in refused.values())
    assert sum(not all(each) for each in refused.values()) > len(DAMAGES) // 2


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("raise KeyError('x')", "lines on stderr"),
        ("print('Traceback'); raise SystemExit(0)", "a traceback"),
        ("raise SystemExit(7)", "exit status 7"),
        ("print('\\x1b[1m'); raise SystemExit(0)", "characters that no terminal"),
        ("open('out/x.tmp', 'w'); raise SystemExit(0)", "left behind: x.tmp"),
        ("open('in.onnx', 'w'); raise SystemExit(0)", "the input was changed"),
        ("open('out/out.onnx', 'w').write('x'); raise SystemExit(0)", "does not load"),
        ("open('out/out.onnx', 'w'); raise SystemExit(2)", "written in spite of status 2"),
        ("sum(range(3 * 10**6)); raise SystemExit(0)", "took"),
        ("x = b'0' * (200 << 20); raise SystemExit(0)", "MB"),
    ],
)
def test_the_judge_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, fault: str
) -> None:
    """A command line that does this is found out."""

    def main() -> None:
        try:
            exec(program, {})
        except KeyError:
            raise SystemExit(2) from None

    monkeypatch.setattr(judge, "main", main)
    monkeypatch.setattr(judge, "SECONDS", 0.02 if fault == "took" else 20)
    before = judge.judge(SOURCES[0].data, ("rewrite", "in.onnx", "out/out.onnx"), tmp_path)
    if fault == "MB":
        assert before.megabytes > 200
    else:
        assert fault in "; ".join(before.faults), before
