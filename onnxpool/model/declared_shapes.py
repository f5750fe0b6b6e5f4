"""Correct the shapes that a file declares behind what a rewrite restored; the rest stays.

A declared size holds if it is what shape inference finds at several sizes of the inputs. One that
does not hold becomes a number or the symbol of an input, or else is left open.
"""

from __future__ import annotations

import ast
import dataclasses
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx_graphsurgeon as gs
from onnx import FunctionProto, GraphProto, TensorShapeProto, ValueInfoProto

from onnxpool.model import open_sizes, shapes
from onnxpool.model.file import ModelFile
from onnxpool.model.open_sizes import Sizes
from onnxpool.model.scope import Scope
from onnxpool.ops.op import Dim, Shape

_Tensors = dict[int, list[gs.Tensor]]

_RANGES = ((16, 128), (128, 1024), (1024, 8192))
_FEWEST = 2
"""Small sizes may be too small for a network; so many of the others have to agree."""


@dataclasses.dataclass(frozen=True)
class _Sample:
    """The shapes of every scope's tensors at one size of the inputs."""

    sizes: Sizes
    shapes: Sequence[Mapping[str, Shape]]


@dataclasses.dataclass(frozen=True)
class _Length:
    """The size of one axis of a tensor at one size of the inputs."""

    sizes: Sizes
    number: int


def correct(model_file: ModelFile, stale: Sequence[tuple[Scope, str]]) -> None:
    """Correct value_info and outputs of all that is computed from `stale`, in the model's proto.

    Args:
        model_file: after its splice.
        stale: tensors whose shapes need not be what the file says.
    """
    if not stale:
        return
    behind = _downstream(model_file.scopes, stale)
    samples = list(_samples(model_file))
    for number, scope in enumerate(model_file.scopes):
        names = {t.name for n in scope.graph.nodes for t in n.outputs if id(t) in behind}
        for value in _declarations(scope.proto):
            if value.name in names:
                found = [(s.sizes, s.shapes[number].get(value.name)) for s in samples]
                _correct(value, [(sizes, shape) for sizes, shape in found if shape is not None])


def _samples(model_file: ModelFile) -> Iterator[_Sample]:
    """Unrelated numbers for the symbols, so that a size which equals one is that symbol."""
    rng = np.random.default_rng(0)
    symbols = open_sizes.symbols(model_file.proto)
    for low, high in _RANGES:
        numbers = low + rng.choice(high - low + len(symbols), len(symbols), replace=False)
        sizes = dict(zip(symbols, numbers.tolist(), strict=True))
        yield _Sample(sizes, shapes.at_sizes(model_file, sizes))


def _declarations(proto: GraphProto | FunctionProto) -> Iterator[ValueInfoProto]:
    yield from proto.value_info
    if isinstance(proto, GraphProto):
        yield from proto.output


def _correct(value: ValueInfoProto, found: Sequence[tuple[Sizes, Shape]]) -> None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return
    ranks = {len(shape) for _, shape in found}
    if len(ranks) != 1:
        tensor.ClearField("shape")
        return
    (rank,) = ranks
    if len(tensor.shape.dim) != rank:
        del tensor.shape.dim[:]
        tensor.shape.dim.extend(TensorShapeProto.Dimension() for _ in range(rank))
    for axis, dim in enumerate(tensor.shape.dim):
        lengths = ((sizes, shape[axis]) for sizes, shape in found)
        known = [_Length(sizes, n) for sizes, n in lengths if isinstance(n, int) and n > 0]
        if not _holds(dim, known):
            _set(dim, _common(known))


def _holds(dim: TensorShapeProto.Dimension, known: Sequence[_Length]) -> bool:
    """Whether what is declared is what was found, wherever that is known."""
    number = dim.dim_value if dim.HasField("dim_value") else None
    says = [number or _evaluate(dim.dim_param, length.sizes) for length in known]
    return len(known) >= _FEWEST and says == [length.number for length in known]


def _common(known: Sequence[_Length]) -> Dim:
    """The number, or the symbol, that a size is at all sizes of the inputs."""
    if len(known) < _FEWEST:
        return None
    numbers = {length.number for length in known}
    if len(numbers) == 1:
        return numbers.pop()
    names = (name for name in known[0].sizes if isinstance(name, str))
    return next((name for name in names if all(k.sizes[name] == k.number for k in known)), None)


def _set(dim: TensorShapeProto.Dimension, size: Dim) -> None:
    dim.Clear()
    if isinstance(size, int):
        dim.dim_value = size
    elif size is not None:
        dim.dim_param = size


_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def _evaluate(expression: str, sizes: Sizes) -> int | None:
    """A size as torch's exporter writes it, such as ``((H//6)) + 1``; None if not understood."""
    if expression in sizes:
        return sizes[expression]
    try:
        return _value(ast.parse(expression, mode="eval").body, sizes)
    except (SyntaxError, KeyError, ZeroDivisionError):
        return None


def _value(node: ast.expr, sizes: Sizes) -> int:
    """The value of an expression of integers.

    Raises:
        KeyError: it has another operator, or a symbol that is none of `sizes`.
    """
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=name):
            return sizes[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_value(left, sizes), _value(right, sizes))
    raise KeyError(ast.dump(node))


def _downstream(scopes: Sequence[Scope], start: Iterable[tuple[Scope, str]]) -> set[int]:
    """The `id` of every tensor that is computed from those in `start`, these included."""
    ends, inner = _passages(scopes)
    names = {(id(scope), name) for scope, name in start}
    pending = [
        t for s in scopes for n in s.graph.nodes for t in n.outputs if (id(s), t.name) in names
    ]
    seen: set[int] = set()
    while pending:
        tensor = pending.pop()
        if id(tensor) not in seen:
            seen.add(id(tensor))
            pending += ends.get(id(tensor), ())
            for reader in tensor.outputs:
                pending += [*reader.outputs, *inner.get(id(reader), ())]
    return seen


def _passages(scopes: Sequence[Scope]) -> tuple[_Tensors, _Tensors]:
    """Out of bodies and functions, per output of one; and into them, per node that runs one."""
    ends: _Tensors = {}
    inner: _Tensors = {}
    for scope in scopes:
        for node in _users(scope, scopes):
            inner.setdefault(id(node), []).extend(scope.graph.inputs)
            for tensor in scope.graph.outputs:
                ends.setdefault(id(tensor), []).extend(node.outputs)
    return ends, inner


def _users(scope: Scope, scopes: Sequence[Scope]) -> Iterator[gs.Node]:
    """The nodes that run a body or a function."""
    if scope.owner is not None:
        yield scope.owner
    if isinstance(scope.proto, FunctionProto):
        key = (scope.proto.domain, scope.proto.name)
        yield from (n for s in scopes for n in s.graph.nodes if (n.domain, n.op) == key)
