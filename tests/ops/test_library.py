"""A library that is missing, or that the runtime refuses, is one clear error."""

import ctypes
import importlib.resources
from pathlib import Path

import onnxruntime
import pytest

from onnxpool.errors import LibraryError
from onnxpool.ops import library, library_path, register


def test_the_library_is_found_and_registered() -> None:
    assert library_path().name in library.NAMES
    register(onnxruntime.SessionOptions())


def test_a_missing_library_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    message = r"without its custom-op library, because no C\+\+ compiler .*`pip install"
    with pytest.raises(LibraryError, match=message):
        library_path()


def test_a_library_that_the_runtime_refuses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / library.NAMES[0]
    broken.write_text("no library")
    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    message = (
        rf"onnxruntime {onnxruntime.__version__} does not take .*{broken.name}.*1\.17 or newer"
    )
    with pytest.raises(LibraryError, match=message) as error:
        register(onnxruntime.SessionOptions())
    assert "\n" not in str(error.value)


def test_a_runtime_that_is_too_old_is_told_so() -> None:
    """A runtime with version 1 of the API only, of which all that is needed is CreateStatus."""
    create_status = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
    get_api = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)
    get_version = ctypes.CFUNCTYPE(ctypes.c_void_p)

    class ApiBase(ctypes.Structure):
        _fields_ = [("GetApi", get_api), ("GetVersionString", get_version)]

    messages: list[bytes] = []

    def remember(code: int, message: bytes) -> int:
        messages.append(message)
        return 1

    remembering = create_status(remember)

    version = ctypes.create_string_buffer(b"1.16.3")
    version_1 = (ctypes.c_void_p * 3)(ctypes.cast(remembering, ctypes.c_void_p))
    base = ApiBase(
        get_api(lambda number: ctypes.addressof(version_1) if number == 1 else 0),
        get_version(lambda: ctypes.addressof(version)),
    )
    loaded = ctypes.CDLL(str(library_path()))
    loaded.RegisterCustomOps.restype = ctypes.c_void_p
    assert loaded.RegisterCustomOps(None, ctypes.byref(base)) == 1
    assert messages == [b"onnxpool's ops need ONNX Runtime 1.17 or newer, found 1.16.3"]
