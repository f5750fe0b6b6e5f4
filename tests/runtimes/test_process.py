"""A runtime's crash, hang and refusal are results, and the next request is answered."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runtimes.process import Worker
from tests.runtimes.registry import Runtime, by_name

DRIVER = """
import os, signal, time

def version():
    return "1"

def load(model):
    if model.path == "refused":
        raise ValueError("no such op\\nand more")
    if model.path == "crash":
        print("last words")
        os.kill(os.getpid(), signal.SIGSEGV)
    if model.path == "hang":
        time.sleep(60)
    return lambda x: [x + 1, x.sum()]
"""


def runtime_of(driver: Path) -> Runtime:
    class Driven(Runtime):
        driver_path = driver

    return Driven(**dataclasses.asdict(by_name("onnxruntime")))


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    worker = Worker(runtime_of(driver), Path(sys.executable), tmp_path)
    yield worker
    worker.close()


def request(model: str, folder: Path) -> dict[str, Any]:
    given, results = folder / "given.npz", folder / "results.npz"
    arrays: dict[str, Any] = {"0": np.zeros(3), "1": np.ones(3)}
    np.savez(given, **arrays)
    return {
        "model": model,
        "input": "x",
        "outputs": ["y", "z"],
        "shape": [3],
        "given": str(given),
        "results": str(results),
    }


def test_outputs_of_every_input(worker: Worker, tmp_path: Path) -> None:
    assert worker.version == "1"
    answer = worker.ask(request("good", tmp_path), 30)
    assert answer.stage == "done"
    with np.load(tmp_path / "results.npz") as results:
        assert {name: results[name].tolist() for name in results} == {
            "0.0": [1, 1, 1],
            "0.1": 0,
            "1.0": [2, 2, 2],
            "1.1": 3,
        }


@pytest.mark.parametrize(
    ("model", "timeout", "stage", "error"),
    [
        ("refused", 30, "load", "ValueError: no such op\nand more"),
        ("crash", 30, "crashed", "ended by SIGSEGV"),
        ("hang", 0.5, "timeout", "no answer within 0.5 s"),
    ],
)
def test_what_goes_wrong_is_an_answer(
    worker: Worker, tmp_path: Path, model: str, timeout: float, stage: str, error: str
) -> None:
    answer = worker.ask(request(model, tmp_path), timeout)
    assert (answer.stage, answer.error) == (stage, error)
    assert worker.ask(request("good", tmp_path), 30).stage == "done"


def test_a_runtime_that_does_not_start(tmp_path: Path) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text("import no_such_runtime")
    with pytest.raises(RuntimeError, match=r"does not start: .*no_such_runtime"):
        Worker(runtime_of(driver), Path(sys.executable), tmp_path)
