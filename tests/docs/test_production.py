"""docs/production.md: its Python runs, and its C program is compiled and gives the same numbers."""

import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import onnxpool
from onnxpool.ops import AdaptiveAveragePool, library_path
from tests.onnxpool.custom_op import needs_library

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "production.md"
IMAGE = np.arange(8 * 13 * 13, dtype=np.float32).reshape(1, 8, 13, 13)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "prod.onnx"
    onnxpool.rewrite(ROOT / "models" / "adaptive_avg_2d.onnx", to="custom-op").save(path)
    return path


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def ray() -> dict[str, types.ModuleType]:
    """As much of Ray Serve as the page needs: `bind` makes the replica at once."""

    def deployment(cls: Any) -> Any:
        cls.bind = classmethod(lambda cls, *arguments: cls(*arguments))
        return cls

    serve = types.ModuleType("ray.serve")
    serve.deployment = deployment  # type: ignore[attr-defined]
    package = types.ModuleType("ray")
    package.serve = serve  # type: ignore[attr-defined]
    return {"ray": package, "ray.serve": serve}


@needs_library
def test_the_python_of_the_page_runs(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    for name, module in ray().items():
        monkeypatch.setitem(sys.modules, name, module)
    pages: list[dict[str, Any]] = [
        {"__name__": f"block_{i}"} for i, _ in enumerate(blocks("python"))
    ]
    assert len(pages) == 3
    for source, names in zip(blocks("python"), pages, strict=True):
        exec(compile(source, str(PAGE), "exec"), names)
        session = names.get("session") or names["app"].session
        (wanted,) = AdaptiveAveragePool((6, 6)).reference(IMAGE)
        np.testing.assert_allclose(session.run(None, {"input": IMAGE})[0], wanted, rtol=1e-6)


def runtime_library() -> Path | None:
    folder = Path(onnxruntime.__file__).parent / "capi"
    return next(iter(folder.glob("libonnxruntime.so.*")), None)


@needs_library
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.skipif(runtime_library() is None, reason="needs the runtime as a shared library")
def test_the_program_of_the_page_runs(model: Path, tmp_path: Path) -> None:
    library = runtime_library()
    assert library is not None
    (tmp_path / "libonnxruntime.so.1").symlink_to(library)
    program = tmp_path / "production"
    arguments = ["-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{Path(__file__).parent}"]
    source = ROOT / "docs" / "production.c"
    subprocess.run(["gcc", *arguments, source, library, "-o", program], check=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}

    def run(*values: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *values], env=environment, capture_output=True, text=True, check=False
        )

    done = run(library_path(), model)
    assert done.returncode == 0, done.stderr
    printed = np.array([float(line) for line in done.stdout.split()], np.float32)
    (wanted,) = onnxpool.session(model).run(None, {"input": IMAGE})
    np.testing.assert_array_equal(printed, wanted.reshape(-1))
    refused = run(tmp_path / "missing.so", model)
    assert refused.returncode == 1
    assert "missing.so" in refused.stderr


def test_the_line_of_the_page_is_in_the_program() -> None:
    (line,) = blocks("c")
    call = line.split(",")[0].strip()
    assert call in (ROOT / "docs" / "production.c").read_text(encoding="utf-8")
