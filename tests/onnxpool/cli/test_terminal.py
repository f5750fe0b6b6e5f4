"""What people see: help, versions, completion, tables at any width, progress, quiet and verbose."""

import importlib.metadata
import importlib.util
import json
import os
import pty
import re
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

import onnxpool
from onnxpool import steps
from onnxpool.cli import versions
from onnxpool.errors import LibraryError
from onnxpool.ops import library_path
from tests.onnxpool.cli.conftest import COMMAND, PYRAMID, Shell, environment
from tests.onnxpool.conftest import Run

COMMANDS = ("rewrite", "inspect", "validate", "bench", "export", "targets", "ops")


def dynamic_model(names: list[str | int], halved: str = "") -> onnx.ModelProto:
    """A pool to 1x1 of an input whose sizes have these names; of its half where that has one."""
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], "mean", axes=[2, 3], keepdims=1)]
    infos = []
    if halved:
        nodes[0].input[0] = "h"
        half = helper.make_node("MaxPool", ["x"], ["h"], kernel_shape=[1, 1], strides=[2, 2])
        nodes = [half, *nodes]
        infos = [value("h", TensorProto.FLOAT, [*names[:2], halved, halved])]
    graph = helper.make_graph(
        nodes,
        "main",
        [value("x", TensorProto.FLOAT, names)],
        [value("y", TensorProto.FLOAT, [*names[:2], 1, 1])],
        value_info=infos,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("arguments", [["-h"], *([command, "-h"] for command in COMMANDS)])
def test_help_fits_80_columns_and_breaks_no_word(shell: Shell, arguments: list[str]) -> None:
    narrow, wide = (
        shell(*arguments, env={"COLUMNS": columns}).stdout.decode() for columns in ("80", "200")
    )
    assert all(len(line) <= 80 for line in narrow.splitlines())
    assert Counter(narrow.split()) == Counter(wide.split())
    usage = narrow.partition("\n")[0]
    assert usage.startswith(f"Usage: onnxpool {arguments[0] if len(arguments) > 1 else ''}".strip())
    assert "{" not in usage


def test_usage_lines_say_what_goes_where(shell: Shell) -> None:
    usage = {c: shell(c, "-h").stdout.decode().partition("\n")[0] for c in ("rewrite", "targets")}
    assert usage["rewrite"] == "Usage: onnxpool rewrite [OPTIONS] IN... OUT"
    assert usage["targets"] == "Usage: onnxpool targets [OPTIONS] [NAME]"


def test_python_m_is_the_command(tmp_path: Path) -> None:
    # Several models, because their processes start from the module that was called.
    done = subprocess.run(
        [sys.executable, "-m", "onnxpool", "inspect", PYRAMID, PYRAMID.with_name("gem.onnx")],
        check=True,
        capture_output=True,
        env=environment(),
        cwd=tmp_path,
    )
    assert done.stdout.count(b"inspected") == 2


def test_version_names_what_runs_models(shell: Shell) -> None:
    first, library, *others = shell("--version").stdout.decode().splitlines()
    assert first == f"onnxpool {onnxpool.__version__}"
    assert f"onnx {importlib.metadata.version('onnx')}" in others
    assert f"onnxruntime {importlib.metadata.version('onnxruntime')}" in others
    try:
        assert library == f"library: {library_path()}"
    except LibraryError:
        assert library.startswith("library: none")


def test_the_library_is_found_without_loading_onnx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: Spec)
    assert versions.library() is None
    (tmp_path / "libonnxpool_ops.dylib").touch()
    assert versions.library() == tmp_path / "libonnxpool_ops.dylib"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_are_quick_and_load_nothing(option: str) -> None:
    code = (
        "import sys\n"
        "from onnxpool.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'onnx', 'onnxruntime', 'torch', 'numpy', 'onnx_graphsurgeon'}\n"
        "sys.exit(','.join(heavy & set(sys.modules)) or 0)"
    )
    # Processor time, the least of three: other processes push each other out of the caches.
    assert min(_seconds([sys.executable, "-c", code, option]) for _ in range(3)) < 0.3


