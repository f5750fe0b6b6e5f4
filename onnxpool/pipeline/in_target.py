"""The last word on a model for a target: its runtime runs it, where it is there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from onnxpool import caffe
from onnxpool.errors import CheckError, TargetError
from onnxpool.model.file import ModelFile
from onnxpool.pipeline.loading import LARGEST, weights
from onnxpool.targets import Target
from onnxpool.targets.caffe import CAFFE
from onnxpool.validation.in_target import TargetRun, run_in_target

UNCHECKED = "--check none writes it all the same"


def run(file: ModelFile, target: Target, python: Path | None) -> TargetRun:
    """Run a model, with its external data, in the runtime of a target.

    Args:
        python: an interpreter that has the runtime; None: this one, if it has, and if the weights
            are no more than what is loaded before a model is written.

    Raises:
        TargetError: the runtime does not load or run it.
        CheckError: it gives other values than ONNX Runtime.
        ArgumentError: `python` does not have the runtime.
    """
    size = weights(file.proto)
    if python is None and size > LARGEST:
        detail = f"{size >> 20} MB of weights, more than {LARGEST >> 20}; say --target-python"
        return TargetRun(target.name, "", "not run", detail)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        file.save(model)
        if target.name == CAFFE.name:
            net = caffe.convert(file.proto, file.path.parent)
            caffe.save(net, model.with_suffix(caffe.ENDING))
        found = run_in_target(model, target, python)
    name = f"{found.target} {found.version}"
    if found.outcome == "wrong":
        raise CheckError(
            f"{name} gives other values than ONNX Runtime: {found.detail}; nothing was written; "
            f"{UNCHECKED}"
        )
    if found.outcome in ("refused", "crashed"):
        raise TargetError(
            f"{name} does not run the result ({found.detail}); nothing was written; {UNCHECKED}"
        )
    return found
