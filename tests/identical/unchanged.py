"""What "nothing to gain" means: every byte of the file, and nothing said but notes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx

import onnxpool
from onnxpool.pipeline.report import Report

WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"repair": False, "check": "none"},
    {"to": "custom-op"},
)
"""The options of `rewrite` that decide what is changed and what is believed."""


def assert_unchanged(model: bytes, folder: Path, ways: Iterable[dict[str, Any]] = WAYS) -> None:
    """`model` comes out of `rewrite` byte for byte, from a path and from memory, and no finding
    says that it is or may be wrong."""
    source, result = folder / "in.onnx", folder / "out.onnx"
    source.write_bytes(model)
    for options in ways:
        rewritten = onnxpool.rewrite(source, **options)
        rewritten.save(result)
        _assert_nothing_done(rewritten.report, options)
        assert result.read_bytes() == model, f"{options}: not the same bytes"
    assert source.read_bytes() == model
    proto = onnx.load_from_string(model)
    assert onnxpool.rewrite(proto, check="none").model == proto == onnx.load_from_string(model)


def what_changed(model: onnx.ModelProto, folder: Path) -> str | None:
    """What `rewrite` did to `model`, or how it failed; None: it came out byte for byte."""
    source, result = folder / "in.onnx", folder / "out.onnx"
    source.write_bytes(model.SerializeToString())
    try:
        rewritten = onnxpool.rewrite(source)
    except Exception as error:
        return repr(error)
    rewritten.save(result)
    if result.read_bytes() == source.read_bytes():
        return None
    done = [f for f in rewritten.report.findings if f.action != "left"]
    return ", ".join(f"{f.form} as {f.op} by {f.detail}" for f in done)


def _assert_nothing_done(report: Report, options: dict[str, Any]) -> None:
    said = [
        f"{f.action}, {f.level}: {f.node} ({f.form}) as {f.op or 'nothing'}: {f.detail}"
        for f in report.findings
        if f.action != "left" or f.level != "note"
    ]
    said += [f"changed: {change}" for change in report.changes]
    assert not said, "\n".join([str(options), *said])
