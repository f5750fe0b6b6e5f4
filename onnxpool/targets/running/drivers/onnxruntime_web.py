"""ONNX Runtime Web in Node, on WebAssembly.

npm has installed it into the environment of this process, beside Python's packages.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

PROGRAM = Path(__file__).with_suffix(".mjs")
PACKAGES = Path(sys.prefix)


def version():
    package = PACKAGES / "node_modules" / "onnxruntime-web" / "package.json"
    return json.loads(package.read_text())["version"]


def load(model):
    folder = Path(model.path).parent
    node = subprocess.Popen(
        ["node", str(PROGRAM), str(folder), str(PACKAGES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    answer(node)

    def run(*xs):
        inputs = []
        for k, (name, x) in enumerate(zip(model.inputs, xs, strict=True)):
            (folder / f"given{k}.bin").write_bytes(x.tobytes())
            inputs.append({"name": name, "dtype": str(x.dtype), "shape": x.shape})
        request = {"inputs": inputs, "outputs": model.outputs}
        print(json.dumps(request), file=node.stdin, flush=True)
        return [read(folder / f"{k}.bin", **y) for k, y in enumerate(answer(node))]

    return run


def answer(node):
    line = node.stdout.readline()
    if not line:
        raise RuntimeError(f"node ends with status {node.wait()}")
    facts = json.loads(line)
    if "error" in facts:
        raise RuntimeError(facts["error"])
    return facts


def read(path, dtype, shape):
    return np.frombuffer(path.read_bytes(), dtype).reshape(shape)
