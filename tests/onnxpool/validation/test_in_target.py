"""A model is run in the runtime of its target, in a process of its own, before it is written."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxpool
from onnxpool.errors import ArgumentError, CheckError, TargetError
from onnxpool.rewrites.graph import limits
from onnxpool.targets import find
from onnxpool.validation import in_target
from onnxpool.validation.in_target import error, run_in_target
from tests.onnxpool.conftest import Run

GEM = "models/gem.onnx"
ONNXRUNTIME = find("onnxruntime")
TWO_INPUTS = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[1,2,H,W] x, float[1,2,1,1] scale) => (float[1,2,a,b] y, int64[1,1,h,w] at)
    { scaled = Mul(x, scale)
      y = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(scaled)
      at = ArgMax<axis = 1, keepdims = 1>(scaled) }"""
DRIVER = """
import onnxruntime as ort

def version():
    return "9.1"

def load(model):
    session = ort.InferenceSession(model.path, providers=["CPUExecutionProvider"])
    def run(*xs):
        found = session.run(model.outputs, dict(zip(model.inputs, xs, strict=True)))
        {}
        return found
    return run
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file for the driver that the target onnxruntime has from now on."""
    file = tmp_path / "driver.py"
    monkeypatch.setattr(in_target, "driver_path", lambda _: file)
    return file


def saved(text: str, folder: Path) -> Path:
    place = folder / "folder"
    place.mkdir()
    onnx.save(onnx.parser.parse_model(text), place / "model.onnx")
    return place / "model.onnx"


def test_several_inputs_and_outputs_at_two_sizes(tmp_path: Path) -> None:
    run = run_in_target(saved(TWO_INPUTS, tmp_path), ONNXRUNTIME)
    assert (run.outcome, run.error, run.detail) == ("right", 0.0, "")
    assert run.sizes == ("1x2x64x64, 1x2x1x1", "1x2x48x80, 1x2x1x1")
    assert run.version


def test_what_is_off_is_wrong(tmp_path: Path, driver: Path) -> None:
    model = saved(TWO_INPUTS, tmp_path)
    driver.write_text(DRIVER.format("found[0][0, 0, 3, 3] += 0.5"))
    run = run_in_target(model, ONNXRUNTIME)
    assert run.outcome == "wrong"
    assert run.error is not None
    assert 1e-3 < run.error < 1
    assert "output 'y' is off by" in run.detail
    driver.write_text(DRIVER.format("found[0] *= 1 + 1e-5"))
    assert run_in_target(model, ONNXRUNTIME).outcome == "right"
    driver.write_text(DRIVER.format("found[1] = 1 - found[1]"))
    assert "output 'at' is off by 1e+00" in run_in_target(model, ONNXRUNTIME).detail
    driver.write_text(DRIVER.format("found[0] = found[0][0]"))
    run = run_in_target(model, ONNXRUNTIME)
    assert (run.outcome, run.error) == ("wrong", None)
    assert run.detail == "output 'y' is 2x32x32, not 1x2x32x32"


@pytest.mark.parametrize(
    ("line", "outcome", "detail"),
    [
        ("raise ValueError('no such layer')", "refused", "run: ValueError: no such layer"),
        ("import os; os.abort()", "crashed", "ended by SIGABRT"),
        ("import time; time.sleep(60)", "timeout", "no answer within 2 s"),
    ],
)
def test_what_does_not_run(
    tmp_path: Path, driver: Path, line: str, outcome: str, detail: str
) -> None:
    driver.write_text(DRIVER.format(line))
    with limits.within(2.0):
        run = run_in_target(saved(TWO_INPUTS, tmp_path), ONNXRUNTIME)
    assert (run.outcome, run.detail, run.version) == (outcome, detail, "9.1")


def test_a_target_for_fixed_sizes_loads_once_for_each(tmp_path: Path, driver: Path) -> None:
    driver.write_text(DRIVER.format("assert model.shapes == [x.shape for x in xs]"))
    model = saved(TWO_INPUTS, tmp_path)
    assert run_in_target(model, ONNXRUNTIME).outcome == "refused"
    assert run_in_target(model, dataclasses.replace(ONNXRUNTIME, dynamic=False)).outcome == "right"


