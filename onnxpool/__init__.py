"""Pooling in exported ONNX models, made right, portable and fast.

result = onnxpool.rewrite("in.onnx")     # a path or a ModelProto
result.report.findings, result.model, result.save("out.onnx")
report = onnxpool.inspect("in.onnx")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxpool.pipeline import Result, inspect, rewrite

__version__ = "0.1.0"
__all__ = ["Result", "__version__", "inspect", "rewrite"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for, so that `import onnxpool` and --help are quick.
    if name in __all__:
        from onnxpool import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
