"""Plain dynamic exports of modules, as users make them, and what their modules compute."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from onnxpool.rewrites.graph.run import RunError, Runner
from tests.exports import quiet, through_torchscript

Array = NDArray[np.float32]
Shape = tuple[int, ...]


def dynamo(
    module: nn.Module, traced: Shape, axes: Iterable[int] | Mapping[int, torch.export.Dim]
) -> onnx.ModelProto:
    """`torch.onnx.export(dynamo=True)` with these axes of the one input dynamic."""
    open_axes = axes if isinstance(axes, Mapping) else dict.fromkeys(axes, torch.export.Dim.DYNAMIC)
    shapes = (dict(open_axes),)
    with quiet():
        program = torch.onnx.export(
            module.eval(), (example(traced),), dynamo=True, dynamic_shapes=shapes, verbose=False
        )
    assert program is not None
    return program.model_proto


def torchscript(
    module: nn.Module, traced: Shape, axes: Iterable[int], **options: Any
) -> onnx.ModelProto:
    """`torch.onnx.export(dynamo=False)` with these axes of the one input dynamic."""
    names = {axis: f"axis{axis}" for axis in axes}
    return through_torchscript(
        module.eval(), example(traced), input_names=["x"], dynamic_axes={"x": names}, **options
    )


def fallthrough(module: nn.Module, traced: Shape, axes: Iterable[int]) -> onnx.ModelProto:
    """`torchscript` with what it cannot export left as PyTorch's own ops."""
    return torchscript(
        module, traced, axes, operator_export_type=torch.onnx.OperatorExportTypes.ONNX_FALLTHROUGH
    )


def example(shape: Shape) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def right_at(
    model: onnx.ModelProto, module: Callable[[torch.Tensor], torch.Tensor], shapes: Iterable[Shape]
) -> list[Shape]:
    """The shapes at which `model` gives what `module` does; those that it refuses are left out."""
    run = functools.partial(_run, Runner(model), model.graph.input[0].name)
    return [shape for shape in shapes if _agrees(run, module, shape)]


def _run(runner: Runner, name: str, x: torch.Tensor) -> Array | None:
    with contextlib.suppress(RunError):
        return runner({name: x.numpy()})[0]
    return None


def _agrees(
    run: Callable[[torch.Tensor], Array | None],
    module: Callable[[torch.Tensor], torch.Tensor],
    shape: Shape,
) -> bool:
    """Whether they agree up to float32's rounding of sums, far below a wrong window."""
    x = example(shape)
    with torch.no_grad():
        wanted = module(x).numpy()
    found = run(x)
    return (
        found is not None
        and found.shape == wanted.shape
        and bool(np.allclose(found, wanted, rtol=1e-4, atol=1e-5))
    )
