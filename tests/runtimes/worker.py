"""A process that runs models in one runtime: ``python worker.py drivers/NAME.py``.

It is started by the Python of the runtime's own environment, which has NumPy and the runtime but
neither onnxpool nor this package. It prints the runtime's version, then answers each line of its
standard input, a request, by one line, both JSON:

    {"model": PATH, "input": NAME, "outputs": [NAME…], "shape": [N, C, …],
     "given": FILE.npz, "results": FILE.npz}
    {"stage": "done" | "load" | "run", "error": TEXT}

`given` holds inputs "0", "1", …, to be run one after the other on one loaded model; `shape` is that
of the first. `results` takes the outputs, "0.0" the first output on the first input.
"""

import importlib.util
import json
import os
import sys
import traceback
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np


class Model(NamedTuple):
    """What a driver's `load` is given.

    Attributes:
        path: of the .onnx file, in a folder where the driver may write.
        input, outputs: the names in the graph.
        shape: of the first input, for runtimes that convert for one shape.
    """

    path: str
    input: str
    outputs: list[str]
    shape: tuple[int, ...]


def import_driver(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("driver", path)
    assert spec is not None
    assert spec.loader is not None
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    return driver


def answer(driver: ModuleType, request: dict[str, Any]) -> dict[str, str]:
    """Load the model, run it on every input, and write the outputs."""
    stage = "load"
    try:
        model = Model(
            request["model"], request["input"], request["outputs"], tuple(request["shape"])
        )
        run = driver.load(model)
        stage = "run"
        results: dict[str, Any] = {}
        with np.load(request["given"]) as given:
            for i in range(len(given)):
                for k, y in enumerate(run(given[str(i)])):
                    results[f"{i}.{k}"] = np.asarray(y)
        np.savez(request["results"], **results)
    except Exception as error:
        traceback.print_exc()
        return {"stage": stage, "error": f"{type(error).__name__}: {error}"}
    return {"stage": "done", "error": ""}


def main() -> None:
    # The runtimes print to standard output, which is to carry answers alone.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    driver = import_driver(sys.argv[1])
    print(json.dumps(driver.version()), file=answers)
    for line in sys.stdin:
        print(json.dumps(answer(driver, json.loads(line))), file=answers)


if __name__ == "__main__":
    main()
