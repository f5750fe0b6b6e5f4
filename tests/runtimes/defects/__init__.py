"""Defects of runtimes, each shown by a minimal graph: ``python -m tests.runtimes defects``."""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime as ort

from tests.runtimes.defects import litert, ncnn, rknn
from tests.runtimes.defects.defect import Defect
from tests.runtimes.matrix import Runner

__all__ = ["DEFECTS", "Defect", "observe"]

TOLERANCE = 1e-3
"""Of the greatest output. A defect is no matter of rounding."""

DEFECTS: tuple[Defect, ...] = (*ncnn.DEFECTS, *litert.DEFECTS, *rknn.DEFECTS)


def observe(defect: Defect, runner: Runner) -> str:
    """What the runtime makes of it, in words; empty where it is right, as ONNX Runtime is."""
    model, x = defect.model(), defect.values()
    session = ort.InferenceSession(model.SerializeToString())
    (wanted,) = session.run(None, {"x": x})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        answer, found = runner.run(path, [x])
    if answer.stage != "done":
        return answer.in_words()
    ((y,),) = found
    if y.shape != wanted.shape:
        return f"shape {list(y.shape)} instead of {list(wanted.shape)}"
    error = float(np.max(np.abs(y - wanted)))
    return f"off by {error:.1e}" if not error <= TOLERANCE * np.max(np.abs(wanted)) else ""
