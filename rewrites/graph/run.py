"""The one door: all that runs a piece of a graph, a constant, a size or a whole model goes through.

    its cost, from shapes alone             what becomes of it
    known, and more than it may take        TooLarge, with the number; nothing runs
    known and small, of bounded ops         runs in this process
    anything else                           runs in a worker with limits of time and memory

In this process run only ops whose time and memory their shapes bound (cost.py), a fraction of a
second of them: Ctrl-C waits no longer, and starting a worker would. A loop, a branch, a function or
an op that cost.py does not know never runs here; loaded here is only what has no functions to
expand but ours, and no large sparse weights to make dense.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.ir.tensor import SparseValues

from onnxpool.errors import LibraryError
from onnxpool.ops.library import register
from onnxpool.ops.op import DOMAIN, Array
from onnxpool.rewrites.graph import cost, limits, small_values
from onnxpool.rewrites.graph.constants import runs_as_constant
from onnxpool.rewrites.graph.cost import Cost
from onnxpool.rewrites.graph.cut import cut, exported, needs_constants_alone, producers
from onnxpool.rewrites.graph.session import (
    EXTERNAL_DATA_FOLDER,
    RunError,
    Session,
    Source,
    TooLarge,
    one_line,
)
from onnxpool.rewrites.graph.worker import Remote

__all__ = [
    "EXTERNAL_DATA_FOLDER",
    "RunError",
    "Runner",
    "TooLarge",
    "evaluate",
    "kernels_missing",
    "known_value",
    "one_line",
    "run_node",
]

_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
_WIDEST = 8
"""Bytes of an element."""

_AT_ONCE = 1 << 28
"""Operations, and bytes, that are not worth a process of their own."""


class Runner:
    """A model ready to run."""

    def __init__(
        self,
        model: onnx.ModelProto | str,
        folder: Path | None = None,
        *,
        kernels: bool = False,
        optimised: bool = False,
    ) -> None:
        """Load a piece of a graph; or a whole model: a file, or with a folder.

        Args:
            folder: holds the external data of a model.
            kernels: whether nodes of the dialect run the kernels of the custom-op library.
            optimised: run it as its users do; else as it is written: some optimisations change
                the values.

        Raises:
            RunError: ONNX Runtime refuses it.
            TooLarge: it is more than is tried.
            LibraryError: there is no library that it takes.
        """
        self._proto = None if isinstance(model, str) else model
        self._is_whole = isinstance(model, str) or folder is not None
        # A worker has the working directory that this process had when it was started.
        serialized = (
            str(Path(model).absolute()) if isinstance(model, str) else model.SerializeToString()
        )
        place = None if folder is None else str(folder.absolute())
        source = Source(serialized, place, kernels, optimised)
        self._costs: dict[object, Cost | None] = {}
        self._remote = Remote(source)
        self._session: Session | None = None
        if self._proto is not None and not optimised and _loads_at_once(self._proto):
            self._session = Session(source)
        else:
            self._remote.load(*self._allowed({}))

    def __call__(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        """Run it.

        Raises:
            RunError: it fails on these inputs.
            TooLarge: it is more than is tried.
        """
        seconds, memory = self._allowed(inputs)
        known = None if self._proto is None else self._cost(self._proto, inputs)
        if known is not None:
            made = None if self._is_whole else limits.most_made(_given(self._proto, inputs))
            _refuse_large(known, made, seconds)
            if self._session is not None and max(known.operations, known.size) <= _AT_ONCE:
                return self._session.run(inputs)
        self._session = None
        return self._remote.run(inputs, seconds, memory)

    def _allowed(self, inputs: Mapping[str, Array]) -> tuple[float, int]:
        """Seconds, and bytes; those of a piece by what it is given."""
        allowed = limits.current()
        if self._is_whole:
            return allowed.seconds, allowed.memory
        most = limits.most_made(_given(self._proto, inputs))
        return allowed.piece_seconds, min(allowed.memory, limits.BASE_MEMORY + _WIDEST * most)

    def _cost(self, proto: onnx.ModelProto, inputs: Mapping[str, Array]) -> Cost | None:
        """As `cost.cost`; what costs as much as before is not walked again."""
        key = tuple(
            (name, x.shape, x.tobytes() if x.size <= small_values.MOST else None)
            for name, x in inputs.items()
        )
        if key not in self._costs:
            self._costs[key] = cost.cost(proto, inputs)
        return self._costs[key]


def _loads_at_once(model: onnx.ModelProto) -> bool:
    """Whether loading takes no longer than its size says.

    ONNX Runtime expands functions and makes sparse weights dense as it loads; to optimise, it runs
    what is constant.
    """
    ours = [f for f in model.functions if f.domain == DOMAIN]
    calls = any(
        n.domain == DOMAIN or any(a.type in _GRAPHS for a in n.attribute)
        for f in ours
        for n in f.node
    )
    dense = sum(math.prod(sparse.dims) for sparse in model.graph.sparse_initializer)
    return len(ours) == len(model.functions) and not calls and dense <= _AT_ONCE


def _given(model: onnx.ModelProto | None, inputs: Mapping[str, Array]) -> int:
    """Elements that are there before it runs."""
    stored = () if model is None else model.graph.initializer
    return int(sum(math.prod(t.dims) for t in stored) + sum(x.size for x in inputs.values()))


def _refuse_large(known: Cost, most_made: int | None, seconds: float) -> None:
    """Raises:
    TooLarge: it is more than it may take.
    """
    for found, bound, what in (
        (known.made, most_made, "elements"),
        (known.operations, int(seconds * limits.OPERATIONS_PER_SECOND), "operations"),
        (known.size, limits.current().memory, "bytes"),
    ):
        if bound is not None and found > bound:
            raise TooLarge(f"too large to try: {found:,} {what}, at most {bound:,}")


@functools.cache
def kernels_missing() -> str:
    """Why the kernels of the custom-op library cannot be run; empty where they can."""
    import onnxruntime

    try:
        register(onnxruntime.SessionOptions())
    except LibraryError as error:
        return str(error)
    return ""


def evaluate(constant: gs.Tensor, opset: int) -> Array:
    """The value of a tensor that depends on constants alone, computed as the graph does it.

    Raises:
        RunError: ONNX Runtime does not run the nodes that compute it.
        TooLarge: it is more than is tried.
    """
    if isinstance(constant, gs.Constant):
        _refuse_sparse([constant])
        return np.asarray(constant.values)
    (value,) = compute_constants((constant,), opset, promote=True)
    return value


def compute_constants(
    constants: Sequence[gs.Tensor], opset: int, *, promote: bool = False
) -> tuple[Array, ...]:
    """The values of tensors that nodes compute of constants alone.

    Args:
        promote: as `cut` takes it.

    Raises:
        RunError: ONNX Runtime does not run the nodes that compute them.
        TooLarge: they are more than is tried.
    """
    nodes = producers(constants, set())
    _refuse_unbounded(nodes)
    _refuse_sparse(t for node in nodes for t in node.inputs if isinstance(t, gs.Constant))
    values = Runner(cut((), constants, opset, promote=promote))({})
    count = sum(value.size for value in values)
    if not limits.current().has_room_for(count):
        raise TooLarge(f"too large to try: {count:,} elements, after many others")
    return values


def run_node(node: gs.Node, inputs: Sequence[Array | None], opset: int) -> tuple[Array, ...]:
    """The outputs of one standard node, of these values of its inputs.

    Raises:
        RunError: ONNX Runtime does not run it.
        TooLarge: it is more than is tried.
    """
    _refuse_unbounded([node])
    names = ["" if value is None else f"i{index}" for index, value in enumerate(inputs)]
    copy = exported(node)
    del copy.input[:]
    copy.input.extend(names)
    given = {name: value for name, value in zip(names, inputs, strict=True) if value is not None}
    infos = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in given.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in copy.output if name]
    graph = onnx.helper.make_graph([copy], "node", infos, outputs)
    imports = [onnx.helper.make_opsetid("", opset)]
    ir_version = max(onnx.helper.find_min_ir_version_for(imports), 7)
    return Runner(onnx.helper.make_model(graph, opset_imports=imports, ir_version=ir_version))(
        given
    )


def known_value(tensor: gs.Tensor, opset: int) -> Array | None:
    """The value of a tensor that depends on constants alone; None where it does not.

    Raises:
        RunError: ONNX Runtime does not run the nodes that compute it.
        TooLarge: it is more than is tried.
    """
    return evaluate(tensor, opset) if needs_constants_alone(tensor) else None


def _refuse_unbounded(nodes: Iterable[gs.Node]) -> None:
    """Raises:
    RunError: there is a loop, a branch or a string among them.
    """
    for node in nodes:
        if not runs_as_constant(node):
            raise RunError(f"{node.op} node {node.name!r} is not run to know a constant")


def _refuse_sparse(tensors: Iterable[gs.Constant]) -> None:
    """Raises:
    TooLarge: a sparse tensor has too many elements, most of which the file does not hold.
    """
    most = limits.most_made(0)
    for tensor in tensors:
        count = math.prod(tensor.shape)
        if isinstance(tensor._values, SparseValues) and count > most:
            raise TooLarge(f"too large to try: {count:,} elements, at most {most:,}")
