"""From a PyTorch module to ONNX, with pooling that is right at every size.

    module --torch exports, every adaptive pool whole--> dialect model --rewrite--> ONNX

torch's own exporters spell adaptive pooling for the traced sizes only. Here each pool stays one
node of the dialect until `onnxpool.pipeline.rewrite` lowers it, or gives it a function body:

    sizes_kept      full-size kernels and computed sizes, while either exporter traces
    dynamo          torch.onnx.export(dynamo=True) with a translation table
    torchscript     torch.onnx.export(dynamo=False) with symbolic functions
    specialised     what torch.export assumed about sizes, for the report
    torch_errors    torch's messages, in one line or not at all

`export` is for the Python interface: a module and example arguments come in, a model and its report
go out. The command line calls `command.py`, which takes the module by name.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from onnxpool import ops
from onnxpool.errors import ArgumentError, ExportError, check_choice
from onnxpool.exporters.dynamo import export_dynamo
from onnxpool.exporters.shapes import dynamic_axes
from onnxpool.exporters.torch_errors import one_line, quiet
from onnxpool.exporters.torchscript import export_torchscript
from onnxpool.model.bodies import bodies
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

Exporter = Callable[[Any, tuple[Any, ...], Any, int | None, Path], tuple[str, ...]]

EXPORTERS: dict[str, tuple[Exporter, int, int]] = {
    "dynamo": (export_dynamo, 18, 23),
    "torchscript": (export_torchscript, lower.MIN_OPSET, 20),
}
"""Each exporter, and the opsets that it can write."""

STACK_TRACE = "pkg.torch.onnx.stack_trace"


def export(
    module: nn.Module,
    args: Tensor | tuple[Any, ...],
    path: str | os.PathLike[str],
    *,
    dynamic_shapes: Any = None,
    to: str = "standard",
    opset: int | None = None,
    exporter: str = "dynamo",
    strategy: str = "auto",
    check: Check = "regions",
) -> Result:
    """Export a module as ONNX that pools as PyTorch does, at every dynamic size.

    Args:
        module: in evaluation mode.
        args: example inputs, one or a tuple.
        path: the file to write.
        dynamic_shapes: as torch.onnx.export takes it, such as ``({0: "N", 2: "H", 3: "W"},)``; or
            "auto", every axis but the channels'. A size that the module uses as a number stays
            fixed all the same, if it was given by a name or "auto"; the report's notes say so.
        to: "standard" or "custom-op", as for `onnxpool.rewrite`.
        opset: None for the exporter's own choice.
        exporter: "dynamo" or "torchscript".
        strategy: how pools are lowered, as for `onnxpool.rewrite`.
        check: "regions" runs every lowered pool against its reference; or "none".

    Returns:
        The model, which has been written, and the report about it.

    Raises:
        ExportError: torch cannot export the module.
        CheckError: a lowered pool is not what it should be.
        OnnxpoolError: PyTorch is missing, or an argument cannot be used.
    """
    torch = require_torch()
    check_choice("output", to, OUTPUTS)
    check_choice("exporter", exporter, EXPORTERS)
    run, oldest, newest = EXPORTERS[exporter]
    if opset is not None and not oldest <= opset <= newest:
        raise ArgumentError(
            f"the {exporter} exporter writes opset {oldest} to {newest}, not {opset}"
        )
    args = args if isinstance(args, tuple) else (args,)
    _check_module(module, args)
    if isinstance(dynamic_shapes, str):
        check_choice("dynamic_shapes", dynamic_shapes, ("auto",))
        dynamic_shapes = tuple(dynamic_axes([tuple(x.shape) for x in args]))
    path = Path(path)
    ops.register_schemas()
    destination(path)
    with temporary_folder(path) as folder:
        dialect = folder / path.name
        with quiet(), torch.no_grad():
            notes = run(module, args, dynamic_shapes, opset, dialect)
        _tidy(dialect)
        result = pipeline.rewrite(dialect, to=to, strategy=strategy, check=check)
        _check_complete(result)
        result.save(path)
    report = dataclasses.replace(
        result.report, model=type(module).__name__, notes=(*notes, *result.report.notes)
    )
    return dataclasses.replace(result, report=report)


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


def _tidy(path: Path) -> None:
    """Take out what nobody asked for: paths of this machine, and indices that nothing uses."""
    model = onnx.load(path, load_external_data=False)
    graphs = list(_graphs(model.graph))
    used = {name for graph in graphs for node in graph.node for name in node.input}
    used |= {y.name for graph in graphs for y in graph.output}
    for node in (*(n for graph in graphs for n in graph.node), *_function_nodes(model)):
        kept = [entry for entry in node.metadata_props if entry.key != STACK_TRACE]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    for graph in graphs:
        for node in graph.node:
            if node.domain == ops.DOMAIN and len(node.output) == 2 and node.output[1] not in used:
                _drop_value_info(graph, node.output.pop())
    onnx.save(model, path)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for body in bodies(node):
            yield from _graphs(body)


def _function_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    return (node for function in model.functions for node in function.node)


def _drop_value_info(graph: onnx.GraphProto, name: str) -> None:
    kept = [info for info in graph.value_info if info.name != name]
    del graph.value_info[:]
    graph.value_info.extend(kept)
