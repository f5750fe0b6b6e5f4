"""Pooling in exported ONNX models, made right, portable and fast.

result = onnxpool.rewrite("in.onnx")     # a path or a ModelProto
result.report.findings, result.model, result.save("out.onnx")
report = onnxpool.inspect("in.onnx")
onnxpool.validate("out.onnx", "model.py:build").passed                       # or another .onnx
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxpool.pipeline import Result, inspect, rewrite
    from onnxpool.validation import Validation, validate

__version__ = "0.1.0"
__all__ = ["Result", "Validation", "__version__", "inspect", "rewrite", "validate"]

_HOMES = {
    "Result": "onnxpool.pipeline",
    "Validation": "onnxpool.validation",
    "inspect": "onnxpool.pipeline",
    "rewrite": "onnxpool.pipeline",
    "validate": "onnxpool.validation",
}


def __getattr__(name: str) -> Any:
    # Loaded when asked for, so that `import onnxpool` and --help are quick.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
