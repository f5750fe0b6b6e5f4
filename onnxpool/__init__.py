"""Pooling in exported ONNX models, made right, portable and fast.

result = onnxpool.rewrite("in.onnx")     # a path or a ModelProto
result.report.findings, result.model, result.save("out.onnx")
report = onnxpool.inspect("in.onnx")
onnxpool.session("out.onnx")             # of rewrite(..., to="custom-op"): runs the kernels
onnxpool.ops.register(session_options)                                       # for sessions of yours
onnxpool.bench(["in.onnx", "out.onnx"]).comparisons                          # latency, in turns
onnxpool.validate("out.onnx", "model.py:build").passed                       # or another .onnx
onnxpool.compare("a.onnx", "b.onnx").first_difference                        # any two
onnxpool.diff("a.onnx", "b.onnx").replaced                                   # as they are written
result = onnxpool.export(module, args, "out.onnx", dynamic_shapes="auto")    # needs PyTorch
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxpool import ops
    from onnxpool.benchmark import Bench, bench
    from onnxpool.exporters import export
    from onnxpool.model.diff import Diff, diff
    from onnxpool.pipeline.rewrite import Result, inspect, rewrite
    from onnxpool.runtime import session
    from onnxpool.validation.compare import Validation, compare, validate

__version__ = "0.1.0"
__all__ = [
    "Bench",
    "Diff",
    "Result",
    "Validation",
    "__version__",
    "bench",
    "compare",
    "diff",
    "export",
    "inspect",
    "ops",
    "rewrite",
    "session",
    "validate",
]

_HOMES = {
    "Bench": "onnxpool.benchmark",
    "Diff": "onnxpool.model.diff",
    "Result": "onnxpool.pipeline.rewrite",
    "Validation": "onnxpool.validation.compare",
    "bench": "onnxpool.benchmark",
    "compare": "onnxpool.validation.compare",
    "diff": "onnxpool.model.diff",
    "export": "onnxpool.exporters",
    "inspect": "onnxpool.pipeline.rewrite",
    "rewrite": "onnxpool.pipeline.rewrite",
    "session": "onnxpool.runtime",
    "validate": "onnxpool.validation.compare",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    # Loaded when asked for, so that `import onnxpool` and --help are quick.
    if name == "ops":
        return importlib.import_module("onnxpool.ops")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
