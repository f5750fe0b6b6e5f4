"""Standard output and error that fail: no traceback, and the exit status tells what was written."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.onnxpool.cli.conftest import (
    COMMAND,
    PYRAMID,
    Shell,
    check_one_line,
    environment,
    files,
    relu,
)


def test_a_full_disk_below_the_report(shell: Shell, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        check_one_line(shell("rewrite", PYRAMID, "out.onnx", stdout=full), 0, "No space left")
        assert files(tmp_path) == ["out.onnx"]
        check_one_line(shell("inspect", PYRAMID, stdout=full), 2, "No space left")
        lost = shell("inspect", PYRAMID, "--json", "-", stdout=full)
        assert lost.returncode == 2
        assert lost.stderr.endswith(b"cannot be written: No space left on device\n")
        check_one_line(shell("targets", stdout=full), 2, "No space left")
        check_one_line(shell("--version", stdout=full), 2, "No space left")
        check_one_line(shell("--help", stdout=full), 2, "No space left")


def test_a_full_disk_below_the_errors(shell: Shell, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        good = shell("rewrite", PYRAMID, "out.onnx", "--json", "-", stderr=full)
        assert (good.returncode, json.loads(good.stdout)[0]["rewritten"]) == (0, 1)
        bad = shell("rewrite", PYRAMID, "no/such/folder/out.onnx", stderr=full)
        assert (bad.returncode, bad.stdout) == (2, b"")
        both = shell("rewrite", PYRAMID, "both.onnx", stdout=full, stderr=full)
        assert both.returncode == 0
    assert files(tmp_path) == ["both.onnx", "out.onnx"]


@pytest.mark.parametrize("command", ["rewrite", "inspect"])
def test_nobody_reads(shell: Shell, tmp_path: Path, command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    outs = ["out.onnx"] if command == "rewrite" else []
    result = shell(command, PYRAMID, *outs, stdout=writer)
    os.close(writer)
    assert (result.returncode, result.stderr) == (0, b"")
    assert files(tmp_path) == outs


def test_nobody_reads_a_piped_model(shell: Shell) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    check_one_line(shell("rewrite", PYRAMID, "-", stdout=writer), 2, "Broken pipe")
    os.close(writer)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(tmp_path: Path, closed: str) -> None:
    result = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *COMMAND, "rewrite", str(PYRAMID), "out.onnx"],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        env=environment(),
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert (result.stdout == b"") == (">&-" in closed.split())
    reference = tmp_path / "reference.onnx"
    subprocess.run([*COMMAND, "rewrite", PYRAMID, reference], env=environment(), check=True)
    assert (tmp_path / "out.onnx").read_bytes() == reference.read_bytes()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "koi8-r"])
def test_a_console_with_few_characters(shell: Shell, encoding: str) -> None:
    result = shell("inspect", PYRAMID, env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    assert (result.returncode, result.stderr) == (0, b"")
    text = result.stdout.decode(encoding)
    assert "1x16x33x33 -> 1x1" in text
    for arguments in (("--help",), ("rewrite", "--help"), ("targets",), ("ops",)):
        result = shell(*arguments, env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
        assert (result.returncode, result.stderr) == (0, b"")


def test_json_is_ascii(shell: Shell) -> None:
    result = shell("inspect", PYRAMID, "--json", "-", env={"PYTHONIOENCODING": "ascii"})
    assert result.stdout.isascii()
    assert any("→" in finding["shape"] for finding in json.loads(result.stdout)[0]["findings"])


HOSTILE = "\x1b]0;title\x07\x1b[31m\u202ered\r\n\x7f\x9b2J :smile: [bold]"


def test_names_are_escaped_wherever_they_are_printed(shell: Shell, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(PYRAMID)
    graph = model.graph
    for named in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        named.name = f"{HOSTILE}{named.name}"
    for node in graph.node:
        node.input[:] = [name and f"{HOSTILE}{name}" for name in node.input]
        node.output[:] = [name and f"{HOSTILE}{name}" for name in node.output]
    onnx.save(model, tmp_path / "in.onnx")
    bad = tmp_path / f"{HOSTILE}.onnx"
    bad.write_bytes(b"no model")
    (name,) = {value.name for value in model.graph.input}
    for arguments in (
        ("inspect", "in.onnx"),
        ("inspect", "in.onnx", "--json", "-"),
        ("rewrite", "in.onnx", "out.onnx"),
        ("rewrite", "in.onnx", "out.onnx", "--input-shape", f"{name}=1x16x9x9"),
        ("inspect", bad.name),
        ("inspect", bad.name, "in.onnx"),
        ("rewrite", "in.onnx", f"no/{HOSTILE}"),
        ("rewrite", "in.onnx", "out.onnx", f"--{HOSTILE}"),
        ("rewrite", "in.onnx", "out.onnx", "--check", HOSTILE),
        (HOSTILE,),
    ):
        result = shell(*arguments)
        for text in (result.stdout.decode(), result.stderr.decode()):
            assert not [c for c in text if not c.isprintable() and c != "\n"], arguments
            assert "Traceback" not in text
        if "inspect" in arguments and "--json" not in arguments:
            assert r"\x1b" in result.stdout.decode() + result.stderr.decode()
    facts = json.loads(shell("inspect", "in.onnx", "--json", "-").stdout)
    assert any(HOSTILE in f["node"] for f in facts[0]["findings"])


def test_a_file_name_that_is_no_text(shell: Shell, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.onnx")
    (tmp_path / name).write_bytes(relu())
    result = shell("rewrite", name, name, "--json", "-")
    assert result.returncode == 0
    assert json.loads(result.stdout)[0]["model"] == name
    assert shell("inspect", name).returncode == 0
    check_one_line(shell("inspect", os.fsdecode(b"\xfe")), 2, "no such file")
