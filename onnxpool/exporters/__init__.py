"""From a PyTorch module to ONNX, with pooling that is right at every size.

    module --torch exports, every adaptive pool whole--> dialect model --rewrite--> ONNX

torch's own exporters spell adaptive pooling for the traced sizes only. Here each pool stays one
node of the dialect until `onnxpool.pipeline.rewrite` lowers it, or gives it a function body:

    sizes_kept      full-size kernels and computed sizes, while either exporter traces
    dynamo          torch.onnx.export(dynamo=True) with a translation table
    torchscript     torch.onnx.export(dynamo=False) with symbolic functions
    torch_call      the arguments of torch.onnx.export, as ours
    specialised     what an exporter assumed about sizes, and sizes for which that is not so
    open_axes       the model beside the module, at the traced size and others
    torch_errors    torch's messages, in one line or not at all

`export` is for the Python interface: a module and example arguments come in, a model and its report
go out. The command line calls `command.py`, which takes the module by name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from onnxpool import ops, steps
from onnxpool.errors import ArgumentError, ExportError, check_choice
from onnxpool.exporters import torch_call
from onnxpool.exporters.dynamo import export_dynamo
from onnxpool.exporters.open_axes import Place, try_open_axes, untried
from onnxpool.exporters.shapes import dynamic_axes as auto_axes
from onnxpool.exporters.shapes import fixed_at
from onnxpool.exporters.specialised import Traced, static
from onnxpool.exporters.torch_errors import one_line, quiet
from onnxpool.exporters.torchscript import export_torchscript
from onnxpool.model.bodies import with_inner
from onnxpool.model.file import ModelFile
from onnxpool.model.functions import dialect_nodes
from onnxpool.model.output import destination, temporary_folder
from onnxpool.pipeline import rewrite as pipeline
from onnxpool.pipeline.rewrite import Check, Result
from onnxpool.pipeline.survey import OUTPUTS
from onnxpool.rewrites import lower
from onnxpool.rewrites.lower.function_body import is_body
from onnxpool.validation.source import require_torch

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["EXPORTERS", "export"]

Exporter = Callable[[Any, tuple[Any, ...], Any, int | None, Path], Traced]

EXPORTERS: dict[str, tuple[Exporter, int, int]] = {
    "dynamo": (export_dynamo, 18, 23),
    "torchscript": (export_torchscript, lower.MIN_OPSET, 20),
}
"""Each exporter, and the opsets that it can write."""

STACK_TRACE = "pkg.torch.onnx.stack_trace"


def export(
    module: nn.Module,
    args: Tensor | tuple[Any, ...] = (),
    path: str | os.PathLike[str] | None = None,
    *,
    dynamic_shapes: Any = None,
    to: str = "standard",
    opset: int | None = None,
    exporter: str | None = None,
    strategy: str = "auto",
    check: Check = "regions",
    f: str | os.PathLike[str] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
    dynamo: bool | None = None,
    dynamic_axes: Mapping[str, Any] | None = None,
    **options: Any,
) -> Result:
    """Export a module as ONNX that pools as PyTorch does, at every dynamic size.

    It takes the arguments of torch.onnx.export, and stands in its place.

    Args:
        module: in evaluation mode.
        args: example inputs, one or a tuple.
        path: the file to write; None writes none.
        dynamic_shapes: as torch.onnx.export takes it, such as ``({0: "N", 2: "H", 3: "W"},)``; or
            "auto", every axis but the channels'. A size that the module uses as a number stays
            fixed all the same, if it was given by a name or "auto"; the report's notes say so.
        to: "standard" or "custom-op", as for `onnxpool.rewrite`.
        opset: None for the exporter's own choice.
        exporter: "dynamo" (the default) or "torchscript".
        strategy: how pools are lowered, as for `onnxpool.rewrite`.
        check: "regions" runs every lowered pool against its reference, and the model beside the
            module at its traced sizes and others: an axis for which it is not right then stays
            fixed, and the notes say why; or "none".
        f, opset_version, dynamo: what torch.onnx.export calls path, opset and exporter.
        kwargs: further example inputs, by the names of their parameters.
        input_names, output_names: in order; those that are left out keep the exporter's names.
        dynamic_axes: in the place of dynamic_shapes, by names of inputs.
        options: further arguments of torch.onnx.export, where they change no model.

    Returns:
        The model, which has been written if there is a path, and the report about it.

    Raises:
        ExportError: torch cannot export the module.
        CheckError: a lowered pool, or the model at the traced sizes, is not what it should be.
        OnnxpoolError: PyTorch is missing, or an argument cannot be used.
    """
    torch = require_torch()
    path = _one("path", path, "f", f)
    opset = _one("opset", opset, "opset_version", opset_version)
    named = None if dynamo is None else "dynamo" if dynamo else "torchscript"
    exporter = _one("exporter", exporter, "dynamo", named) or "dynamo"
    torch_call.check_options(options)
    check_choice("output", to, OUTPUTS)
    check_choice("exporter", exporter, EXPORTERS)
    run, oldest, newest = EXPORTERS[exporter]
    if opset is not None and not oldest <= opset <= newest:
        raise ArgumentError(
            f"the {exporter} exporter writes opset {oldest} to {newest}, not {opset}"
        )
    args, names = torch_call.by_position(module, args, kwargs)
    _check_module(module, args)
    if dynamic_axes is not None:
        dynamic_axes = torch_call.shapes_of_axes(dynamic_axes, input_names, names)
    dynamic_shapes = _one("dynamic_shapes", dynamic_shapes, "dynamic_axes", dynamic_axes)
    if isinstance(dynamic_shapes, str):
        check_choice("dynamic_shapes", dynamic_shapes, ("auto",))
        dynamic_shapes = tuple(auto_axes([tuple(x.shape) for x in args]))
    dynamic_shapes = torch_call.shapes_by_position(dynamic_shapes, names)
    ops.register_schemas()
    out = None if path is None else Path(path)
    if out is not None:
        destination(out)
    with temporary_folder(out) if out else _any_folder() as folder:
        dialect = folder / (out.name if out else "model.onnx")
        fixed: dict[Place, str] = {}
        while True:
            steps.at(f"exporting (torch's {exporter} exporter)")
            with quiet(), torch.no_grad():
                traced = run(module, args, fixed_at(fixed, dynamic_shapes), opset, dialect)
            _tidy(dialect, input_names, output_names)
            result = pipeline.rewrite(dialect, to=to, strategy=strategy, check=check)
            _check_complete(result)
            if fixed:
                # Said already, of the axes that were open.
                traced = traced._replace(lines=())
            if check == "none":
                tried = untried(traced, "no check was asked for")
                break
            steps.at("running the model beside the module")
            with quiet():
                file = ModelFile.from_proto(result.model, folder)
                tried = try_open_axes(file, module, args, traced)
            if not tried.wrong:
                break
            # Which axes are open decides what torch does with the sizes: from the start again.
            fixed |= tried.wrong
        if out is not None:
            result.save(out)
        elif result.model and result.data_folder:
            raise ExportError(
                "the weights are too large for a model in memory; give the path of a file to write"
            )
    notes = (*_said(fixed, result.model, traced), *traced.notes, *tried.notes)
    report = dataclasses.replace(
        result.report, model=type(module).__name__, notes=(*notes, *result.report.notes)
    )
    return dataclasses.replace(result, report=report)


def _one(name: str, value: Any, other: str, theirs: Any) -> Any:
    """What was given under one of two names.

    Raises:
        ArgumentError: it was given under both.
    """
    if value is not None and theirs is not None:
        raise ArgumentError(f"{name} and {other} say the same; give one of them")
    return theirs if value is None else value


@contextlib.contextmanager
def _any_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="onnxpool-") as folder:
        yield Path(folder)


def _said(fixed: Mapping[Place, str], model: onnx.ModelProto, traced: Traced) -> Iterator[str]:
    """A note for each axis that was fixed because the model was wrong with it open."""
    for (number, axis), why in sorted(fixed.items()):
        of = model.graph.input[number]
        name = traced.inputs[number] if traced.inputs else of.name
        yield static(name, axis, of.type.tensor_type.shape.dim[axis].dim_value, why)


def _check_module(module: nn.Module, args: tuple[Any, ...]) -> None:
    """Run it, so that what torch's exporters say in many lines is said in one."""
    import torch

    if module.training:
        raise ArgumentError(
            f"{type(module).__name__} is in training mode; call its eval() before the export"
        )
    try:
        with torch.no_grad(), quiet():
            module(*args)
    except Exception as error:
        shapes = ", ".join("x".join(map(str, getattr(x, "shape", "?"))) for x in args)
        raise ArgumentError(
            f"{type(module).__name__} does not run on inputs of shape {shapes}: {one_line(error)}"
        ) from error


