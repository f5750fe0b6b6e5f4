"""torch.onnx.export(dynamo=False) with every adaptive pool as one node of the dialect."""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from onnxpool import ops
from onnxpool.errors import ArgumentError, ExportError
from onnxpool.exporters.sizes_kept import sizes_kept
from onnxpool.exporters.specialised import Traced, line_of_module
from onnxpool.exporters.torch_errors import no_output, one_line
from onnxpool.ops.op import pooled_shape

if TYPE_CHECKING:
    from torch import nn

OLDEST_OPSET = 9


def export_torchscript(
    module: nn.Module, args: tuple[Any, ...], dynamic_shapes: Any, opset: int | None, path: Path
) -> Traced:
    """Write the dialect model to `path`; return where tracing made a size a number.

    Args:
        dynamic_shapes: for each argument, or each name of one, a dict of names by axis, or None.

    Raises:
        ArgumentError: dynamic_shapes is nested.
        ExportError: torch cannot export the module.
    """
    import torch

    names = list(inspect.signature(module.forward).parameters)[: len(args)]
    axes = _dynamic_axes(names, dynamic_shapes)
    with _symbolics(fixed=not axes), _constants_made() as lines, no_output():
        try:
            with sizes_kept(fixed=not axes):
                torch.onnx.export(
                    module,
                    args,
                    str(path),
                    dynamo=False,
                    input_names=names,
                    dynamic_axes=axes,
                    opset_version=opset,
                    verbose=False,
                )
        except Exception as error:
            raise ExportError(f"torch.onnx.export failed: {one_line(error)}") from error
    return Traced(lines=tuple(lines) if any(axes.values()) else ())


@contextlib.contextmanager
def _constants_made() -> Iterator[dict[str, None]]:
    """The lines of the module, in order, at which the tracer warns that it loses track."""
    from torch.jit._trace import TracerWarning

    lines: dict[str, None] = {}

    def note(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message).startswith("Converting a tensor to a Python"):
            lines[line_of_module() or "the module"] = None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", TracerWarning)
        warnings.showwarning = note
        yield lines


def _dynamic_axes(names: list[str], dynamic_shapes: Any) -> dict[str, dict[int, str]]:
    if dynamic_shapes is None:
        return {}
    if not isinstance(dynamic_shapes, Mapping):
        dynamic_shapes = dict(zip(names, dynamic_shapes, strict=False))
    try:
        return {
            name: {axis: _dim_name(name, axis, dim) for axis, dim in axes.items() if dim}
            for name, axes in dynamic_shapes.items()
            if axes
        }
    except AttributeError as error:
        raise ArgumentError(
            "the TorchScript exporter takes dynamic_shapes of tensors only: {axis: name} for each"
        ) from error


def _dim_name(name: str, axis: int, dim: Any) -> str:
    return dim if isinstance(dim, str) else getattr(dim, "__name__", f"{name}_{axis}")


@contextlib.contextmanager
def _symbolics(fixed: bool) -> Iterator[None]:
    """Let the exporter write dialect nodes; torch's own symbolic functions come back after it."""
    import torch

    registry: Any = torch.onnx
    names = [f"aten::adaptive_{kind}_pool{k}d" for kind in _OPS for k in (1, 2, 3)]
    for name in names:
        kind = name.split("_")[1]
        symbolic = functools.partial(_node, *_OPS[kind], fixed)
        registry.register_custom_op_symbolic(name, symbolic, OLDEST_OPSET)
    try:
        yield
    finally:
        for name in names:
            registry.unregister_custom_op_symbolic(name, OLDEST_OPSET)


_OPS = {"avg": ("AdaptiveAveragePool", 1), "max": ("AdaptiveMaxPool", 2)}
"""Op type and number of outputs."""


def _node(op_type: str, outputs: int, fixed: bool, g: Any, x: Any, output_size: Any) -> Any:
    """One dialect node; its input `size` is there only if a size is neither a number nor kept."""
    rank = x.type().dim()
    sizes = _sizes(g, output_size, fixed)
    first = rank - len(sizes)
    numbers = [_number(x, axis, size) for axis, size in enumerate(sizes, start=first)]
    inputs = [x, _size_input(g, sizes)] if ops.COMPUTED in numbers else [x]
    made = g.op(f"{ops.DOMAIN}::{op_type}", *inputs, output_size_i=numbers, outputs=outputs)
    results = [made] if outputs == 1 else made
    shape = pooled_shape(op_type, tuple(x.type().varyingSizes() or (None,) * rank), numbers)
    for result, traced in zip(results, g.original_node.outputs(), strict=True):
        result.setType(traced.type().with_sizes(list(shape)))
    return made


def _sizes(g: Any, output_size: Any, fixed: bool) -> list[Any]:
    """The elements of `output_size`, as numbers or values of the graph."""
    from torch.onnx import symbolic_helper

    sizes = symbolic_helper._maybe_get_const(output_size, "is")
    if isinstance(sizes, list):
        return sizes
    values: list[Any] = symbolic_helper._unpack_list(output_size)
    if fixed:
        return list(next(g.original_node.outputs()).type().sizes()[-len(values) :])
    return values


def _number(x: Any, axis: int, size: Any) -> int:
    """The element of output_size that says what `size` is: a number, or a value of the graph."""
    from torch.onnx import symbolic_helper

    number = symbolic_helper._maybe_get_const(size, "i")
    if isinstance(number, int):
        return number
    gather = size.node()
    if gather.kind() != "onnx::Gather":
        return ops.COMPUTED
    shape, index = gather.inputs()
    of_x = shape.node().kind() == "onnx::Shape" and next(shape.node().inputs()) == x
    same_axis = of_x and symbolic_helper._maybe_get_const(index, "i") == axis
    return ops.KEEP if same_axis else ops.COMPUTED


def _size_input(g: Any, sizes: list[Any]) -> Any:
    import torch

    one = g.op("Constant", value_t=torch.tensor([1]))
    elements = [
        g.op("Constant", value_t=torch.tensor([size]))
        if isinstance(size, int)
        # torch traces int(H * scale) as a float.
        else g.op("Reshape", g.op("Cast", size, to_i=onnx.TensorProto.INT64), one)
        for size in sizes
    ]
    return g.op("Concat", *elements, axis_i=0)
