"""Apache TVM: Relax's ONNX frontend and its default pipeline, compiled for this CPU by LLVM.

Weights are given apart from the graph, as the frontend does unless told otherwise.
"""

import onnx
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx


def version():
    return tvm.__version__


def load(model):
    module = from_onnx(onnx.load(model.path))
    compiled = tvm.compile(module, target="llvm")
    machine = relax.VirtualMachine(compiled, tvm.cpu())

    def run(*xs):
        results = machine["main"](*map(tvm.runtime.tensor, xs))
        if isinstance(results, tvm.runtime.Tensor):
            return [results.numpy()]
        return [y.numpy() for y in results]

    return run
