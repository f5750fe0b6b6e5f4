"""A process that runs models in one runtime: ``python worker.py drivers/NAME.py``.

It is started by a Python that has NumPy and the runtime, and need not have onnxpool. It prints the
runtime's version, then answers each line of its standard input, a request, by one line, both JSON:

    {"model": PATH, "inputs": [NAME…], "outputs": [NAME…], "runs": COUNT,
     "given": FILE.npz, "results": FILE.npz}
    {"stage": "done" | "load" | "run", "error": TEXT}

`given` holds the values of the inputs, "0.0" those of the first input in the first run, "0.1" of
the second one; a loaded model is run on one after the other. `results` takes the outputs alike.
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
        inputs, outputs: the names in the graph.
        shapes, types: of the inputs in the first run, for runtimes that convert for those.
    """

    path: str
    inputs: list[str]
    outputs: list[str]
    shapes: list[tuple[int, ...]]
    types: list[str]


def import_driver(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("driver", path)
    assert spec is not None
    assert spec.loader is not None
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    return driver


def answer(driver: ModuleType, request: dict[str, Any]) -> dict[str, str]:
    """Load the model, run it on the values of each run, and write the outputs."""
    stage = "load"
    count = len(request["inputs"])
    try:
        with np.load(request["given"]) as given:
            runs = [[given[f"{i}.{k}"] for k in range(count)] for i in range(request["runs"])]
        shapes = [x.shape for x in runs[0]]
        types = [str(x.dtype) for x in runs[0]]
        run = driver.load(
            Model(request["model"], request["inputs"], request["outputs"], shapes, types)
        )
        stage = "run"
        results: dict[str, Any] = {}
        for i, xs in enumerate(runs):
            for k, y in enumerate(run(*xs)):
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
