"""ncnn, converted by pnnx for one shape of each input, float32 throughout.

pnnx takes the batch axis away where it can tell which it is; the Python file that it writes says so
of every input and output (batch_index=233: none).
"""

import contextlib
import importlib.metadata
import os
import re
import subprocess
import tempfile
from pathlib import Path

import ncnn
import numpy as np

TYPES = {"float32": "f32", "float64": "f64", "float16": "f16", "int32": "i32", "int64": "i64"}


def version():
    return "{}, pnnx {}".format(*map(importlib.metadata.version, ("ncnn", "pnnx")))


def load(model):
    convert(model)
    stem = model.path.removesuffix(".onnx")
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    with printed() as words:
        failed = net.load_param(f"{stem}.ncnn.param") or net.load_model(f"{stem}.ncnn.bin")
    if failed:
        raise RuntimeError(f"ncnn: {words[0]}")
    axes = batch_axes(Path(f"{stem}_ncnn.py").read_text())
    count = len(model.inputs)

    def run(*xs):
        with net.create_extractor() as extractor:
            for k, (x, axis) in enumerate(zip(xs, axes[:count], strict=True)):
                mat = ncnn.Mat(np.ascontiguousarray(x), batch_index=axis)
                extractor.input(f"in{k}", mat.clone())
            return [extract(extractor, f"out{k}", axis) for k, axis in enumerate(axes[count:])]

    return run


def batch_axes(program):
    """The batch axis of each input, then of each output, from the program that pnnx writes."""
    return [int(index) for index in re.findall(r"batch_index=(\d+)", program)]


def convert(model):
    # The command of that name imports torch; the program is beside it.
    program = importlib.metadata.distribution("pnnx").locate_file("pnnx/pnnx")
    shapes = [
        f"[{','.join(map(str, shape))}]{TYPES[dtype]}"
        for shape, dtype in zip(model.shapes, model.types, strict=True)
    ]
    command = [program, model.path, f"inputshape={','.join(shapes)}", "fp16=0", "device=cpu"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(model.path).parent)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise RuntimeError(f"pnnx ends with status {done.returncode}: {' '.join(last)}")


@contextlib.contextmanager
def printed():
    """Catch what C++ prints on standard error: ncnn says why only there."""
    words: list[str] = []
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield words
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            words.append(" ".join(file.read().decode(errors="replace").split()))


def extract(extractor, name, batch):
    status, mat = extractor.extract(name)
    if status:
        raise RuntimeError(f"ncnn ends with status {status} at {name}")
    return np.array(mat.numpy(batch_index=batch))
