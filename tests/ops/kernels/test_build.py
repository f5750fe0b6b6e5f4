"""What the library exports, which instruction sets it has, and that they share no code."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from onnxpool.ops import library_path
from tests.ops.kernels.runtime import LIBRARY

KERNELS = Path(__file__).parents[3] / "ops" / "kernels"
COMPILER = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
NM = shutil.which("nm")


@pytest.mark.skipif(NM is None or sys.platform != "linux", reason="needs nm, on Linux")
def test_only_the_register_symbol_is_exported() -> None:
    library = LIBRARY or library_path()
    command = [str(NM), "--dynamic", "--defined-only", str(library)]
    symbols = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [line.split()[-1] for line in symbols.splitlines()] == ["RegisterCustomOps"]


@pytest.mark.skipif(NM is None or COMPILER is None, reason="needs nm and a C++ compiler")
def test_the_loops_define_nothing_that_instruction_sets_could_share(tmp_path: Path) -> None:
    """Without optimisation no inline function disappears, so each one in use shows."""
    table = tmp_path / "table.o"
    source = KERNELS / "loops" / "table.cc"
    flags = ("-std=c++17", "-O0", "-fno-exceptions", "-fno-rtti", "-DONNXPOOL_ISA=baseline")
    subprocess.run([str(COMPILER), *flags, "-c", source, "-o", table], check=True)
    command = [str(NM), "--demangle", "--defined-only", str(table)]
    symbols = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    visible = re.findall(r" [A-Zuvw] (.*)$", symbols, re.MULTILINE)
    assert visible == ["onnxpool::baseline::table"]


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_every_instruction_set_passes_the_case_table(isa: str) -> None:
    """The one that this CPU has is tested by all the other tests."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    cases = Path(__file__).with_name("test_kernels.py")
    environment = {**os.environ, "ONNXPOOL_ISA": isa, "PYTEST_ADDOPTS": ""}
    result = subprocess.run(
        [*command, "-o", "addopts=--import-mode=importlib", str(cases), "-k", "float32 or float16"],
        env=environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:]