def test_what_nobody_can_run(tmp_path: Path, driver: Path) -> None:
    model = saved(TWO_INPUTS, tmp_path)
    absent = dataclasses.replace(ONNXRUNTIME, modules=("no_such_module",))
    run = run_in_target(model, absent)
    assert run.outcome == "not run"
    assert "it is not installed here; --target-python" in run.detail
    assert run_in_target(model, find("tensorrt")).detail == "nothing here runs it"
    with pytest.raises(ArgumentError, match="nothing here runs tensorrt"):
        run_in_target(model, find("tensorrt"), Path(sys.executable))
    driver.write_text("import no_such_module")
    assert "does not start: " in run_in_target(model, ONNXRUNTIME).detail
    with pytest.raises(ArgumentError, match=r"does not run onnxruntime: .*no_such_module"):
        run_in_target(model, ONNXRUNTIME, Path(sys.executable))
    with pytest.raises(ArgumentError, match="cannot be started: No such file"):
        run_in_target(model, ONNXRUNTIME, tmp_path / "python")


def test_another_version_is_another_target(tmp_path: Path, driver: Path) -> None:
    model = saved(TWO_INPUTS, tmp_path)
    driver.write_text(DRIVER.format("pass"))
    eighth = dataclasses.replace(ONNXRUNTIME, version="8.")
    assert run_in_target(model, eighth).detail.startswith("9.1 is here; ")
    with pytest.raises(ArgumentError, match=r"has 9\.1, not onnxruntime"):
        run_in_target(model, eighth, Path(sys.executable))


def test_inputs_that_cannot_be_drawn(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["" : 17]> g (string[2] x) => (string[2] y) '
    run = run_in_target(saved(text + "{ y = Identity(x) }", tmp_path), ONNXRUNTIME)
    assert (run.outcome, "'x' is of type STRING" in run.detail) == ("not run", True)


def test_a_size_that_nothing_runs(tmp_path: Path) -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17]> g (float[1,2,N] x) => (float[1,999] y)
        <int64[2] s = {1, 999}> { y = Reshape(x, s) }"""
    run = run_in_target(saved(text, tmp_path), ONNXRUNTIME)
    assert run.outcome == "not run"
    assert "at none of the sizes tried" in run.detail


def test_the_error_is_relative_and_of_finite_values() -> None:
    wanted = np.array([100.0, np.inf, np.nan], np.float32)
    assert error(np.array([99.0, 0.0, 0.0], np.float32), wanted) == pytest.approx(0.01)
    assert error(np.array([np.nan, 0.0, 0.0], np.float32), wanted) > 1e9
    assert error(np.array([1, 2, 3, 3]), np.array([1, 2, 3, 4])) == 0.25
    assert error(np.zeros((0,)), np.zeros((0,))) == 0.0


def test_a_result_says_how_its_runtime_runs_it() -> None:
    result = onnxpool.rewrite(GEM, target="onnxruntime").run_in_target()
    assert result.report.in_target is not None
    assert result.report.in_target.outcome == "right"
    with pytest.raises(ArgumentError, match="name one"):
        onnxpool.rewrite(GEM).run_in_target()


def test_a_result_that_its_runtime_does_not_run(driver: Path) -> None:
    result = onnxpool.rewrite(GEM, target="onnxruntime")
    driver.write_text(DRIVER.format("found[0] *= 2"))
    with pytest.raises(CheckError, match=r"onnxruntime 9\.1 gives other values .*--check none"):
        result.run_in_target()
    driver.write_text(DRIVER.format("raise ValueError('no')"))
    with pytest.raises(TargetError, match=r"does not run the result \(run: ValueError: no\)"):
        result.run_in_target()


def test_the_command_line_says_so(run: Run, tmp_path: Path, driver: Path) -> None:
    out, facts = tmp_path / "out.onnx", tmp_path / "facts.json"
    call = ["rewrite", GEM, out, "--target", "onnxruntime", "--json", facts]
    driver.write_text(DRIVER.format("found[0] *= 2"))
    status, _, said = run(*call)
    assert status == 1
    assert "onnxruntime 9.1 gives other values than ONNX Runtime" in said
    assert not out.exists()
    status, _, _ = run(*call, "--check", "none")
    assert status == 0
    assert json.loads(facts.read_text())[0]["in_target"] is None
    driver.write_text(DRIVER.format("pass"))
    status, told, _ = run(*call, "--target-python", sys.executable)
    assert status == 0
    assert "onnxruntime 9.1 runs it, at 1x8x13x13; off from ONNX Runtime by up to 0e+00" in told
    assert json.loads(facts.read_text())[0]["in_target"]["outcome"] == "right"


def test_an_interpreter_wants_a_target(run: Run, tmp_path: Path) -> None:
    call = ["rewrite", GEM, tmp_path / "out.onnx", "--target-python", sys.executable]
    status, _, said = run(*call)
    assert status == 2
    assert "--target-python goes with --target" in said
