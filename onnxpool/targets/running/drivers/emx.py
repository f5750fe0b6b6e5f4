"""emx-onnx-cgen: the model as C for a microcontroller, here compiled by gcc and called.

The sizes and types of the inputs and outputs are those of the function that it writes. Large arrays
of constants are in a file beside it, which is loaded: gcc takes minutes for them.
"""

import ctypes
import importlib.metadata
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnx
from emx_onnx_cgen.compiler import Compiler, CompilerOptions

PARAMETER = re.compile(r"(const )?(\w+) \w+((?:\[[^]]*\])+)")
TYPES = {"float": np.float32, "double": np.float64, "int64_t": np.int64, "int32_t": np.int32}


def version():
    return importlib.metadata.version("emx-onnx-cgen")


def load(model):
    source = model.path.removesuffix(".onnx") + ".c"
    compiler = Compiler(CompilerOptions(model_name="model"))
    written, constants = compiler.compile_with_weight_data(onnx.load(model.path))
    Path(source).write_text(written)
    library = build(source)
    if constants is not None:
        load_constants(library, constants, Path(source).with_suffix(".bin"))
    outputs = parameters(written)[len(model.inputs) :]

    def run(*xs):
        results = [np.zeros(shape, dtype) for dtype, shape in outputs]
        library.model(*(array.ctypes.data_as(ctypes.c_void_p) for array in (*xs, *results)))
        return results

    return run


def load_constants(library, constants, path):
    path.write_bytes(constants)
    library.model_load.restype = ctypes.c_bool
    if not library.model_load(str(path).encode()):
        raise RuntimeError("the function for the constants does not read them")


def build(source):
    # A name of its own each time: a library that is loaded once is not loaded anew.
    descriptor, library = tempfile.mkstemp(".so", dir=Path(source).parent)
    os.close(descriptor)
    command = ["gcc", "-O1", "-w", "-shared", "-fPIC", source, "-o", library, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"gcc: {done.stderr.strip().splitlines()[-1]}")
    return ctypes.CDLL(library)


def parameters(written):
    """Type and shape of each parameter of the function: the inputs, then the outputs."""
    (signature,) = re.findall(r"^void model\((.*)\) \{$", written, re.MULTILINE)
    found = []
    for part in signature.split(", "):
        match = PARAMETER.fullmatch(part)
        if match is None:
            raise RuntimeError(f"the function has a parameter {part!r}")
        shape = tuple(int(size) for size in re.findall(r"\[(?:restrict )?(\d+)\]", match[3]))
        found.append((TYPES[match[2]], shape))
    return found
