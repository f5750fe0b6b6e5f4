"""int8 by ONNX Runtime's static quantization, with what it sets for Qualcomm's NPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize
from onnxruntime.quantization.execution_providers.qnn import (
    get_qnn_qdq_config,
    qnn_preprocess_model,
)

from onnxpool.ops.op import Array


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, samples: Sequence[Array]) -> None:
        self._name, self._samples = name, samples
        self.rewind()

    def rewind(self) -> None:
        self._left: Iterator[Array] = iter(self._samples)

    def get_next(self) -> dict[str, Array] | None:
        x = next(self._left, None)
        return None if x is None else {self._name: x}


def quantize_in_place(path: Path, samples: Sequence[Array]) -> None:
    """Quantize a model with one input, of 8 bits for activations and weights.

    A pooling alone is quantized too, which ONNX Runtime leaves to its neighbours otherwise.
    """
    prepared = path.with_name("prepared.onnx")
    source = prepared if qnn_preprocess_model(str(path), str(prepared)) else path
    (x,) = onnx.load(source).graph.input
    eight = QuantType.QUInt8
    config = get_qnn_qdq_config(
        str(source), _Samples(x.name, samples), activation_type=eight, weight_type=eight
    )
    config.extra_options["ForceQuantizeNoInputCheck"] = True
    quantize(str(source), str(path), config)
