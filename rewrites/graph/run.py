"""The one door: all that runs a piece of a graph, a constant, a size or a whole model goes through.

    cost of a piece, from shapes            what becomes of it
    known, and more than a piece may take   TooLarge, with the number; nothing runs
    known and small, of bounded ops         runs in this process
    anything else, and whole models         runs in a worker with limits of time and memory

In this process run only ops whose time and memory their shapes bound (cost.py), a fraction of a
second of them: Ctrl-C waits no longer, and starting a worker would. A loop, a branch, a function
or an op that cost.py does not know never gets here, not even to be loaded, which expands functions
and makes sparse weights dense.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.exporters.onnx_exporter import OnnxExporter
from onnx_graphsurgeon.ir.tensor import SparseValues

from onnxpool.errors import LibraryError
from onnxpool.ops.library import register
from onnxpool.ops.op import DOMAIN, Array
from onnxpool.rewrites.graph import cost, limits, small_values
from onnxpool.rewrites.graph.constants import runs_as_constant
from onnxpool.rewrites.graph.cost import Cost
from onnxpool.rewrites.graph.cut import cut, loaded, needs_constants_alone, producers
from onnxpool.rewrites.graph.session import (
    EXTERNAL_DATA_FOLDER,
    RunError,
    Session,
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

_AT_ONCE = 1 << 28
"""Operations, and bytes, that are not worth a process of their own."""


class Runner:
    """A model ready to run; graph optimisations are off, because some change the values."""

    def __init__(
        self, model: onnx.ModelProto | str, folder: Path | None = None, *, kernels: bool = False
    ) -> None:
        """Load a piece of a graph; or a whole model: a file, or with a folder.

        Args:
            folder: holds the external data of a model.
            kernels: whether nodes of the dialect run the kernels of the custom-op library.

        Raises:
            RunError: ONNX Runtime refuses it.
            TooLarge: it is more than is tried.
            LibraryError: there is no library that it takes.
        """
        source = model if isinstance(model, str) else model.SerializeToString()
        place = None if folder is None else str(folder)
        self._piece = None if isinstance(model, str) or folder is not None else model
        self._costs: dict[object, Cost | None] = {}
        self._remote = Remote(source, place, kernels=kernels)
        self._session: Session | None = None
        if self._piece is None:
            allowed = limits.current()
            self._remote.load(allowed.seconds, allowed.memory)
        elif _loads_at_once(self._piece):
            self._session = Session(source, place, kernels=kernels)
        else:
            self._remote.load(limits.current().piece_seconds, _memory(_given(self._piece, {})))

    def __call__(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        """Run it.

        Raises:
            RunError: it fails on these inputs.
            TooLarge: it is more than is tried.
        """
        allowed = limits.current()
        if self._piece is None:
            return self._remote.run(inputs, allowed.seconds, allowed.memory)
        given = _given(self._piece, inputs)
        known = self._cost(self._piece, inputs)
        if known is not None:
            _refuse_large(known, given)
            if self._session is not None and max(known.operations, known.size) <= _AT_ONCE:
                return self._session.run(inputs)
        return self._remote.run(inputs, allowed.piece_seconds, _memory(given))

    def _cost(self, piece: onnx.ModelProto, inputs: Mapping[str, Array]) -> Cost | None:
        """As `cost.cost`; what costs as much as before is not walked again."""
        key = tuple(
            (name, x.shape, x.tobytes() if x.size <= small_values.MOST else None)
            for name, x in inputs.items()
        )
        if key not in self._costs:
            self._costs[key] = cost.cost(piece, inputs)
        return self._costs[key]


def _loads_at_once(piece: onnx.ModelProto) -> bool:
    """Whether loading takes no longer than its size says."""
    bodies = {f.name: f for f in piece.functions if f.domain == DOMAIN}
    nodes = [*piece.graph.node, *(node for f in bodies.values() for node in f.node)]
    dense = sum(math.prod(sparse.dims) for sparse in piece.graph.sparse_initializer)
    if len(piece.functions) > len(bodies) or dense > _AT_ONCE:
        return False
    calls = sum(node.domain == DOMAIN for f in bodies.values() for node in f.node)
    return not calls and all(
        n.domain == DOMAIN or cost.is_bounded(n.domain, n.op_type) for n in nodes
    )


def _given(piece: onnx.ModelProto, inputs: Mapping[str, Array]) -> int:
    weights = sum(math.prod(tensor.dims) for tensor in piece.graph.initializer)
    return int(weights + sum(x.size for x in inputs.values()))


def _memory(given: int) -> int:
    """Bytes for a piece of which only this is known."""
    wide = 8
    return min(limits.current().memory, limits.BASE_MEMORY + wide * limits.most_made(given))


def _refuse_large(known: Cost, given: int) -> None:
    """Raises:
    TooLarge: it is more than a piece may take.
    """
    allowed = limits.current()
    most = int(allowed.piece_seconds * limits.OPERATIONS_PER_SECOND)
    for found, bound, what in (
        (known.made, limits.most_made(given), "elements"),
        (known.operations, most, "operations"),
        (known.size, allowed.memory, "bytes"),
    ):
        if found > bound:
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
    copy = OnnxExporter.export_node(loaded(node))
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
