"""Time models in one runtime, in turns: ``python stopwatch.py drivers/NAME.py``.

It is started by the Python of the runtime's own environment, as worker.py is, which is to be on the
path that modules are imported from. Standard input holds
one request, JSON; the answer is the last line of standard output:

    {"models": [PATH…], "input": NAME, "outputs": [NAME…], "given": FILE.npy, "seconds": NUMBER}
    [SECONDS | TEXT…]

For each model the least time of a run, or why it does not run.
"""

import json
import sys
import time

import numpy as np
from worker import Model, import_driver

LEAST_ROUNDS = 5


def main() -> None:
    request = json.loads(sys.stdin.read())
    driver = import_driver(sys.argv[1])
    x = np.load(request["given"])
    runs, times, failures = {}, {}, {}
    for path in request["models"]:
        try:
            run = driver.load(
                Model(path, [request["input"]], request["outputs"], [x.shape], [str(x.dtype)])
            )
            run(x)
            runs[path], times[path] = run, float("inf")
        except Exception as error:
            failures[path] = f"{type(error).__name__}: {error}"
    end, rounds = time.perf_counter() + request["seconds"], 0
    while runs and (rounds < LEAST_ROUNDS or time.perf_counter() < end):
        for path, run in runs.items():
            start = time.perf_counter()
            run(x)
            times[path] = min(times[path], time.perf_counter() - start)
        rounds += 1
    print()
    print(json.dumps([(failures | times)[path] for path in request["models"]]))


if __name__ == "__main__":
    main()
