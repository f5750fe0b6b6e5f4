"""What `onnxpool export` does: a source by name, example inputs, and the export."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpool import steps
from onnxpool.errors import ArgumentError
from onnxpool.exporters import export
from onnxpool.exporters.shapes import Shape, traced_shape
from onnxpool.exporters.torch_errors import quiet
from onnxpool.pipeline.report import Report
from onnxpool.validation.source import Source, dtype_of, load_source

if TYPE_CHECKING:
    from torch import Tensor, nn


def export_source(
    spec: str,
    out: Path,
    *,
    shapes: Sequence[Shape] = (),
    dynamic: bool = False,
    weights: Path | None = None,
    seed: int = 0,
    **options: Any,
) -> Report:
    """Export the module that `spec` names (see `onnxpool.validation.source`).

    Args:
        shapes: one per input; where there are none, the example shapes of the source.
        dynamic: whether sizes may change, all but the channels.
        options: of `onnxpool.export`.

    Raises:
        OnnxpoolError: as `load_source` and `onnxpool.export`; or no shape is known.
    """
    steps.at("loading the source")
    source = load_source(spec, seed=seed, weights=weights)
    inputs = _inputs(source.module, shapes or _traced(source, dynamic), seed)
    result = export(
        source.module, inputs, out, dynamic_shapes="auto" if dynamic else None, **options
    )
    return dataclasses.replace(result.report, model=f"{source.name} → {out}")


def _traced(source: Source, dynamic: bool) -> Sequence[Shape]:
    """The example shapes; sizes that torch.export does not tie, where the module takes them."""
    if source.example_shapes is None:
        raise ArgumentError(
            f"{source.name} gives no example input; say --shape 1x3x224x224, once per input"
        )
    if not dynamic:
        return source.example_shapes
    free = [traced_shape(shape) for shape in source.example_shapes]
    return free if _runs(source.module, _inputs(source.module, free)) else source.example_shapes


def _runs(module: nn.Module, inputs: Iterable[Any]) -> bool:
    import torch

    try:
        with torch.no_grad(), quiet():
            module(*inputs)
    except Exception:
        return False
    return True


def _inputs(module: nn.Module, shapes: Iterable[Shape], seed: int = 0) -> tuple[Tensor, ...]:
    """Normal values in the dtype of the module."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    dtype = dtype_of(module)
    return tuple(torch.randn(shape, generator=generator).to(dtype) for shape in shapes)
