"""Many models in one call: what dies is one line, and nothing outlives the call."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.onnxpool.cli.conftest import COMMAND, PYRAMID, Shell, environment, files, relu

KEYS = {"schema", "onnxpool", "model", "out", "result", "exit_status", "error", "seconds"}
SOON = 10.0
"""A second or less on a machine that does nothing else; nothing else would end it."""


@pytest.fixture
def stuck(tmp_path: Path) -> Path:
    """A model that takes for ever: nobody writes into this pipe."""
    path = tmp_path / "in" / "stuck.onnx"
    path.parent.mkdir()
    os.mkfifo(path)
    return path


@contextlib.contextmanager
def reading(stuck: Path, *arguments: str | Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A call whose one worker reads the stuck model: the process, and the worker."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=stuck.parents[1],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    writer = open_for_reader(stuck, process)
    try:
        (worker,) = (pid for pid in children(process.pid) if "spawn_main" in command(pid))
        yield process, worker
    finally:
        os.close(writer)
        process.kill()
        process.communicate()


def open_for_reader(pipe: Path, process: subprocess.Popen[bytes]) -> int:
    """Open a pipe for writing once somebody reads it."""
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.01)
    raise AssertionError(f"nobody reads {pipe}: {process.communicate()}")


def children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode()


def is_gone(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def facts(path: Path) -> dict[str, dict[str, object]]:
    return {Path(each["model"]).name: each for each in json.loads(path.read_text())}


def test_every_model_is_in_the_json_with_the_same_keys(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    (tmp_path / "copied.onnx").write_bytes(relu())
    result = shell("rewrite", "bad.onnx", PYRAMID, "copied.onnx", "out", "--json", "all.json")
    assert result.returncode == 2
    assert result.stderr.count(b"\n") == 1
    found = facts(tmp_path / "all.json")
    assert {name: (f["result"], f["exit_status"]) for name, f in found.items()} == {
        "bad.onnx": ("failed", 2),
        "ppm.onnx": ("written", 0),
        "copied.onnx": ("copied", 0),
    }
    shapes = [{key: type(value) for key, value in f.items()} for f in found.values()]
    assert shapes[0] == shapes[1] == shapes[2]
    assert shapes[0].keys() > KEYS | {"findings", "before", "after", "rewritten"}
    assert files(tmp_path / "out") == ["copied.onnx", "ppm.onnx"]
    rows = [line.split() for line in result.stdout.decode().splitlines()]
    assert ["bad.onnx", "failed"] in [row[:2] for row in rows]
    one = shell("rewrite", "bad.onnx", "x.onnx", "--json", "-")
    (alone,) = json.loads(one.stdout)
    assert {**found["bad.onnx"], "out": "", "seconds": 0} == {**alone, "out": "", "seconds": 0}


def test_a_worker_that_is_killed_is_one_line(tmp_path: Path, stuck: Path) -> None:
    arguments = ("rewrite", stuck, PYRAMID, "out", "--jobs", "1", "--json", "all.json")
    with reading(stuck, *arguments) as (process, worker):
        os.kill(worker, signal.SIGKILL)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.decode().splitlines() == [
        f"onnxpool: {stuck}: its process was ended by SIGKILL; out of memory?"
    ]
    assert any(line.split()[1:2] == ["failed"] for line in out.decode().splitlines())
    found = facts(tmp_path / "all.json")
    assert "SIGKILL" in str(found["stuck.onnx"]["error"])
    assert found["ppm.onnx"]["result"] == "written"
    assert files(tmp_path / "out") == ["ppm.onnx"]


def test_a_model_that_takes_too_long_is_one_line(shell: Shell, tmp_path: Path, stuck: Path) -> None:
    (tmp_path / "in" / "copied.onnx").write_bytes(relu())
    arguments = ("inspect", "in", "--jobs", "1", "--time-limit", "15", "--json", "all.json")
    result = shell(*arguments)
    assert result.returncode == 2
    assert result.stderr.decode() == "onnxpool: in/stuck.onnx: it took more than 15 s\n"
    found = facts(tmp_path / "all.json")
    assert [found[name]["result"] for name in ("copied.onnx", "stuck.onnx")] == [
        "inspected",
        "failed",
    ]


@pytest.mark.parametrize("to_group", [True, False])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all_and_leaves_what_is_done(
    tmp_path: Path, stuck: Path, number: signal.Signals, to_group: bool
) -> None:
    arguments = ("rewrite", PYRAMID, stuck, "out", "--jobs", "1", "--json", "all.json")
    with reading(stuck, *arguments) as (process, worker):
        start = time.monotonic()
        (os.killpg if to_group else os.kill)(process.pid, number)
        _, errors = process.communicate(timeout=60)
        took = time.monotonic() - start
        assert is_gone(worker)
    assert process.returncode == 128 + number
    assert errors.decode() == "onnxpool: interrupted; 1 of 2 models are done\n"
    assert files(tmp_path / "out") == ["ppm.onnx"]
    results = {name: f["result"] for name, f in facts(tmp_path / "all.json").items()}
    assert results == {"ppm.onnx": "written", "stuck.onnx": "interrupted"}
    assert took < SOON


def test_workers_do_not_outlive_a_parent_that_is_killed(stuck: Path) -> None:
    with reading(stuck, "rewrite", stuck, PYRAMID, "out", "--jobs", "1") as (process, worker):
        process.kill()
        process.wait()
        end = time.monotonic() + SOON
        while not is_gone(worker) and time.monotonic() < end:
            time.sleep(0.01)
        assert is_gone(worker)


def test_resume_skips_what_is_done_and_unchanged(shell: Shell, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for name in ("a.onnx", "b.onnx", "c.onnx"):
        shutil.copy(PYRAMID, source / name)
    call = ("rewrite", "in", "out", "--resume", "--json", "all.json")
    assert shell(*call).returncode == 0
    assert {f["result"] for f in facts(tmp_path / "all.json").values()} == {"written"}
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    # An older file that takes the place of a model is a change, whatever its own time says.
    os.utime(source / "b.onnx", (0, 0))
    (out / "c.onnx").unlink()
    result = shell(*call)
    assert result.returncode == 0
    results = {name: f["result"] for name, f in facts(tmp_path / "all.json").items()}
    assert results == {"a.onnx": "skipped", "b.onnx": "written", "c.onnx": "written"}
    after = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert [name for name in before if before[name] == after[name]] == ["a.onnx"]
    in_place = shell("rewrite", "in", "in", "--resume")
    assert (in_place.returncode, in_place.stderr.count(b"\n")) == (2, 1)


def test_results_below_their_sources_are_no_models_to_rewrite(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(relu())
    for _ in range(2):
        assert shell("rewrite", ".", "out").returncode == 0
        assert files(tmp_path) == ["a.onnx", "out"]
        assert files(tmp_path / "out") == ["a.onnx"]


def test_what_cannot_be_written_is_said_before_any_model_is(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "ppm.onnx").write_bytes(b"mine")
    (out / "ppm.onnx").chmod(0o400)
    (tmp_path / "a.onnx").write_bytes(relu())
    result = shell("rewrite", "a.onnx", PYRAMID, "out")
    assert (result.returncode, result.stderr.count(b"\n")) == (2, 1)
    assert files(out) == ["ppm.onnx"]


def test_a_report_that_is_lost_does_not_hide_that_models_were_written(
    tmp_path: Path, stuck: Path
) -> None:
    (tmp_path / "copied.onnx").write_bytes(relu())
    report = tmp_path / "reports" / "all.json"
    report.parent.mkdir()
    arguments = ("rewrite", "copied.onnx", stuck, "out", "--jobs", "1", "--json", report)
    with reading(stuck, *arguments) as (process, worker):
        report.parent.rmdir()
        os.kill(worker, signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    assert errors.decode().startswith("onnxpool: out/copied.onnx is written, but ")
    assert files(tmp_path / "out") == ["copied.onnx"]
