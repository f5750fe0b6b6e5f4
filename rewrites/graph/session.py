"""A model in ONNX Runtime."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxpool.ops.library import register
from onnxpool.ops.op import Array

EXTERNAL_DATA_FOLDER = "session.model_external_initializers_file_folder_path"
"""The session setting that says where the external data of a model in memory is."""

_ONNXRUNTIME = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : (Non-zero status code returned while running "
    r"(?P<op>\w+) node\. Name:(?P<node>'.*?') Status Message: )?"
)


class RunError(Exception):
    """ONNX Runtime does not take a model, or it is not run; the message is one line."""


class TooLarge(RunError):
    """What a file asks for is more than is tried; the message has the number."""


@dataclasses.dataclass(frozen=True)
class Source:
    """What ONNX Runtime is to load.

    Attributes:
        model: serialized, or a file.
        folder: holds its external data.
        kernels: whether nodes of the dialect run the kernels of the custom-op library.
        optimised: as its users run it; else as it is written, because some optimisations change
            the values.
    """

    model: bytes | str
    folder: str | None = None
    kernels: bool = False
    optimised: bool = False


class Session:
    """A loaded model."""

    def __init__(self, source: Source) -> None:
        """Raises:
        RunError: ONNX Runtime refuses it.
        LibraryError: there is no library that it takes.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        if source.optimised:
            # Threads that wait without sleeping slow PyTorch down, which runs in between.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        else:
            # Most pieces are small, and threads that wait for work take it from others.
            options.intra_op_num_threads = 1
            level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.graph_optimization_level = level
        if source.folder is not None:
            options.add_session_config_entry(EXTERNAL_DATA_FOLDER, source.folder)
        if source.kernels:
            register(options)
        try:
            self._session: Any = onnxruntime.InferenceSession(
                source.model, options, providers=["CPUExecutionProvider"]
            )
        except MemoryError:
            raise
        except Exception as error:
            raise RunError(one_line(error)) from error

    def run(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        """Raises:
        RunError: it fails on these inputs.
        """
        try:
            outputs: Sequence[Any] = self._session.run(None, dict(inputs))
        except MemoryError:
            raise
        except Exception as error:
            raise RunError(one_line(error)) from error
        return tuple(np.asarray(y) for y in outputs)


def one_line(error: Exception) -> str:
    """What an exception says; of ONNX Runtime's, without what it puts around it."""
    message = " ".join(str(error).split())
    if runtime := _ONNXRUNTIME.match(message):
        place = f"node {runtime['node']} ({runtime['op']}): " if runtime["node"] else ""
        return place + message[runtime.end() :][:300]
    return f"{type(error).__name__}: {message[:300]}"
