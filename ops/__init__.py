"""The dialect: the ops of domain `onnxpool`, version 1, one op per file.

An op is its attributes, its shape rule and its NumPy reference; its ONNX schema is made of them.
kernels/ holds the same ops in C++, and `library` says where that library is. Every room above knows
the dialect from here.
"""

import atexit
import threading

import onnx

from onnxpool.ops.adaptive_average_pool import AdaptiveAveragePool
from onnxpool.ops.adaptive_max_pool import AdaptiveMaxPool
from onnxpool.ops.adaptive_pool import AdaptivePool
from onnxpool.ops.gem_pool import GeMPool
from onnxpool.ops.library import library_path, register
from onnxpool.ops.op import COMPUTED, DOMAIN, KEEP, VERSION, InvalidOp, Op
from onnxpool.ops.pyramid_pool import PyramidPool
from onnxpool.ops.pyramid_upsample import PyramidUpsample

POOLS: tuple[type[Op], ...] = (AdaptiveAveragePool, AdaptiveMaxPool, GeMPool, PyramidPool)
DIALECT: tuple[type[Op], ...] = (*POOLS, PyramidUpsample)

__all__ = [
    "COMPUTED",
    "DIALECT",
    "DOMAIN",
    "KEEP",
    "POOLS",
    "VERSION",
    "AdaptiveAveragePool",
    "AdaptiveMaxPool",
    "AdaptivePool",
    "GeMPool",
    "InvalidOp",
    "Op",
    "PyramidPool",
    "PyramidUpsample",
    "library_path",
    "register",
    "register_schemas",
]


_LOCK = threading.Lock()


def register_schemas() -> None:
    """Make onnx's checker and shape inference know the dialect; safe to call again."""
    with _LOCK:
        for op in DIALECT:
            if not onnx.defs.has(op.op_type(), DOMAIN):
                onnx.defs.register_schema(op.schema)
                # onnx would free its inference function when Python, which it is in, has ended:
                # Python 3.10 crashes there.
                atexit.register(_forget, op)


def _forget(op: type[Op]) -> None:
    if onnx.defs.has(op.op_type(), DOMAIN):
        onnx.defs.deregister_schema(op.op_type(), VERSION, DOMAIN)
