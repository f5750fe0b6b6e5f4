"""What torch says while it exports: nothing on success, one line on failure."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

_LOGGERS = ("torch", "torch.onnx", "torch.export", "torch._export", "torch.fx", "onnxscript")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep torch's warnings, log messages and remarks on standard error back."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def no_output() -> Iterator[None]:
    """Drop what is written to standard output, by C++ too: TorchScript prints graphs on failure."""
    sys.stdout.flush()
    kept = os.dup(1)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)


def one_line(error: BaseException) -> str:
    """The first paragraph of the exception that `error` was raised from."""
    while error.__cause__ is not None:
        error = error.__cause__
    paragraph = str(error).strip().split("\n\n")[0]
    return f"{type(error).__name__}: {' '.join(paragraph.split())[:300]}"
