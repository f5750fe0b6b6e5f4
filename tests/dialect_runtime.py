"""Runs models with nodes of the dialect: onnx's reference evaluator with the NumPy references."""

from pathlib import Path
from typing import Any

import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from onnxpool.ops import DIALECT, DOMAIN, Op
from onnxpool.ops.op import Array


def _implementation(op: type[Op]) -> type[OpRun]:
    class Dialect(OpRun):
        op_domain = DOMAIN

        def _run(self, *inputs: Array, **attributes: Any) -> tuple[Array, ...]:
            given = {name: value for name, value in attributes.items() if value is not None}
            outputs = op.from_attributes(given).reference(*inputs)
            return outputs[: len(self.onnx_node.output)]

    Dialect.__name__ = op.op_type()
    return Dialect


def run(model: onnx.ModelProto | Path, *inputs: Array) -> list[Array]:
    """The outputs of a model, for its inputs in order."""
    loaded = onnx.load(model) if isinstance(model, Path) else model
    evaluator = ReferenceEvaluator(loaded, new_ops=[_implementation(op) for op in DIALECT])
    outputs = evaluator.run(None, dict(zip(evaluator.input_names, inputs, strict=True)))
    assert isinstance(outputs, list)
    return outputs
