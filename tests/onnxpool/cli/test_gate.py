"""inspect --sarif and --junit, the GitHub Action and the pre-commit hook."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import onnx
import pytest
from onnx import TensorProto, helper

from onnxpool.cli.entry import RULES
from onnxpool.cli.junit import text as junit_text
from tests.onnxpool.cli.conftest import PYRAMID, ROOT, Shell, check_one_line, environment, relu
from tests.onnxpool.conftest import Run


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A model with a pool that its exporter's metadata says was adaptive to 3x3."""
    pool = helper.make_node(
        "AveragePool", ["x"], ["y"], "pool", kernel_shape=[4, 4], strides=[4, 4]
    )
    entry = pool.metadata_props.add()
    entry.key = "pkg.torch.onnx.class_hierarchy"
    entry.value = str(["Net", "torch.nn.modules.pooling.AdaptiveAvgPool2d", "aten.avg_pool2d"])
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [pool],
        "main",
        [value("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [value("y", TensorProto.FLOAT, ["n", 3, "a", "b"])],
    )
    path = tmp_path / "wrong model.onnx"
    imports = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), path)
    return path


def results(path: Path) -> list[dict[str, Any]]:
    log = json.loads(path.read_text("utf-8"))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == set(RULES)
    for result in run["results"]:
        assert result["ruleId"] in RULES
        assert result["level"] in ("note", "warning", "error")
    return list(run["results"])


def test_sarif(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Path) -> None:
    monkeypatch.chdir(tmp_path)
    status, *_ = run("inspect", wrong, PYRAMID, "nowhere.onnx", "--sarif", "log.sarif")
    found = {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]: result
        for result in results(tmp_path / "log.sarif")
    }
    assert status == 2
    # Relative to where it was called, and escaped; what is elsewhere as a file: URI.
    frozen = found["wrong%20model.onnx"]
    assert (frozen["ruleId"], frozen["level"]) == ("wrong-pooling", "error")
    assert "--output-size pool=HxW" in frozen["message"]["text"]
    place = frozen["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]
    assert place == "main graph/y"
    assert found[PYRAMID.as_uri()]["ruleId"] == "rewritable-pooling"
    assert found["nowhere.onnx"]["ruleId"] == "unusable-model"


def test_sarif_of_a_target(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log.sarif"
    assert run("inspect", PYRAMID, "--target", "ncnn", "--sarif", log)[0] == 0
    refused = [r for r in results(log) if r["ruleId"] == "target-refuses"]
    assert refused
    assert all("ncnn would not take GatherND" in r["message"]["text"] for r in refused)


def test_sarif_of_nothing(run: Run, tmp_path: Path) -> None:
    model, log = tmp_path / "relu.onnx", tmp_path / "log.sarif"
    model.write_bytes(relu())
    assert run("inspect", model, "--sarif", log)[0] == 0
    assert results(log) == []


@pytest.mark.parametrize("fail_on", ["error", "never"])
def test_junit(run: Run, tmp_path: Path, wrong: Path, fail_on: str) -> None:
    log, plain = tmp_path / "log.xml", tmp_path / "relu.onnx"
    plain.write_bytes(relu())
    models = (wrong, plain, PYRAMID, tmp_path / "nowhere.onnx")
    run("inspect", *models, "--junit", log, "--fail-on", fail_on)
    suites = ElementTree.parse(log).getroot().findall("testsuite")
    failing = fail_on == "error"
    told = [tuple(int(s.attrib[k]) for k in ("tests", "failures", "errors")) for s in suites]
    assert told == [(1, int(failing), 0), (1, 0, 0), (1, 0, 0), (1, 0, 1)]
    for suite in suites:
        assert len(suite.findall("testcase")) == int(suite.attrib["tests"])
        assert len(suite.findall("testcase/failure")) == int(suite.attrib["failures"])
        assert len(suite.findall("testcase/error")) == int(suite.attrib["errors"])


def test_junit_holds_any_name() -> None:
    model = 'a\x00\x1b<&"\ud800é.onnx'
    root = ElementTree.fromstring(junit_text([(model, 0.1, [])], "never").encode())
    assert root[0].attrib["name"] == 'a??<&"?é.onnx'


def test_one_model_has_them_too(shell: Shell, tmp_path: Path) -> None:
    done = shell("inspect", PYRAMID, "--sarif", "a.sarif", "--junit", "a.xml", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert results(tmp_path / "a.sarif")
    assert (tmp_path / "a.xml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sarif", "-"], "--sarif writes a file, and - is none"),
        (["--sarif", "a", "--junit", "a"], "--sarif and --junit name one file"),
        (["--junit", "no/such/folder/a.xml"], "no/such/folder"),
        (["--junit", "a", "--json", "a"], "--json would overwrite a"),
    ],
)
def test_mistakes(shell: Shell, tmp_path: Path, arguments: list[str], message: str) -> None:
    check_one_line(shell("inspect", PYRAMID, *arguments), 2, message)
    assert list(tmp_path.iterdir()) == []


