"""Threads and processes that rewrite one model at once; `tests.attacks.together` runs 64."""

from pathlib import Path

from tests.attacks import together


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    assert together.threads(8, tmp_path) == []


def test_runs_do_not_disturb_each_other(tmp_path: Path) -> None:
    assert together.runs(8, tmp_path) == []


def test_what_differs_is_seen(tmp_path: Path) -> None:
    assert together.threads(2, tmp_path) == []
    (tmp_path / "0.onnx").write_bytes(b"other")
    (tmp_path / "left.tmp").write_bytes(b"x")
    assert together._differences(tmp_path, {"0.onnx", "same.onnx"}) == [
        "0.onnx is another",
        "left.tmp was left behind",
    ]
