"""What a defect of a runtime is: a minimal graph, and the input that shows it."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import onnx.parser

from onnxpool.ops.op import Array

HEADER = '<ir_version: 8, opset_import: ["" : 17]>'


@dataclasses.dataclass(frozen=True)
class Defect:
    """A graph that a runtime does not compute as ONNX says.

    Attributes:
        name: unique among those of the runtime.
        graph: in the text form of onnx.parser, opset 17.
        shape: of the input.
        says: what happens, in words.
        constant: the value of all elements of the input; None for random ones.
    """

    runtime: str
    name: str
    graph: str
    shape: tuple[int, ...]
    says: str
    constant: float | None = None

    def model(self) -> onnx.ModelProto:
        return onnx.parser.parse_model(f"{HEADER}\n{self.graph}")

    def values(self) -> Array:
        if self.constant is not None:
            return np.full(self.shape, self.constant, np.float32)
        return np.random.default_rng(0).standard_normal(self.shape).astype(np.float32)