def _seconds(command: list[str]) -> float:
    """Of the processor, that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, env=environment(), check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, b"")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("onnxpool va", {"validate"}),
        ("onnxpool rewrite --strat", {"--strategy"}),
        ("onnxpool rewrite --strategy ma", {"matmul"}),
        ("onnxpool rewrite --target opencv", {"opencv4", "opencv5"}),
        ("onnxpool targets openv", {"openvino"}),
    ],
)
def test_completion_in_bash(shell: Shell, words: str, wanted: set[str]) -> None:
    env = {
        "_ONNXPOOL_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    assert set(shell(env=env).stdout.decode().split()) == wanted


def test_completion_can_be_shown(shell: Shell) -> None:
    env = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    script = shell("--show-completion", "bash", env=env)
    assert b"_ONNXPOOL_COMPLETE" in script.stdout


@pytest.mark.parametrize("columns", ["40", "80", "100"])
@pytest.mark.parametrize(
    "arguments",
    [["inspect", PYRAMID], ["targets"], ["targets", "ncnn"], ["ops"]],
    ids=lambda arguments: arguments[0],
)
def test_no_word_is_broken_at_any_width(
    shell: Shell, arguments: list[str | Path], columns: str
) -> None:
    narrow, wide = (
        shell(*arguments, env={"COLUMNS": width}).stdout.decode() for width in (columns, "2000")
    )
    # Below one another, each row names its columns again, with a colon.
    shown = Counter(word.rstrip(":") for word in narrow.split())
    for word, count in Counter(word.rstrip(":") for word in wide.split()).items():
        assert shown[word] >= count or word in ("takes", "no", "gets", "tested", "with", "what")


def test_words_fit_or_stand_below_one_another(shell: Shell) -> None:
    text = shell("rewrite", PYRAMID, "out.onnx", env={"COLUMNS": "50"}).stdout.decode()
    assert "\nshape:   1x16x33x33 → 1x1, 2x2, 3x3, 6x6\n" in text
    assert all(len(line) <= 50 for line in text.splitlines()[1:])


@pytest.mark.parametrize(
    ("names", "halved", "shape"),
    [
        (["s77", 3, "s53", "s0"], "", "Nx3xHxW"),
        (["batch", 3, "height", "width"], "", "batchx3xheightxwidth"),
        (["s77", 3, "s53", "s53"], "(((s53 - 1)//2)) + 1", "Nx3x?x?"),
        ([1, 3, 7, 7], "", "1x3x7x7"),
    ],
)
def test_open_sizes_are_named_after_their_axes(
    tmp_path: Path, names: list[str | int], halved: str, shape: str
) -> None:
    report = onnxpool.inspect(dynamic_model(names, halved))
    (finding,) = [f for f in report.findings if f.tensors == ("y",)]
    assert finding.shape == f"{shape} → 1x1"


def test_quiet_prints_nothing_and_still_writes(shell: Shell, tmp_path: Path) -> None:
    done = shell("rewrite", PYRAMID, "out.onnx", "-q", "--json", "facts.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "out.onnx").exists()
    assert json.loads((tmp_path / "facts.json").read_text())[0]["rewritten"] == 1
    wrong = shell("inspect", "nowhere.onnx", "--quiet")
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert b"nowhere.onnx: no such file" in wrong.stderr


def test_quiet_holds_where_the_model_goes_to_standard_output(shell: Shell) -> None:
    done = shell("rewrite", PYRAMID, "-", "-q")
    assert done.stderr == b""
    assert "MatMul" in {node.op_type for node in onnx.load_from_string(done.stdout).graph.node}


def test_quiet_says_what_is_wrong(shell: Shell) -> None:
    done = shell("compare", PYRAMID, f"{PYRAMID.parent}/pyramid.py:ppm", "--seed", "1", "-q")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"wrong at 1 of 1 size: 1x16x33x33\nfirst difference: ")


def test_verbose_tells_each_step_and_its_time(shell: Shell) -> None:
    done = shell("rewrite", PYRAMID, "out.onnx", "-v")
    steps = re.findall(r"^ *\d+\.\d\d s  (.+)$", done.stderr.decode(), re.MULTILINE)
    assert steps[0] == "reading the model"
    assert {"looking for pooling", "checking what was rewritten", "loading the result"} < set(steps)
    assert b"PyramidPool" in done.stdout


def test_a_terminal_is_shown_what_is_done(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "rewrite", str(PYRAMID), "out.onnx"],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        cwd=tmp_path,
        env=environment(TERM="xterm"),
    )
    os.close(theirs)
    seen = b""
    # On Linux the end of a terminal that nobody holds is an error.
    while chunk := _read(ours):
        seen += chunk
    os.close(ours)
    assert process.wait() == 0
    assert b"looking for pooling" in seen
    # It leaves nothing behind: the cursor, too, is shown again.
    assert seen.rstrip().endswith(b"\x1b[2K") or b"\x1b[?25h" in seen


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:
        return b""


def test_dir_lists_the_interface(run: Run) -> None:
    assert {"rewrite", "inspect", "validate", "export", "bench", "session"} <= set(dir(onnxpool))
    assert all(hasattr(onnxpool, name) for name in dir(onnxpool))


def test_one_long_graph_is_counted() -> None:
    seen: list[tuple[str, int, int]] = []
    with steps.watching(lambda *step: seen.append(step)):
        onnxpool.inspect(PYRAMID)
    nodes = len(onnx.load(PYRAMID).graph.node)
    counts = [(done, total) for what, done, total in seen if what == "looking for pooling"]
    assert counts[1:] == [(i, nodes) for i in range(nodes)]
