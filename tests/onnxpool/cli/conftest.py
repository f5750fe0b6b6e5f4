"""The command line as a process of its own, as a shell would start it."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

ROOT = Path(__file__).parents[3]
PYRAMID = ROOT / "models" / "ppm.onnx"
COMMAND = (sys.executable, "-c", "from onnxpool.cli.app import main; main()")

Shell = Callable[..., subprocess.CompletedProcess[bytes]]


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **changes}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run the command line in `tmp_path`; stdout and stderr are captured, or go where is said."""

    def call(*arguments: str | Path, env: dict[str, str] | None = None, **options: Any) -> Any:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            check=False,
            timeout=120,
            cwd=tmp_path,
            env=environment(**(env or {})),
            **options,
        )

    return call


def check_one_line(result: subprocess.CompletedProcess[bytes], status: int, *parts: str) -> None:
    """One line on stderr, and nothing like a traceback anywhere."""
    errors = result.stderr.decode()
    assert (result.returncode, errors.count("\n")) == (status, 1), errors
    assert errors.startswith("onnxpool: ")
    assert "Traceback" not in errors
    for part in parts:
        assert part in errors


def relu(name: str = "", nodes: Sequence[onnx.NodeProto] = ()) -> bytes:
    """A model with nothing to rewrite."""
    nodes = nodes or [helper.make_node("Relu", ["X"], ["Y"], name)]
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "XY"]
    graph = helper.make_graph(nodes, "main", info[:1], info[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
