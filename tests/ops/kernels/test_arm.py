"""The kernels for Arm, cross-compiled and run under an emulator: what they compute, not how fast.

    apt-get install g++-aarch64-linux-gnu qemu-user
    pytest -m slow tests/ops/kernels/test_arm.py

There is no ONNX Runtime in there: emulated.cc reads the cases of the dialect from a file.
"""

import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from onnxpool.ops import AdaptiveMaxPool, Op, PyramidPool, PyramidUpsample
from onnxpool.ops.op import Array
from tests.cases import CASES
from tests.ops.kernels.test_kernels import as_stored

KERNELS = Path(__file__).parents[3] / "ops" / "kernels"
COMPILER, EMULATOR = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
SOURCES = (
    *("adaptive_average_pool.cc", "adaptive_max_pool.cc", "gem_pool.cc", "pooling.cc"),
    *("pyramid_pool.cc", "pyramid_upsample.cc", "register.cc", "runtime.cc"),
    *("loops/dispatch.cc", "loops/table.cc"),
)
FLAGS = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-static")
WARNINGS = ("-Wno-maybe-uninitialized", "-fno-tree-loop-distribute-patterns")

Question = tuple[Op, tuple[Array, ...], int]
"""An op, its inputs, and how many outputs."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        COMPILER is None or EMULATOR is None or sys.byteorder != "little",
        reason="needs aarch64-linux-gnu-g++ and qemu-aarch64",
    ),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("arm") / "emulated"
    sources = [Path(__file__).with_name("emulated.cc"), *(KERNELS / name for name in SOURCES)]
    options = [*FLAGS, *WARNINGS, "-DONNXPOOL_ISA=baseline", f"-I{KERNELS}"]
    subprocess.run([str(COMPILER), *options, *sources, "-o", made], check=True)
    return made


def test_the_loops_are_compiled_to_neon(program: Path) -> None:
    objdump = str(shutil.which("aarch64-linux-gnu-objdump"))
    text = subprocess.run([objdump, "-d", program], check=True, capture_output=True, text=True)
    loops = text.stdout.partition("onnxpool8baseline")[2]
    assert loops.count("fadd\tv") > 100
    assert loops.count(".4s") > 1000


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_the_case_table(program: Path, tmp_path: Path, dtype: Any) -> None:
    cases = [as_stored(case) for case in CASES]
    questions = [(case.op, case.inputs(dtype), case.outputs) for case in cases]
    eps = float(np.finfo(dtype).eps)
    for case, found in zip(cases, answers(program, tmp_path, questions), strict=True):
        for y, expected in zip(found, case.expected(dtype), strict=True):
            if _is_max(case.op):
                np.testing.assert_array_equal(y, expected.astype(y.dtype), err_msg=str(case))
            else:
                np.testing.assert_allclose(
                    y, expected, rtol=2 * eps, atol=4 * eps, err_msg=str(case)
                )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_upsampling(program: Path, tmp_path: Path, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    planes = ((33, 35), (1, 1), (6, 6), (9, 40), (33, 35))
    given = tuple(rng.standard_normal((2, 3, *plane)).astype(dtype) for plane in planes)
    questions: list[Question] = [
        (PyramidUpsample(mode, position), given, 1)
        for mode in ("align_corners", "half_pixel")
        for position in range(len(planes))
    ]
    eps = float(np.finfo(dtype).eps)
    for (op, *_), (y,) in zip(questions, answers(program, tmp_path, questions), strict=True):
        (expected,) = op.reference(*given)
        np.testing.assert_allclose(y, expected, rtol=4 * eps, atol=4 * eps)


def answers(
    program: Path, folder: Path, questions: Sequence[Question]
) -> Iterator[tuple[Array, ...]]:
    """What the emulated kernels compute."""
    asked, answered = folder / "asked", folder / "answered"
    asked.write_bytes(_integers(len(questions)) + b"".join(map(_question, questions)))
    subprocess.run([str(EMULATOR), program, asked, answered], check=True)
    data = answered.read_bytes()
    at = 0
    for op, inputs, outputs in questions:
        found: list[Array] = []
        for index in range(outputs):
            indices = isinstance(op, AdaptiveMaxPool) and index == 1
            dtype = np.dtype(np.int64) if indices else inputs[0].dtype
            (rank,) = struct.unpack_from("<q", data, at)
            shape = struct.unpack_from(f"<{rank}q", data, at + 8)
            at += 8 + 8 * rank
            count = int(np.prod(shape))
            found.append(np.frombuffer(data, dtype, count, at).reshape(shape))
            at += count * dtype.itemsize
        yield tuple(found)
    assert at == len(data)


def _question(question: Question) -> bytes:
    op, inputs, outputs = question
    attributes = op.attributes()
    return b"".join(
        (
            _text(op.op_type()),
            _integers(len(attributes)),
            *(_text(name) + _attribute(value) for name, value in attributes.items()),
            _integers(len(inputs)),
            *map(_tensor, inputs),
            _integers(outputs),
        )
    )


def _attribute(value: Any) -> bytes:
    if isinstance(value, str):
        return _text("string") + _text(value)
    if isinstance(value, float):
        return _text("float") + struct.pack("<f", value)
    if isinstance(value, int):
        return _text("int") + _integers(value)
    return _text("ints") + _integers(len(value), *value)


def _tensor(x: Array) -> bytes:
    elem_type = onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
    return _integers(elem_type, x.ndim, *x.shape) + x.tobytes()


def _text(text: str) -> bytes:
    return _integers(len(text.encode())) + text.encode()


def _integers(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def _is_max(op: Op) -> bool:
    return isinstance(op, AdaptiveMaxPool) or (isinstance(op, PyramidPool) and op.mode == "max")