def test_quiet_says_what_fails(shell: Shell, wrong: Path) -> None:
    done = shell("inspect", wrong, "-q", "--fail-on", "error")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"error: pool: frozen at the traced size" in done.stderr
    assert b"1 error left in" in done.stderr


def step_of_action(number: int) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    assert action["runs"]["using"] == "composite"
    return dict(action["runs"]["steps"][number])


@pytest.mark.parametrize(
    ("given", "status", "files"),
    [
        ({"FAIL_ON": "error"}, 1, ["log.sarif"]),
        ({"FAIL_ON": "never", "JUNIT": "log.xml", "SARIF": ""}, 0, ["log.xml"]),
        ({"FAIL_ON": "never", "TARGET": "ncnn"}, 0, ["log.sarif"]),
    ],
)
def test_the_action_inspects(
    tmp_path: Path, wrong: Path, given: dict[str, str], status: int, files: list[str]
) -> None:
    step = step_of_action(2)
    command = tmp_path / "command"
    command.write_text(
        f"#!{sys.executable}\nfrom onnxpool.cli.app import main\n"
        "if __name__ == '__main__': main()\n",
        encoding="utf-8",
    )
    command.chmod(0o755)
    # A name like an option, and one with a blank, are models all the same.
    (tmp_path / "-q.onnx").write_bytes(relu())
    inputs = {"MODELS": f"{wrong.name}\n-q.onnx\n", "TARGET": "", "SARIF": "log.sarif", "JUNIT": ""}
    variables = {**inputs, **given, "ONNXPOOL": str(command)}
    assert set(step["env"]) == set(inputs) | {"FAIL_ON"}
    # Nothing that a workflow is given becomes part of the script.
    assert "${{" not in step["run"]
    done = subprocess.run(
        ["bash", "-c", step["run"]],
        env=environment(**variables),
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("log.")) == files


def test_the_action_installs_what_is_beside_it(tmp_path: Path) -> None:
    step = step_of_action(1)
    assert "${{" not in step["run"]
    # In the place of Python: a command that notes how it is called.
    notes = tmp_path / "notes"
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\necho "$@" >> {notes}\n'
        'test "$2" != venv || { mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; }\n'
    )
    python.chmod(0o755)
    env = {"PYTHON": str(python), "SOURCE": "/the/action", "RUNNER_TEMP": str(tmp_path)}
    subprocess.run(
        ["bash", "-c", step["run"]],
        env={**os.environ, **env, "GITHUB_ENV": str(tmp_path / "env")},
        check=True,
    )
    assert notes.read_text().splitlines()[1].endswith(" /the/action")
    assert (tmp_path / "env").read_text() == f"ONNXPOOL={tmp_path}/onnxpool/bin/onnxpool\n"


def test_the_hook_looks_at_models(shell: Shell, wrong: Path) -> None:
    yaml = pytest.importorskip("yaml")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    command, *arguments = hook["entry"].split()
    assert command == "onnxpool"
    assert shell(*arguments, wrong).returncode == 1
    assert shell(*arguments, PYRAMID).returncode == 0
