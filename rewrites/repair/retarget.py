"""Reshape targets that were computed for a frozen plane: Y = Reshape(X, what they should be).

torch dynamo writes x.flatten(1) behind a frozen pool as Reshape to (N, C·(H // k)·(W // k)), which
it computes of the sizes of the input. Behind the restored pool these sizes are fixed, so such an
element of the target is at every size what it was at the traced one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import onnx_graphsurgeon as gs

from onnxpool.ops.op import Array
from onnxpool.rewrites.graph.constants import constant_names, is_standard
from onnxpool.rewrites.graph.run import RunError
from onnxpool.rewrites.lift.construct import Construct, swap_for_copy
from onnxpool.rewrites.region.trials import Trials

_FACTORS = (1, 2, 3, 5)
"""Sizes to try, as multiples of the traced ones."""

_Trial = tuple[tuple[int, ...], Array]
"""The shape of X and the target at one size."""


def retarget(graph: gs.Graph, lifted: Sequence[tuple[Construct, gs.Node]], opset: int) -> None:
    """Correct the computed targets behind what was frozen.

    Args:
        lifted: constructs, with the nodes of the dialect that stand for them in `graph` now.
    """
    frozen = [(c, node) for c, node in lifted if c.repair is not None and c.repair.evidence]
    if not frozen:
        return
    traced = _traced_sizes([construct for construct, _ in frozen], graph, opset)
    if traced is None:
        return
    restored = [node for _, node in frozen]
    for node in list(_reshapes_behind(graph, restored)):
        trials = Trials(graph, opset, constant_names(graph))
        if node.inputs[1].name not in trials.sizes:
            continue
        try:
            seen = list(_try(node, trials, traced))
        except RunError:
            continue
        elements = _frozen_elements(seen)
        if elements:
            _fix(graph, node, elements, seen[0][1])


def _traced_sizes(
    constructs: Sequence[Construct], graph: gs.Graph, opset: int
) -> dict[str, int] | None:
    """Sizes of the inputs at which frozen pools were right."""
    trials = Trials(graph, opset, constant_names(graph))
    planes = ((c.x, c.repair.right[0]) for c in constructs if c.repair and c.repair.right)
    return next((s for x, plane in planes if (s := trials.sizes_for(x, plane))), None)


def _reshapes_behind(graph: gs.Graph, restored: Sequence[gs.Node]) -> Iterator[gs.Node]:
    behind = {tensor.name for node in restored for tensor in node.outputs}
    for node in graph.nodes:
        if any(tensor.name in behind for tensor in node.inputs):
            behind.update(tensor.name for tensor in node.outputs)
            if node.op == "Reshape" and is_standard(node) and node.inputs[0].name in behind:
                yield node


def _try(node: gs.Node, trials: Trials, traced: dict[str, int]) -> Iterator[_Trial]:
    for factor in _FACTORS:
        sizes = {symbol: size * factor for symbol, size in traced.items()}
        (target,) = trials.values([node.inputs[1]], sizes)
        shape = trials.shape(node.inputs[0], sizes)
        if shape is None:
            raise RunError(f"the shape of {node.inputs[0].name!r} cannot be inferred")
        yield shape, target


def _frozen_elements(seen: Sequence[_Trial]) -> tuple[int, ...]:
    """The fewest elements of the target to hold at their traced value, so that it always fits."""
    (_, at_traced), *_ = seen
    if np.any(at_traced <= 0):
        return ()
    varying = [i for i in range(at_traced.size) if len({int(target[i]) for _, target in seen}) > 1]
    subsets = (s for n in range(len(varying) + 1) for s in itertools.combinations(varying, n))
    return next((s for s in subsets if _fits(seen, s)), ())


def _fits(seen: Sequence[_Trial], held: tuple[int, ...]) -> bool:
    _, at_traced = seen[0]
    for shape, target in seen:
        corrected = [at_traced[i] if i in held else n for i, n in enumerate(target)]
        if math.prod(map(int, corrected)) != math.prod(shape):
            return False
    return True


def _fix(graph: gs.Graph, node: gs.Node, elements: tuple[int, ...], traced: Array) -> None:
    keep = np.array([i not in elements for i in range(traced.size)], np.int64)
    held = np.where(keep == 0, traced, 0).astype(np.int64)
    name = f"{node.outputs[0].name}/onnxpool/target"
    int64 = np.dtype(np.int64)
    kept = gs.Variable(f"{name}_kept", int64, [traced.size])
    target = gs.Variable(name, int64, [traced.size])
    copy = swap_for_copy(graph, node)
    arithmetic = [
        gs.Node("Mul", kept.name, {}, [copy.inputs[1], gs.Constant(f"{name}_open", keep)], [kept]),
        gs.Node("Add", name, {}, [kept, gs.Constant(f"{name}_fixed", held)], [target]),
    ]
    copy.inputs[1] = target
    position = next(i for i, n in enumerate(graph.nodes) if n is copy)
    graph.nodes[position:position] = arithmetic
