"""Adaptive pooling in the place of a strided pool that imitates it, where the user says so.

A region of one AveragePool or MaxPool becomes a construct whose windows are adaptive: to the size
that the user gives, or, for all that `lift/imitation` warns of, to the one that is meant.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_graphsurgeon as gs

from onnxpool.ops import AdaptiveAveragePool, AdaptiveMaxPool
from onnxpool.rewrites.graph.tensors import shape_of
from onnxpool.rewrites.lift.construct import Construct, Declined
from onnxpool.rewrites.lift.floor_stride import pool_of
from onnxpool.rewrites.lift.needed_repair import Repair
from onnxpool.rewrites.region.size import in_words
from onnxpool.rewrites.repair.hints import EVERY_NODE, Hints, WrongHint

_OPS = {"AveragePool": AdaptiveAveragePool, "MaxPool": AdaptiveMaxPool}


def restore(
    graph: gs.Graph,
    constructs: Sequence[Construct],
    declined: Sequence[Declined],
    hints: Hints,
) -> tuple[list[Construct], list[Declined]]:
    """Make constructs of what the user wants restored.

    Args:
        declined: with what is meant, as `imitation.explain` says it.

    Raises:
        WrongHint: a node that is named is no such pool, or the size is for other axes.
    """
    if not hints.restored:
        return list(constructs), list(declined)
    _check(graph, hints)
    sizes = [(each, _size(each, hints)) for each in declined]
    made = [_restored(each, size) for each, size in sizes if size]
    return [*constructs, *made], [each for each, size in sizes if not size]


def _check(graph: gs.Graph, hints: Hints) -> None:
    for node in graph.nodes:
        name = node.name or node.outputs[0].name
        size = hints.restored.get(name)
        if size is None or name == EVERY_NODE:
            continue
        said = f"--restore {name}={in_words(size)}"
        if node.op not in _OPS or len([t for t in node.outputs if t.name]) > 1:
            raise WrongHint(f"{said}: it is a {node.op}; restored is an AveragePool or a MaxPool")
        axes = len(node.attrs["kernel_shape"])
        if len(size) not in (1, axes):
            raise WrongHint(f"{said} has {len(size)} axes, the node pools {axes}")


def _size(each: Declined, hints: Hints) -> tuple[int, ...]:
    """The size to which a region is to pool; empty where it stays."""
    node = pool_of(each.region)
    if node is None:
        return ()
    axes = len(node.attrs["kernel_shape"]) if len(each.region.nodes) == 1 else 1
    size = hints.restored.get(str(node.name or node.outputs[0].name))
    if size:
        return size * axes if len(size) == 1 else size[-axes:]
    return each.meant if EVERY_NODE in hints.restored else ()


def _restored(each: Declined, size: tuple[int, ...]) -> Construct:
    region = each.region
    plane = tuple(n for n in (shape_of(region.x) or ())[-len(size) :] if isinstance(n, int))
    wrong = (plane,) if len(plane) == len(size) else ()
    evidence = f"--restore says that it pools adaptively to {in_words(size)}"
    repair = Repair(wrong=wrong, evidence=evidence, restored=True)
    node = pool_of(region)
    assert node is not None
    return Construct(_OPS[node.op](size), (region,), repair=repair)
