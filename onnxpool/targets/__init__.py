"""The runtimes that `rewrite --target` writes for: one small entry per file, listed in `TARGETS`.

To add one: copy the file that is nearest, say what the runtime does not take as `Limit`s (cures are
in rewrites/legalize/, conditions in conditions.py), and add the entry to `TARGETS`. Another package
adds one by an entry point (onnxpool/plugins.py).

A name comes in, a `Target` goes out: what its runtime does not take, each with a cure or without.
The pipeline (conform) cures or refuses by it; the command line lists it.
"""

from __future__ import annotations

from onnxpool import plugins
from onnxpool.errors import ArgumentError
from onnxpool.targets.caffe import CAFFE
from onnxpool.targets.emx import EMX
from onnxpool.targets.espdl import ESPDL
from onnxpool.targets.iree import IREE
from onnxpool.targets.litert import LITERT
from onnxpool.targets.mnn import MNN
from onnxpool.targets.ncnn import NCNN
from onnxpool.targets.nncase import NNCASE
from onnxpool.targets.onnxruntime import ONNXRUNTIME
from onnxpool.targets.onnxruntime_web import ONNXRUNTIME_WEB
from onnxpool.targets.opencv4 import OPENCV4
from onnxpool.targets.opencv5 import OPENCV5
from onnxpool.targets.openvino import OPENVINO
from onnxpool.targets.qnn import QNN
from onnxpool.targets.rknn import RKNN
from onnxpool.targets.target import PLACES, Limit, Target
from onnxpool.targets.tensorrt import TENSORRT
from onnxpool.targets.tinygrad import TINYGRAD
from onnxpool.targets.tract import TRACT
from onnxpool.targets.tvm import TVM

__all__ = ["PLACES", "TARGETS", "Limit", "Target", "every", "find"]

TARGETS: tuple[Target, ...] = (
    ONNXRUNTIME,
    ONNXRUNTIME_WEB,
    OPENVINO,
    OPENCV4,
    OPENCV5,
    NCNN,
    MNN,
    TRACT,
    TVM,
    IREE,
    LITERT,
    TINYGRAD,
    EMX,
    ESPDL,
    QNN,
    RKNN,
    NNCASE,
    TENSORRT,
    CAFFE,
)


def every() -> tuple[Target, ...]:
    """Ours, and those that other packages add.

    Raises:
        PluginError: one of these is none, or has the name of another.
    """
    found = list(TARGETS)
    for name, target in plugins.loaded(plugins.TARGETS):
        is_target = isinstance(target, Target)
        taken = is_target and target.name in [other.name for other in found]
        wrong = "" if is_target else f"is of type {type(target).__name__}, wanted a Target"
        plugins.check(plugins.TARGETS, name, wrong or "has the name of another target" * taken)
        found.append(target)
    return tuple(found)


def find(name: str) -> Target:
    """The target of that name.

    Raises:
        ArgumentError: there is none.
        PluginError: as `every`.
    """
    targets = every()
    for target in targets:
        if target.name == name:
            return target
    names = ", ".join(target.name for target in targets)
    raise ArgumentError(f"there is no target {name!r}; use {names}")
