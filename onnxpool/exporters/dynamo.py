"""torch.onnx.export(dynamo=True) with every adaptive pool as one node of the dialect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpool import ops
from onnxpool.errors import ExportError
from onnxpool.exporters.shapes import fixed_at
from onnxpool.exporters.sizes_kept import adaptive_max_pool_op, sizes_kept
from onnxpool.exporters.specialised import (
    Specialisations,
    Traced,
    declared,
    shortened,
    static,
    traced,
)
from onnxpool.exporters.torch_errors import one_line
from onnxpool.ops.op import pooled_shape

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram


def export_dynamo(
    module: nn.Module, args: tuple[Any, ...], dynamic_shapes: Any, opset: int | None, path: Path
) -> Traced:
    """Write the dialect model to `path`; return what torch.export assumed about the sizes.

    Args:
        dynamic_shapes: as torch.onnx.export takes it; a name stands for a size that torch.export
            may find to be static.

    Raises:
        ExportError: torch cannot export the module.
    """
    import torch

    with Specialisations() as specialisations:
        program = _capture(module, args, dynamic_shapes)
    # Before torch.onnx.export, which changes the program.
    assumed = traced(program, dynamic_shapes, specialisations)
    try:
        exported = torch.onnx.export(
            program,
            (),
            dynamo=True,
            dynamic_shapes=declared(program, dynamic_shapes),
            custom_translation_table=translation_table(),
            opset_version=opset,
            verbose=False,
        )
    except Exception as error:
        places = {
            (assumed.inputs.index(name), axis): assumption.words
            for assumption in reversed(assumed.assumptions)
            for sizes in assumption.broken_by
            for name, axis in sizes
        }
        if not places:
            raise ExportError(f"torch.onnx.export failed: {one_line(error)}") from error
        # What torch.export computes of open sizes there may be no ONNX for.
        fewer = export_dynamo(module, args, fixed_at(places, dynamic_shapes), opset, path)
        return fewer._replace(notes=(*_fixed(places, assumed.inputs, args), *fewer.notes))
    assert exported is not None
    exported.save(path)
    return assumed


def _fixed(
    places: Mapping[tuple[int, int], str], names: Sequence[str], args: tuple[Any, ...]
) -> Iterator[str]:
    import torch
    from torch.utils import _pytree as pytree

    tensors = [x for x in pytree.tree_leaves(args) if isinstance(x, torch.Tensor)]
    for (number, axis), words in sorted(places.items()):
        why = f"the export would be right only where {shortened(words)}"
        yield static(names[number], axis, tensors[number].shape[axis], why)


def _capture(module: nn.Module, args: tuple[Any, ...], dynamic_shapes: Any) -> ExportedProgram:
    import torch
    from torch.utils import _pytree as pytree

    shapes = pytree.tree_map(
        lambda dim: torch.export.Dim.AUTO if isinstance(dim, str) else dim, dynamic_shapes
    )
    try:
        with sizes_kept(fixed=dynamic_shapes is None):
            return torch.export.export(module, args, dynamic_shapes=shapes, strict=False)
    except Exception as error:
        raise ExportError(f"torch.export failed: {one_line(error)}") from error


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """ATen's adaptive pools, and what makes a node of each."""
    import torch

    aten = torch.ops.aten
    average = (
        aten.adaptive_avg_pool1d,
        aten.adaptive_avg_pool2d,
        aten.adaptive_avg_pool3d,
        aten._adaptive_avg_pool2d,
        aten._adaptive_avg_pool3d,
    )
    maximum = (aten.adaptive_max_pool1d, aten.adaptive_max_pool2d, aten.adaptive_max_pool3d)
    return {
        **{op.default: _average for op in average},
        **{op.default: _max for op in maximum},
        adaptive_max_pool_op(): _max,
    }


def _average(x: Any, output_size: Sequence[Any]) -> Any:
    return _node(ops.AdaptiveAveragePool, x, output_size)


def _max(x: Any, output_size: Sequence[Any]) -> Any:
    return _node(ops.AdaptiveMaxPool, x, output_size)


def _node(op: type[ops.AdaptiveAveragePool | ops.AdaptiveMaxPool], x: Any, sizes: Any) -> Any:
    """One dialect node; its input `size` is there only if a size is neither a number nor kept."""
    from onnxscript.values import Op, Opset

    domain = Opset(ops.DOMAIN, ops.VERSION)
    fixed = [
        size if isinstance(size, int) else ops.KEEP if _is_kept(x, axis, size) else ops.COMPUTED
        for axis, size in enumerate(sizes, start=len(x.shape) - len(sizes))
    ]
    # Adaptive pooling to 1 runs on any rank in PyTorch; the dialect takes what PyTorch documents.
    pooled_shape(op.op_type(), tuple(x.shape), fixed)
    inputs = [x, _size_input(sizes)] if ops.COMPUTED in fixed else [x]
    return Op(domain, op.op_type(), op.schema)(*inputs, output_size=fixed)


def _is_kept(x: Any, axis: int, size: Any) -> bool:
    """Whether `size` is ``Squeeze(Shape(v)[i])``, and axis i of v is as long as this axis of x."""
    squeeze = size.producer()
    shape = squeeze and squeeze.inputs and squeeze.inputs[0].producer()
    if not shape or (squeeze.op_type, shape.op_type) != ("Squeeze", "Shape"):
        return False
    start = shape.attributes.get("start")
    of = shape.inputs[0]
    return bool(start is not None and of.shape and of.shape[start.as_int()] == x.shape[axis])


def _size_input(sizes: Sequence[Any]) -> Any:
    from onnxscript import opset18

    op: Any = opset18
    one = op.Constant(value_ints=[1])
    elements = [
        op.Constant(value_ints=[size]) if isinstance(size, int) else op.Reshape(size, one)
        for size in sizes
    ]
    return op.Concat(*elements, axis=0)
