"""A call as torch.onnx.export takes it, as `onnxpool.export` does it.

kwargs                          arguments by position
dynamic_axes                    dynamic_shapes
dynamic_shapes by name          dynamic_shapes by position
opset_version, dynamo           opset, exporter
what changes no model           nothing
what would change it            refused
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import onnx

from onnxpool.errors import ArgumentError
from onnxpool.model.bodies import with_inner

if TYPE_CHECKING:
    from torch import nn

_CHANGES_NOTHING = frozenset(
    (
        "artifacts_dir",
        "autograd_inlining",
        "do_constant_folding",
        "dump_exported_program",
        "external_data",
        "fallback",
        "optimize",
        "profile",
        "report",
        "verbose",
        "verify",
    )
)
"""What torch says, writes beside the model, or does to check it: here it is checked anyway."""


def check_options(options: Mapping[str, Any]) -> None:
    """Check further arguments of torch.onnx.export.

    Raises:
        ArgumentError: it has no such argument, or the model would be another than is written here.
    """
    import torch

    known = inspect.signature(torch.onnx.export).parameters
    for name, value in options.items():
        if name in _CHANGES_NOTHING:
            continue
        if name not in known:
            raise ArgumentError(f"export takes no argument {name!r}, nor does torch.onnx.export")
        if value is not None and value != known[name].default:
            raise ArgumentError(
                f"onnxpool.export does not take {name}={value!r} of torch.onnx.export; export with "
                "torch, and call onnxpool.rewrite on what it writes"
            )


def by_position(
    module: nn.Module, args: Any, kwargs: Mapping[str, Any] | None
) -> tuple[tuple[Any, ...], list[str]]:
    """All arguments by position, and the names of the parameters that take them.

    Raises:
        ArgumentError: it is no module, or does not take them so.
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        raise ArgumentError(
            f"a value of type {type(module).__name__} cannot be exported here, wanted an "
            "nn.Module; of an ExportedProgram give what it was made of"
        )
    args = tuple(args) if isinstance(args, tuple | list) else (args,)
    signature = inspect.signature(module.forward)
    if not kwargs:
        return args, list(signature.parameters)[: len(args)]
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ArgumentError(f"{type(module).__name__} does not take these: {error}") from error
    if bound.kwargs:
        names = ", ".join(bound.kwargs)
        raise ArgumentError(
            f"{type(module).__name__} takes {names} by name only; wrap it in a module that does "
            "not, since an ONNX model has its inputs in order"
        )
    return bound.args, list(bound.arguments)


def shapes_by_position(dynamic_shapes: Any, names: Sequence[str]) -> Any:
    """`dynamic_shapes` as a tuple, one entry per argument.

    Raises:
        ArgumentError: it names a parameter that gets no argument.
    """
    if not isinstance(dynamic_shapes, Mapping):
        return dynamic_shapes
    _check_names("dynamic_shapes", dynamic_shapes, names)
    return tuple(dynamic_shapes.get(name) for name in names)


def shapes_of_axes(
    dynamic_axes: Mapping[str, Any], input_names: Sequence[str] | None, names: Sequence[str]
) -> Any:
    """`dynamic_axes` as dynamic_shapes; what they say of outputs follows from the inputs.

    Raises:
        ArgumentError: they name no input.
    """
    inputs = list(input_names or names)
    if dynamic_axes and not set(dynamic_axes) & set(inputs):
        _check_names("dynamic_axes", dynamic_axes, inputs)
    return tuple(_axes(name, dynamic_axes.get(name)) for name in inputs)


def _axes(name: str, axes: Mapping[int, str] | Iterable[int] | None) -> dict[int, str] | None:
    if axes is None:
        return None
    return dict(axes) if isinstance(axes, Mapping) else {axis: f"{name}_{axis}" for axis in axes}


def _check_names(argument: str, given: Iterable[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise ArgumentError(
                f"{argument} names {name!r}, and the inputs are {', '.join(known) or 'none'}"
            )


def rename(
    model: onnx.ModelProto, inputs: Sequence[str] | None, outputs: Sequence[str] | None
) -> None:
    """Give inputs and outputs these names, as far as there are any.

    Raises:
        ArgumentError: there are more names than inputs or outputs, or two are the same.
    """
    graph = model.graph
    wanted: dict[str, str] = {}
    constants = {tensor.name for tensor in graph.initializer}
    given = [x.name for x in graph.input if x.name not in constants]
    for word, names, tensors in (
        ("input", inputs, given),
        ("output", outputs, [y.name for y in graph.output]),
    ):
        if len(names or ()) > len(tensors):
            raise ArgumentError(
                f"{word}_names has {len(names or ())} names, and there are {len(tensors)} {word}s"
            )
        wanted.update(zip(tensors, names or (), strict=False))
    if len(set(wanted.values())) < len(wanted):
        raise ArgumentError("input_names and output_names have a name twice")
    # A tensor that has such a name already gives it up.
    taken = [name for name in _names(graph) if name in wanted.values() and name not in wanted]
    wanted |= {name: f"{name}_inside" for name in dict.fromkeys(taken)}
    _renamed(graph, wanted)


def _names(graph: onnx.GraphProto) -> Iterable[str]:
    for each in with_inner(graph):
        yield from (value.name for value in _values(each))
        for node in each.node:
            yield from (*node.input, *node.output)


def _renamed(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for each in with_inner(graph):
        for value in _values(each):
            value.name = names.get(value.name, value.name)
        for node in each.node:
            for tensors in (node.input, node.output):
                tensors[:] = [names.get(name, name) for name in tensors]


def _values(graph: onnx.GraphProto) -> Iterable[onnx.ValueInfoProto | onnx.TensorProto]:
    return (*graph.input, *graph.output, *graph.initializer, *graph.value_info)
