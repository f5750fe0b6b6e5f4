"""The versions that a report of a fault needs, read without loading what they are of."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from collections.abc import Iterator
from pathlib import Path

import onnxpool
from onnxpool import plugins

PACKAGES = (
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "onnxscript",
    "openvino",
    "opencv-python",
    "opencv-python-headless",
    "ncnn",
    "MNN",
    "tract",
    "tinygrad",
    "apache-tvm",
    "iree-base-runtime",
    "ai-edge-litert",
)
"""What models are read with and run in, by the names of pip."""


def lines() -> Iterator[str]:
    """This package, the library of kernels, Python, what there is of PACKAGES, and plug-ins."""
    yield f"onnxpool {onnxpool.__version__}"
    yield f"library: {library() or 'none; custom ops run their function bodies'}"
    yield f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    for name in PACKAGES:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    yield from (
        plugins.in_words(point) for group in plugins.GROUPS for point in plugins.found(group)
    )


def library() -> Path | None:
    """What `onnxpool.ops.library_path` finds, without loading the ops, which load onnx."""
    spec = importlib.util.find_spec("onnxpool.ops")
    folders = spec.submodule_search_locations if spec else None
    found = (path for folder in folders or () for path in Path(folder).glob("*onnxpool_ops.*"))
    return next((path for path in found if path.suffix in (".so", ".dylib", ".dll")), None)
