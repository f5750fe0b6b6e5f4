"""IREE: imported by iree-import-onnx, compiled for this CPU."""

import importlib.metadata
import subprocess
import sys

import iree.compiler
import iree.runtime


def version():
    return importlib.metadata.version("iree-base-compiler")


def load(model):
    stem = model.path.removesuffix(".onnx")
    importer = [sys.executable, "-m", "iree.compiler.tools.import_onnx", model.path]
    done = subprocess.run([*importer, "-o", f"{stem}.mlir"], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"iree-import-onnx: {done.stderr.strip().splitlines()[-1]}")
    compiled = iree.compiler.compile_file(
        f"{stem}.mlir",
        input_type="onnx",
        target_backends=["llvm-cpu"],
        extra_args=["--iree-llvmcpu-target-cpu=host"],
    )
    config = iree.runtime.Config("local-sync")
    context = iree.runtime.SystemContext(config=config)
    context.add_vm_module(iree.runtime.VmModule.copy_buffer(context.instance, compiled))
    (module,) = (m for name, m in context.modules.items() if name != "hal")
    names = module.vm_module.function_names
    (function,) = (module[n] for n in names if "$" not in n and not n.startswith("__"))

    def run(*xs):
        results = function(*xs)
        return [y.to_host() for y in (results if isinstance(results, tuple | list) else [results])]

    return run
