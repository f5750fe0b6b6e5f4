"""Where the custom-op library is, and how ONNX Runtime gets it."""

import importlib.resources
import weakref
from pathlib import Path
from typing import Any

from onnxpool.errors import LibraryError

NAMES = ("libonnxpool_ops.so", "libonnxpool_ops.dylib", "onnxpool_ops.dll")
"""What `ops/kernels/CMakeLists.txt` calls it on Linux, macOS and Windows."""


def library_path() -> Path:
    """Return the custom-op library, for ``SessionOptions.register_custom_ops_library``.

    Raises:
        LibraryError: onnxpool was installed without it.
    """
    package = importlib.resources.files("onnxpool.ops")
    for name in NAMES:
        file = package / name
        if file.is_file():
            return Path(str(file))
    raise LibraryError(
        "onnxpool was installed without its custom-op library, because no C++ compiler was found; "
        "install one (g++ or clang++ on Linux, Xcode's tools on macOS, Visual Studio on Windows) "
        "and run `pip install --force-reinstall --no-deps` on onnxpool again"
    )


_REGISTERED: weakref.WeakSet[Any] = weakref.WeakSet()
"""ONNX Runtime takes a library twice, and then refuses to make a session."""


def register(session_options: Any) -> None:
    """Register the library with `session_options`, an ``onnxruntime.SessionOptions``, once.

    Raises:
        LibraryError: the library is missing, or this ONNX Runtime refuses it.
    """
    library = library_path()
    if session_options in _REGISTERED:
        return
    try:
        session_options.register_custom_ops_library(str(library))
    except Exception as error:  # onnxruntime's exceptions have no common base of their own
        import onnxruntime

        raise LibraryError(
            f"onnxruntime {onnxruntime.__version__} does not take the custom-op library {library}: "
            f"{error}; it needs ONNX Runtime 1.17 or newer, on the platform that onnxpool was "
            "built for: run `pip install --upgrade onnxruntime`, or install onnxpool again"
        ) from error
    _REGISTERED.add(session_options)