def _check_complete(result: Result) -> None:
    """Every pool is standard ops, or a node with a function body."""
    bodies = {function.name for function in result.model.functions if is_body(function)}
    nodes = dialect_nodes(result.model)
    left = next((node for node in nodes if node.op_type not in bodies), None)
    if left is not None:
        reasons = (f.detail for f in result.report.findings if f.tensors[0] == left.output[0])
        raise ExportError(
            f"node {left.name!r} ({left.op_type}) cannot be lowered: {next(reasons, 'no reason')}"
        )


def _tidy(
    path: Path, input_names: Sequence[str] | None, output_names: Sequence[str] | None
) -> None:
    """Take out what nobody asked for: paths of this machine, indices that nothing uses, and the
    names "33" that torch.onnx.export gives to sizes that are 33; and name what was asked for."""
    model = onnx.load(path, load_external_data=False)
    graphs = list(with_inner(model.graph))
    used = {name for graph in graphs for node in graph.node for name in node.input}
    used |= {y.name for graph in graphs for y in graph.output}
    for node in (*(n for graph in graphs for n in graph.node), *_function_nodes(model)):
        kept = [entry for entry in node.metadata_props if entry.key != STACK_TRACE]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    for graph in graphs:
        for value in (*graph.input, *graph.output, *graph.value_info):
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param.isdecimal():
                    dim.dim_value = int(dim.dim_param)
        for node in graph.node:
            if node.domain == ops.DOMAIN and len(node.output) == 2 and node.output[1] not in used:
                _drop_value_info(graph, node.output.pop())
    torch_call.rename(model, input_names, output_names)
    onnx.save(model, path)


def _function_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    return (node for function in model.functions for node in function.node)


def _drop_value_info(graph: onnx.GraphProto, name: str) -> None:
    kept = [info for info in graph.value_info if info.name != name]
    del graph.value_info[:]
    graph.value_info.extend(kept)
