"""Fix the sizes that a model leaves open, and fold what becomes constant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx

from onnxpool.errors import ArgumentError
from onnxpool.inputs.sizes import in_words, parse, parse_named
from onnxpool.model import shapes
from onnxpool.model.file import ModelFile
from onnxpool.model.known_branches import take_branches
from onnxpool.rewrites.graph.fold import fold_sizes

InputShapes = Mapping[str, Sequence[int]]


def parse_all(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The shapes written as NAME=1x3x224x224.

    Raises:
        ArgumentError: one is written otherwise, or a name is there twice.
    """
    return parse_named("--input-shape", "NAME=1x3x224x224", texts, parse)


def fix(file: ModelFile, wanted: InputShapes) -> ModelFile:
    """The model with these input shapes, everything folded that they make constant.

    A size that has a name is fixed wherever the name stands.

    Args:
        file: a model; it is changed.
        wanted: for some of the inputs.

    Raises:
        ArgumentError: there is no such input, or its rank or a fixed size is another.
    """
    symbols: dict[str, int] = {}
    inputs = _inputs_to_give(file.proto)
    changed = [_fix_input(inputs, name, shape, symbols) for name, shape in wanted.items()]
    if not any(changed):
        return file
    values = (*file.proto.graph.input, *file.proto.graph.output, *file.proto.graph.value_info)
    for dim in (dim for value in values for dim in value.type.tensor_type.shape.dim):
        if dim.dim_param in symbols:
            dim.dim_value = symbols[dim.dim_param]
    file.mark_changed()
    file = file.reimported()
    shapes.infer(file)
    return fold(file)


def declare_sizes(file: ModelFile) -> None:
    """Write the sizes that are known by inference where the main graph declares none or a name."""
    graph = file.main.graph
    tensors = {t.name: t for node in graph.nodes for t in node.outputs}
    for value in (*file.proto.graph.output, *file.proto.graph.value_info):
        known = getattr(tensors.get(value.name), "shape", None) or ()
        dims = value.type.tensor_type.shape.dim
        if len(known) == len(dims):
            for dim, size in zip(dims, known, strict=True):
                if isinstance(size, int) and dim.dim_value < 1:
                    dim.dim_value = size


def _inputs_to_give(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    stored = {tensor.name for tensor in model.graph.initializer}
    return {value.name: value for value in model.graph.input if value.name not in stored}


def _fix_input(
    inputs: Mapping[str, onnx.ValueInfoProto],
    name: str,
    shape: Sequence[int],
    symbols: dict[str, int],
) -> bool:
    """Set the sizes of one input, note those of its symbols; return whether one was open."""
    if name not in inputs:
        raise ArgumentError(f"the model has no input {name!r}; it has {', '.join(inputs)}")
    tensor = inputs[name].type.tensor_type
    if not tensor.HasField("shape"):
        tensor.shape.dim.extend(onnx.TensorShapeProto.Dimension() for _ in shape)
    dims = tensor.shape.dim
    if len(dims) != len(shape):
        raise ArgumentError(
            f"input {name!r} has {len(dims)} axes, {_declared(tensor)}; found {in_words(shape)}"
        )
    changed = False
    for axis, (dim, size) in enumerate(zip(dims, shape, strict=True)):
        if size < 1:
            raise ArgumentError(f"axis {axis} of input {name!r} would be {size}, wanted at least 1")
        # Some writers say 0 or -1 where a size is open.
        is_open = dim.dim_value < 1
        if not is_open and dim.dim_value != size:
            raise ArgumentError(
                f"axis {axis} of input {name!r} is fixed at {dim.dim_value}, found {size}"
            )
        if dim.dim_param and symbols.setdefault(dim.dim_param, size) != size:
            raise ArgumentError(
                f"the size {dim.dim_param} would be {symbols[dim.dim_param]} and {size} (axis "
                f"{axis} of input {name!r}); the model wants one"
            )
        changed |= is_open
        dim.dim_value = size
    return changed


def declared(model: onnx.ModelProto) -> dict[str, str]:
    """The shape of each input that is to be given, in words."""
    return {n: _declared(x.type.tensor_type) for n, x in _inputs_to_give(model).items()}


def _declared(tensor: onnx.TypeProto.Tensor) -> str:
    if not tensor.HasField("shape"):
        return "any shape"
    return "x".join(map(_size, tensor.shape.dim)) or "a scalar"


def _size(dim: onnx.TensorShapeProto.Dimension) -> str:
    return str(dim.dim_value) if dim.dim_value > 0 else dim.dim_param or "?"


def fold(file: ModelFile) -> ModelFile:
    """The model with everything folded that known sizes make constant; itself where nothing is.

    Where the condition of an If is known, the branch that is taken stands in its place.

    Args:
        file: with shapes inferred.
    """
    while True:
        if not take_branches(file):
            if not sum([fold_sizes(scope.graph, scope.opset) for scope in file.scopes]):
                return file
            file.splice()
        file = file.reimported()
        shapes.infer(file)
