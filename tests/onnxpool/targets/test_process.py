"""A runtime's crash, hang and refusal are results, and the next request is answered."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from onnxpool.targets.running.process import CannotStart, Worker

DRIVER = """
import os, signal, time

def version():
    return "1"

def load(model):
    if model.path.endswith("refused.onnx"):
        raise ValueError("no such op\\nand more")
    if model.path.endswith("crash.onnx"):
        print("last words")
        os.kill(os.getpid(), signal.SIGSEGV)
    if model.path.endswith("hang.onnx"):
        time.sleep(60)
    if model.path.endswith("few.onnx"):
        return lambda *xs: [xs[0]]
    return lambda x, z: [x + 1, (x * z).sum()]
"""


INPUTS = [{"x": np.zeros(3), "z": np.full(3, 2.0)}, {"x": np.ones(3), "z": np.full(3, 2.0)}]


def worker_of(driver: Path, folder: Path) -> Worker:
    return Worker("a runtime", driver, Path(sys.executable), folder)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    worker = worker_of(driver, tmp_path)
    yield worker
    worker.close()


def test_outputs_of_every_run(worker: Worker, tmp_path: Path) -> None:
    assert worker.version == "1"
    answer, runs = worker.run(tmp_path / "good.onnx", INPUTS, ["y", "z"], 30)
    assert answer.stage == "done"
    assert [[y.tolist() for y in run] for run in runs] == [[[1, 1, 1], 0], [[2, 2, 2], 6]]


@pytest.mark.parametrize(
    ("model", "timeout", "stage", "error"),
    [
        ("refused", 30, "load", "ValueError: no such op\nand more"),
        ("few", 30, "run", "2 outputs instead of 4"),
        ("crash", 30, "crashed", "ended by SIGSEGV"),
        ("hang", 0.5, "timeout", "no answer within 0.5 s"),
    ],
)
def test_what_goes_wrong_is_an_answer(
    worker: Worker, tmp_path: Path, model: str, timeout: float, stage: str, error: str
) -> None:
    answer, _ = worker.run(tmp_path / f"{model}.onnx", INPUTS, ["y", "z"], timeout)
    assert (answer.stage, answer.error) == (stage, error)
    answer, _ = worker.run(tmp_path / "good.onnx", INPUTS, ["y", "z"], 30)
    assert answer.stage == "done"


def test_a_runtime_that_is_not_there(tmp_path: Path) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text("import no_such_runtime")
    with pytest.raises(CannotStart, match=r"does not start: .*no_such_runtime"):
        worker_of(driver, tmp_path)


def test_a_runtime_that_hangs_at_once(tmp_path: Path) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text("import time\ntime.sleep(60)")
    with pytest.raises(CannotStart, match=r"does not start: no answer within 0\.5 s"):
        Worker("a runtime", driver, Path(sys.executable), tmp_path, start_timeout=0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory so")
def test_memory_has_an_end(tmp_path: Path) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import numpy\ndef version(): return '1'\ndef load(model): return numpy.ones(1 << 28)"
    )
    worker = Worker("a runtime", driver, Path(sys.executable), tmp_path, memory=1 << 30)
    answer, _ = worker.run(tmp_path / "any.onnx", INPUTS, ["y"], 30)
    assert "MemoryError" in answer.error
    worker.close()
