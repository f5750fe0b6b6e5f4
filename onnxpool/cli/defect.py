"""An exception that nobody foresaw, as one line: what it was, and at which node."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from onnxpool.cli.text import one_line, visible

_LONGEST = 300


def describe(error: BaseException, model: str | Path = "") -> str:
    """One line for an exception that is not of `onnxpool.errors`.

    Args:
        model: the model that was worked on; empty where there was none.
    """
    parts = [str(model)] if str(model) else []
    if node := _node_at_work(error):
        parts.append(f"at {node}")
    if isinstance(error, MemoryError):
        parts.append("there is not enough memory")
        return one_line(": ".join(parts))
    text = one_line(str(error))
    parts.append(f"{type(error).__name__}: {text[:_LONGEST]}" if text else type(error).__name__)
    return one_line(
        f"{': '.join(parts)}; this is a defect of onnxpool, please report it; --debug shows more"
    )


def lines_of_traceback(error: BaseException) -> str:
    """The traceback, safe to print."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "".join(f"{visible(line)}\n" for line in lines)


def _node_at_work(error: BaseException) -> str:
    """The node that the innermost function with one had at hand, in words.

    Looked up where it failed, so that no function has to say what it is doing.
    """
    for frame in reversed(list(_frames(error))):
        for value in frame.f_locals.values():
            if words := _node(value):
                return words
    return ""


def _frames(error: BaseException) -> Iterator[FrameType]:
    step = error.__traceback__
    while step is not None:
        yield step.tb_frame
        step = step.tb_next


def _node(value: Any) -> str:
    """The node that `value` is, or that computes the output of the region that it is."""
    # Modules that are not loaded made no value.
    surgeon, onnx = (sys.modules.get(name) for name in ("onnx_graphsurgeon", "onnx"))
    region = sys.modules.get("onnxpool.rewrites.region.region")
    if region and isinstance(value, region.Region) and value.y.inputs:
        value = value.y.inputs[0]
    if surgeon and isinstance(value, surgeon.Node):
        name = value.name or next((f"of output {t.name}" for t in value.outputs), "")
        return f"node {name} ({value.op})"
    if onnx and isinstance(value, onnx.NodeProto):
        name = value.name or next((f"of output {name}" for name in value.output), "")
        return f"node {name} ({value.op_type})"
    return ""
