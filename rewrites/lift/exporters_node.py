"""Pooling that an exporter left as an op of its own, which no runtime loads: what its name says.

aten_fallback   TorchScript's exporter: PyTorch's ops
mmdeploy        for ncnn
paddle          paddle2onnx

Other packages add theirs by entry points (onnxpool/plugins.py).
"""

from __future__ import annotations

from types import ModuleType

import onnx_graphsurgeon as gs

from onnxpool.ops import InvalidOp
from onnxpool.rewrites.lift import aten_fallback, mmdeploy, paddle
from onnxpool.rewrites.lift.construct import (
    UNLOADABLE,
    AddedExporter,
    Construct,
    Declined,
    added_exporters,
    whole_node,
)
from onnxpool.rewrites.lift.named_arguments import Meaning
from onnxpool.rewrites.region.region import Region

EXPORTERS = (aten_fallback, mmdeploy, paddle)


def applies(node: gs.Node) -> bool:
    """Whether a node is pooling of an exporter's own."""
    return _exporter(node) is not None


def judge(node: gs.Node, opset: int, outputs: set[str]) -> Construct | Declined:
    """Judge a node that `applies`, in a graph whose outputs have these names."""
    regions = whole_node(node, outputs)
    try:
        op, parameters = meaning(node, opset)
    except InvalidOp as error:
        (first, *_) = [region for region in regions if region is not None]
        return Declined(first, f"{error}; {UNLOADABLE}", level="error")
    return Construct(op, _without_trailing_none(regions), parameters)


def meaning(node: gs.Node, opset: int) -> Meaning:
    """What a node that `applies` computes.

    Raises:
        InvalidOp: that cannot be said, or not by an op of the dialect.
    """
    exporter = _exporter(node)
    assert exporter is not None
    found: Meaning = exporter.meaning(node, opset)
    return found


def _exporter(node: gs.Node) -> ModuleType | AddedExporter | None:
    exporters: tuple[ModuleType | AddedExporter, ...] = (*EXPORTERS, *added_exporters())
    return next((exporter for exporter in exporters if exporter.applies(node)), None)


def _without_trailing_none(regions: tuple[Region | None, ...]) -> tuple[Region | None, ...]:
    used = max(index for index, region in enumerate(regions) if region is not None)
    return regions[: used + 1]
