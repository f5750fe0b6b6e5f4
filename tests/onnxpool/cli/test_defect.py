"""The last guard: an exception that nobody foresaw is one line, and so is an interrupt."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.onnxpool.cli.conftest import (
    COMMAND,
    PYRAMID,
    ROOT,
    Shell,
    check_one_line,
    environment,
    files,
    relu,
)

BROKEN = """
import sys
from onnxpool.rewrites.region.region import RegionFinder
from onnxpool.cli.app import main

def regions(self, y):
    node = y.inputs[0]
    raise {error}

RegionFinder.regions = regions
main()
"""


PATCH = """
import sys
from importlib.abc import MetaPathFinder

class Patch(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "onnxpool.pipeline.survey":
            from onnxpool.rewrites.region.region import RegionFinder
            def regions(self, y):
                if y.inputs[0].op != "Relu":
                    raise KeyError(y.name)
                return iter(())
            RegionFinder.regions = regions

sys.meta_path.insert(0, Patch())
"""
"""The same in every process that is started."""


def broken(
    folder: Path, *arguments: str | Path, error: str = "KeyError('lost\\x1b[0m\\nkey')"
) -> subprocess.CompletedProcess[bytes]:
    """The command line with a defect in the search for pooling."""
    code = BROKEN.format(error=error)
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        check=False,
        capture_output=True,
        cwd=folder,
        env=environment(),
        timeout=120,
    )


@pytest.mark.parametrize("command", [("rewrite", "out.onnx"), ("inspect",)])
def test_a_defect_is_one_line_with_the_model_and_the_node(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    result = broken(tmp_path, command[0], PYRAMID, *command[1:])
    check_one_line(result, 2, str(PYRAMID), "KeyError", "defect of onnxpool", "--debug", r"\x1b")
    line = result.stderr.decode()
    nodes = {node.name for node in onnx.load(PYRAMID).graph.node}
    assert any(f"at node {name} (" in line for name in nodes)
    assert files(tmp_path) == []


@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_shows_the_traceback(tmp_path: Path, place: int) -> None:
    arguments = ["rewrite", str(PYRAMID), "out.onnx"]
    arguments.insert(place, "--debug")
    text = broken(tmp_path, *arguments).stderr.decode()
    assert "Traceback (most recent call last)" in text
    assert "in regions" in text
    assert text.splitlines()[-1].startswith("onnxpool: ")
    assert "\x1b" not in text


def test_debug_shows_where_a_mistake_was_noticed(tmp_path: Path) -> None:
    text = broken(tmp_path, "inspect", "no.onnx", "--debug").stderr.decode()
    assert "Traceback" in text
    assert text.splitlines()[-1] == "onnxpool: no.onnx: no such file"


@pytest.mark.parametrize("error", ["MemoryError", "RecursionError('too deep')", "SystemError"])
def test_no_exception_is_too_odd(tmp_path: Path, error: str) -> None:
    check_one_line(broken(tmp_path, "inspect", PYRAMID, error=error), 2, str(PYRAMID))


def test_a_defect_in_one_model_of_many_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "in.onnx").write_bytes(relu())
    (tmp_path / "sitecustomize.py").write_text(PATCH)
    result = subprocess.run(
        [*COMMAND, "rewrite", str(PYRAMID), "in.onnx", "out", "--debug"],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        env=environment(PYTHONPATH=f"{tmp_path}:{ROOT}"),
    )
    assert result.returncode == 2
    lines = [x for x in result.stderr.decode().splitlines() if x.startswith("onnxpool: ")]
    assert len(lines) == 1
    assert "KeyError" in lines[0]
    assert "in regions" in result.stderr.decode()
    assert files(tmp_path / "out") == ["in.onnx"]


def dialect_node_with(output_size: list[int]) -> onnx.ModelProto:
    node = helper.make_node(
        "AdaptiveAveragePool", ["X"], ["Y"], "pool", domain="onnxpool", output_size=output_size
    )
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "g", [value("X", 1, [1, 2, 8, 8])], [value("Y", 1, [1, 2, None, None])]
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("onnxpool", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def test_a_malformed_node_of_the_dialect(tmp_path: Path, shell: Shell) -> None:
    onnx.save(dialect_node_with([-2, 1]), tmp_path / "in.onnx")
    result = shell("rewrite", "in.onnx", "out.onnx")
    check_one_line(result, 2, "in.onnx is not a valid model", "'pool'", "[-2, 1]")
    assert "defect" not in result.stderr.decode()
    assert files(tmp_path) == ["in.onnx"]
    told = shell("inspect", "in.onnx")
    assert (told.returncode, told.stderr) == (0, b"")
    assert b"[-2, 1]" in told.stdout


@pytest.mark.parametrize("field", ["output", "name", "op_type", "domain", "input"])
def test_names_that_are_not_utf8(tmp_path: Path, field: str) -> None:
    node = helper.make_node("@@@@", ["X", "@@@@"], ["Y", "@@@@"], "@@@@", domain="@@@@")
    for other in {"output", "name", "op_type", "domain", "input"} - {field}:
        if other in ("input", "output"):
            getattr(node, other).pop()
        else:
            setattr(node, other, "Relu" if other == "op_type" else "")
    data = relu(nodes=[node]).replace(b"@@@@", b"\xff\xfe\xfd\xfc")
    (tmp_path / "in.onnx").write_bytes(data)
    result = broken(tmp_path, "rewrite", "in.onnx", "out.onnx")
    check_one_line(result, 2, "in.onnx", "not UTF-8")
    assert "defect" not in result.stderr.decode()


COMPUTING = """
import sys, onnxruntime, numpy
from onnxpool.cli.call import call, heeding_interrupts
session = onnxruntime.InferenceSession(sys.argv[1])
with heeding_interrupts():
    print("ready", flush=True)
    session.run(None, {"n": numpy.array(10**12)})
"""


def test_an_interrupt_while_a_library_computes(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Neg", ["x"], ["y"])],
        "body",
        [value("i", TensorProto.INT64, []), value("c", TensorProto.BOOL, []), value("x", 1, [])],
        [value("d", TensorProto.BOOL, []), value("y", 1, [])],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["n", "", "zero"], ["Y"], body=body)],
        "long",
        [value("n", TensorProto.INT64, [])],
        [value("Y", 1, [])],
        [helper.make_tensor("zero", 1, [], [0.0])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        tmp_path / "long.onnx",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", COMPUTING, str(tmp_path / "long.onnx")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    time.sleep(0.3)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - start < 1.5
    assert process.returncode == 130
    assert errors == b"onnxpool: interrupted; nothing was written\n"


def test_an_interrupt_while_python_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "stuck.onnx")
    code = "from onnxpool.cli.app import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "rewrite", "stuck.onnx", "out.onnx"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    from tests.onnxpool.cli.test_batch import open_for_reader

    writer = open_for_reader(tmp_path / "stuck.onnx", process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    os.close(writer)
    assert (process.returncode, errors) == (130, b"onnxpool: interrupted; nothing was written\n")
    assert files(tmp_path) == ["stuck.onnx"]
