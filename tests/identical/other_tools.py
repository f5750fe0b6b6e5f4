"""What tools around ONNX make of an exported model: fused, decomposed, of another opset."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.version_converter
import onnxruntime
import onnxscript.version_converter
from onnxscript import ir


def optimized(level: str) -> Callable[[bytes], bytes]:
    """As ONNX Runtime saves it: "BASIC" folds, "EXTENDED" fuses nodes into ops of its own too."""

    def run(model: bytes) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "optimized.onnx"
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            options.optimized_model_filepath = str(path)
            levels = onnxruntime.GraphOptimizationLevel
            options.graph_optimization_level = getattr(levels, f"ORT_ENABLE_{level}")
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            return path.read_bytes()

    return run


def converted_by_onnx(opset: int) -> Callable[[bytes], bytes]:
    def run(model: bytes) -> bytes:
        proto = onnx.load_from_string(model)
        return onnx.version_converter.convert_version(proto, opset).SerializeToString()

    return run


def converted_by_onnxscript(opset: int) -> Callable[[bytes], bytes]:
    def run(model: bytes) -> bytes:
        converted = ir.from_proto(onnx.load_from_string(model))
        onnxscript.version_converter.convert_version(converted, opset)
        return ir.to_proto(converted).SerializeToString()

    return run


@dataclasses.dataclass(frozen=True)
class Tool:
    """Attributes:
    name: unique.
    exporter: whose models it is tried on.
    """

    name: str
    exporter: str
    run: Callable[[bytes], bytes]


TOOLS = (
    Tool("onnxruntime-basic", "torchscript", optimized("BASIC")),
    Tool("onnxruntime-extended", "torchscript", optimized("EXTENDED")),
    Tool("onnxruntime-extended-dynamo", "dynamo", optimized("EXTENDED")),
    Tool("onnx-20", "torchscript", converted_by_onnx(20)),
    Tool("onnxscript-23", "dynamo", converted_by_onnxscript(23)),
)
